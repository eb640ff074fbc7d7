/* show: all that is known of a backup, and the commands that give it back without us. */
#include "common/base/text.h"
#include "efs/cli/cmd_sets.h"
#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { QUOTED = PATH_MAX * 8 + 3 };

/* A path that a terminal shows otherwise than it is could not be copied from there. */
static bool shows(const char *text)
{
    char safe[PATH_MAX * 4];
    return strcmp(text_printable(text, safe, sizeof safe), text) == 0;
}

static void step(unsigned i, const char *dir, size_t tree, enum frequency frequency, const char *folder,
                 const char *data, const struct recipe_place *recipe)
{
    char path[PATH_MAX * 2], word[QUOTED];
    (void)snprintf(path, sizeof path, "%.*s/%s/%s/%s", (int)tree, dir, frequency_text(frequency), folder,
                   data);
    if (i == 0)
        (void)printf("  zstd -dc %s >s0\n", text_shell(path, word, sizeof word));
    else
        (void)printf("  sh undelta.sh s%u %s %" PRIu64 " %" PRIu64 " >s%u\n", i - 1,
                     text_shell(path, word, sizeof word), recipe->at, recipe->size, i);
}

static void print_chain(const struct backup *b)
{
    const struct bases *bases = &b->m.bases;
    size_t tree;
    const char *folder = cmd_folder_of(b, &tree);
    for (unsigned i = 0; i < bases->n; i++)
        (void)printf("%-15s %s/%s/%s\n", "made of", frequency_text(bases->v[i].frequency), folder,
                     base_data(bases, i));
    (void)printf("\nIn a folder with room, not on EFS, with undelta.sh of %.*s/README.txt:\n", (int)tree,
                 b->dir);
    for (unsigned i = 0; i < bases->n; i++)
        step(i, b->dir, tree, bases->v[i].frequency, folder, base_data(bases, i), &bases->v[i].recipe);
    step(bases->n, b->dir, tree, b->frequency, folder, b->data, &b->m.recipe);
    (void)printf("  echo %s s%u | sha256sum -c\n", b->m.content.sha256, bases->n);
}

static void print_by_hand(const struct backup *b)
{
    char path[PATH_MAX * 2], word[QUOTED], name[NAME_STORED + 16];
    if (b->state == ENTRY_INCOMPLETE || b->state == ENTRY_CORRUPT || b->state == ENTRY_UNREADABLE)
        return; /* they would give nothing, or something else */
    if (!b->m.content.sha256[0] || strcmp(b->m.codec, "none") == 0 || !shows(b->dir) || !shows(b->data))
        return;
    if (b->m.bases.n > 0)
        return print_chain(b);
    (void)snprintf(path, sizeof path, "%s/%s", b->dir, b->data);
    (void)printf("\nIn a folder with room, not on EFS:\n  zstd -dc %s >",
                 text_shell(path, word, sizeof word));
    (void)snprintf(name, sizeof name, "%s.snapshot", b->m.source.stem);
    (void)printf("%s\n", text_shell(name, word, sizeof word));
    (void)printf("  echo %s %s | sha256sum -c\n", b->m.content.sha256, text_shell(name, word, sizeof word));
}

/* "key: value" lines, in the manifest's order; the JSON is for programs. */
static int print_one(const struct backup *b)
{
    cJSON *o = cmd_json(b);
    char safe[PATH_MAX + NAME_MAX + 8];
    for (const cJSON *f = o ? o->child : NULL; f; f = f->next) {
        if (strcmp(f->string, "recipe") == 0 || strcmp(f->string, "bases") == 0)
            continue; /* below, as commands */
        char *text = cJSON_IsString(f) ? NULL : cJSON_PrintUnformatted(f);
        const char *value = cJSON_IsString(f) ? f->valuestring : cJSON_IsNull(f) ? "" : text ? text : "";
        if (*value)
            (void)printf("%-15s %s\n", f->string, text_printable(value, safe, sizeof safe));
        cJSON_free(text);
    }
    if (o)
        print_by_hand(b);
    int rc = o && fflush(stdout) == 0 ? 0 : EXIT_DEFECT;
    cJSON_Delete(o);
    return rc;
}

int cmd_show(const struct options *o)
{
    cleanup_backup_list struct backup_list list = {0};
    bool set = set_is_named(o->operand);
    if ((set ? cmd_gather_quietly : cmd_gather)(o, &list) != 0)
        return EXIT_DEFECT;
    if (set && list.n == 0)
        return cmd_show_set(o);
    cmd_keep_node(o, &list);
    if (list.n == 0)
        return EXIT_DEFECT;
    if (o->json)
        return list.n == 1 ? cmd_print_json(cmd_json(&list.v[0])) : cmd_print_list(&list);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < list.n; i++) {
        if (i > 0)
            (void)putchar('\n');
        rc = print_one(&list.v[i]);
    }
    return rc;
}
