/* pin, unpin and note: what a person says of one backup. */
#include "common/base/text.h"
#include "common/base/utc.h"
#include "efs/cli/cli.h"
#include "efs/repo/pin.h"
#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

/* Of an entry that is read by nobody else. NULL after an error that was printed. */
static struct backup *the_one(const struct options *o, struct backup_list *list)
{
    if (cmd_gather(o, list) != 0)
        return NULL;
    cmd_keep_node(o, list);
    if (list->n > 1)
        cmd_complain("%zu backups are called %.255s; choose one with --tier, --cpu-arch, --collection, "
                     "--frequency or --node",
                     list->n, o->operand);
    return list->n == 1 ? &list->v[0] : NULL; /* where there are none, that was said */
}

static int failed(const struct backup *b, enum pin_outcome outcome, const struct err *e)
{
    if (outcome == PIN_GONE)
        cmd_complain("%s was deleted meanwhile, and nothing is kept of it", b->m.source.stem);
    else
        cmd_complain("%s", e->text);
    return EXIT_DEFECT;
}

static int say(const struct options *o, const struct backup *b, const char *what)
{
    char safe[NAME_STORED * 4];
    if (o->json)
        return cmd_print_json(cmd_json(b));
    (void)printf("%s: %s\n", text_printable(b->m.source.stem, safe, sizeof safe), what);
    return fflush(stdout) == 0 ? 0 : EXIT_DEFECT;
}

static bool note_is_fine(const char *text)
{
    if (!*text || pin_note_fits(text))
        return true;
    cmd_complain("that is no note: use one line of UTF-8 of at most %d bytes", NOTE_MAX);
    return false;
}

int cmd_pin(const struct options *o)
{
    cleanup_backup_list struct backup_list list = {0};
    struct err e = {0};
    char what[160], bases[60] = "";
    if (o->note && !note_is_fine(o->note))
        return EXIT_SETTING;
    struct backup *b = the_one(o, &list);
    if (!b)
        return EXIT_DEFECT;
    if (b->state != ENTRY_COMPLETE && b->state != ENTRY_UNSIGNED) {
        cmd_complain("%s is %s%s%s: a pin would keep what nobody can restore", b->m.source.stem,
                     entry_state_text(b->state), b->reason ? ": " : "", b->reason ? b->reason : "");
        return EXIT_DEFECT;
    }
    enum pin_outcome outcome = o->note ? pin_put_note(b, o->note, &e) : PIN_DONE;
    if (outcome == PIN_DONE)
        outcome = pin_put(b, &e);
    if (outcome != PIN_DONE)
        return failed(b, outcome, &e);
    b->noted = o->note ? *o->note != 0 : b->noted;
    b->pinned = true;
    if (b->m.bases.n > 0)
        (void)snprintf(bases, sizeof bases, ", nor the %u that it is made of", b->m.bases.n);
    (void)snprintf(what, sizeof what, "pinned; RETENTION does not let it go%s", bases);
    return say(o, b, what);
}

int cmd_unpin(const struct options *o)
{
    cleanup_backup_list struct backup_list list = {0};
    struct err e = {0};
    struct backup *b = the_one(o, &list);
    if (!b)
        return EXIT_DEFECT;
    bool was = b->pinned;
    if (was && pin_remove(b, &e) != 0)
        return failed(b, PIN_FAILED, &e);
    b->pinned = false;
    return say(o, b, was ? "not pinned any more; RETENTION decides again" : "was not pinned");
}

int cmd_note(const struct options *o)
{
    cleanup_backup_list struct backup_list list = {0};
    struct err e = {0};
    if (!note_is_fine(o->second))
        return EXIT_SETTING;
    struct backup *b = the_one(o, &list);
    if (!b)
        return EXIT_DEFECT;
    enum pin_outcome outcome = pin_put_note(b, o->second, &e);
    if (outcome != PIN_DONE)
        return failed(b, outcome, &e);
    b->noted = *o->second != 0;
    return say(o, b, b->noted ? "noted" : "without a note");
}

bool cmd_json_pin(cJSON *o, const struct backup *b)
{
    struct pin pin;
    char at[32];
    pin_read(b, &pin);
    utc_text(pin.at, at);
    return cJSON_AddBoolToObject(o, "pinned", b->pinned) &&
           (!b->pinned ||
            (cmd_json_text(o, "pinned_by", pin.by) &&
             (pin.at ? cmd_json_text(o, "pinned_at", at) : cJSON_AddNullToObject(o, "pinned_at") != NULL))) &&
           cmd_json_text(o, "note", pin.note);
}

void cmd_pin_text(const struct backup *b, char out[CMD_PIN_TEXT])
{
    char safe[NOTE_MAX * 4];
    struct pin pin;
    *out = 0;
    if (!b->pinned && !b->noted)
        return;
    pin_read(b, &pin);
    (void)text_printable(pin.note, safe, sizeof safe);
    if (*safe)
        (void)snprintf(out, CMD_PIN_TEXT, " (%s: %s)", b->pinned ? "pinned" : "note", safe);
    else if (b->pinned)
        (void)snprintf(out, CMD_PIN_TEXT, " (pinned)");
}

void cmd_print_pin(const struct backup *b)
{
    char text[CMD_PIN_TEXT];
    cmd_pin_text(b, text);
    (void)fputs(text, stdout);
}
