/* What a shell may offer for the next word: from the tables of commands and flags, so that no list of them is
 * kept elsewhere, and from what is on EFS. One candidate a line; nothing when in doubt. */
#include "efs/cli/commands.h"
#include "common/base/text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATIENCE_S = 3, WORDS = 256 };

struct completing {
    const char *begins; /* what the word begins with */
    const char *collections[WORDS];
    size_t n_collections;
    struct options o;
};

/* A name with a control character, such as a newline, cannot be one of a list of lines. */
static void offer(const struct completing *c, const char *word)
{
    for (const char *p = word; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return;
    if (strncmp(word, c->begins, strlen(c->begins)) == 0 && text_is_utf8(word))
        (void)puts(word); /* said() looks whether it arrived */
}

static void offer_commands(const struct completing *c)
{
    for (size_t i = 0; i < n_commands; i++)
        offer(c, commands[i].name);
}

static void offer_flags(const struct completing *c, const struct command *of)
{
    for (size_t i = 0; i < n_flags; i++)
        if (flags[i].commands & of->bit)
            offer(c, flags[i].name);
    offer(c, "--help");
}

/* --- what is on EFS */

static int offer_collection(const struct options *o, const char *base, const char *folder, void *arg,
                            struct err *e)
{
    char name[NAME_STORED * 2];
    (void)o;
    (void)base;
    (void)e;
    if (!name_is_storage(folder) && !strchr(folder, '/') && name_unescape(folder, name, sizeof name))
        offer(arg, name);
    return 0;
}

static int offer_snapshots(const struct options *o, const char *base, const char *folder, void *arg,
                           struct err *e)
{
    cleanup_backup_list struct backup_list list = {0};
    (void)o;
    if (backup_list_folder(base, folder, &list, e) == 0)
        for (size_t i = 0; i < list.n; i++)
            offer(arg, list.v[i].m.source.stem);
    return 0;
}

/* What hangs is ended: a shell waits for us. */
static void offer_of_efs(struct completing *c, folder_visit *visit)
{
    struct err e = {0};
    (void)alarm(PATIENCE_S);
    if (settings_read(&c->o.settings, &e) != 0)
        return;
    if (!c->o.root[0])
        memcpy(c->o.root, c->o.settings.efs_root, sizeof c->o.root);
    if (c->o.root[0])
        (void)cmd_each_folder(&c->o, visit, c, &e); /* what cannot be listed is not offered */
}

/* --- which of these */

static void offer_values(struct completing *c, const struct flag *f)
{
    if (f->kind == FLAG_COLLECTION) {
        c->o.n_collections = 0; /* another one than those that were given */
        offer_of_efs(c, offer_collection);
    } else if (f->kind == FLAG_TIER)
        for (int t = 0; t < FREQUENCY_COUNT; t++)
            offer(c, frequency_text((enum frequency)t));
    else if (f->kind == FLAG_STATE)
        for (int s = ENTRY_COMPLETE; s < ENTRY_STATES; s++)
            offer(c, entry_state_text((enum entry_state)s));
    else if (strcmp(f->name, "--snapshot") == 0)
        offer_of_efs(c, offer_snapshots);
}

/* What the words before say of where to look. */
static void obey(struct completing *c, const char *flag, const char *value)
{
    if (strcmp(flag, "--root") == 0)
        (void)snprintf(c->o.root, sizeof c->o.root, "%s", value);
    else if (strcmp(flag, "--collection") == 0 && c->n_collections < WORDS)
        c->collections[c->n_collections++] = value;
    else if (strcmp(flag, "--tier") == 0)
        (void)setenv("TIER", value, 1); /* without memory more is offered */
    else if (strcmp(flag, "--cpu-arch") == 0)
        (void)setenv("CPU_ARCH", value, 1);
}

int complete(int argc, char **argv)
{
    static struct completing c; /* large */
    const struct command *of = argc > 1 ? command_find(argv[0]) : NULL;
    const struct flag *waits = NULL; /* for its value */
    size_t operands = 0;
    if (argc < 1)
        return 0;
    c.begins = argv[argc - 1];
    if (argc == 1 || (argc == 2 && strcmp(argv[0], "help") == 0))
        offer_commands(&c);
    for (int i = 1; of && i < argc - 1; i++) {
        const struct flag *f =
            argv[i][0] == '-' && !waits ? flag_find(argv[i], strlen(argv[i]), of->bit) : NULL;
        if (waits)
            obey(&c, waits->name, argv[i]);
        else
            operands += argv[i][0] != '-';
        waits = f && f->kind != FLAG_ON ? f : NULL;
    }
    const char *value = strchr(c.begins, '=');
    const struct flag *with = of && !waits && *c.begins == '-' && value
                                  ? flag_find(c.begins, (size_t)(value - c.begins), of->bit)
                                  : NULL;
    if (with && with->kind != FLAG_ON) {
        waits = with;
        c.begins = value + 1;
    }
    c.o.collections = c.collections;
    c.o.n_collections = c.n_collections;
    if (of && waits)
        offer_values(&c, waits);
    else if (of && *c.begins == '-')
        offer_flags(&c, of);
    else if (of && operands < command_operands(of))
        offer_of_efs(&c, of->bit == FORGET ? offer_collection : offer_snapshots);
    return 0;
}
