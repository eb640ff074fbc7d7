/* ls: what is there. */
#include "common/base/cleanup.h"
#include "common/base/string_list.h"
#include "common/base/text.h"
#include "common/base/utc.h"
#include "efs/cli/cli.h"
#include "efs/cli/cmd_table.h"
#include "efs/replica/replica.h"
#include "efs/repo/ruler.h"
#include "common/json.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a line of the table says. There may be hundreds of thousands, and how wide the columns are only the
 * last one tells. */
struct line {
    time_t slot, deleted;
    uint64_t size, stored;
    unsigned source, node; /* in `names` */
    unsigned char state, frequency;
    bool known, upload;
    char text[]; /* the snapshot's name, its pin and the reason, each with its NUL; or nothing of these */
};
struct block {
    struct block *next;
    size_t used;
    char bytes[];
};
enum { BLOCK = 1 << 20 };
struct listing {
    const struct options *o;
    const struct deleted *deleted;
    size_t found, kept; /* backups, before --state and --node; and after them */
    size_t of_node;
    /* the table */
    struct block *first, *last;
    char **names; /* as they are printed, each once but for those of a folder far back */
    size_t n_names;
    size_t collection, node; /* widths */
    bool several;            /* nodes are told apart */
    char first_node[128];
    size_t count[ENTRY_STATES], pinned;
    uint64_t bytes, stored;
};

static const char *node_text(const struct backup *b, char *out, size_t size)
{
    return text_printable(b->m.node[0] ? b->m.node : b->m.source.peer, out, size);
}

static void listing_free(struct listing *l)
{
    for (struct block *b = l->first, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    string_list_free(l->names, l->n_names);
}

/* NULL without memory. */
static struct line *place_for(struct listing *l, size_t text)
{
    size_t align = _Alignof(struct line), size = (sizeof(struct line) + text + align - 1) / align * align;
    if (!l->last || l->last->used + size > BLOCK) {
        struct block *b = malloc(sizeof *b + BLOCK);
        if (!b)
            return NULL;
        *b = (struct block){0};
        *(l->last ? &l->last->next : &l->first) = b;
        l->last = b;
    }
    struct line *place = (struct line *)(void *)(l->last->bytes + l->last->used);
    l->last->used += size;
    return place;
}

/* The number of a name; those of a folder come one after the other. -1 without memory. */
static int number_of(struct listing *l, const char *name, unsigned *out)
{
    enum { BACK = 32 };
    for (size_t i = l->n_names; i > 0 && i + BACK > l->n_names; i--)
        if (strcmp(l->names[i - 1], name) == 0) {
            *out = (unsigned)(i - 1);
            return 0;
        }
    *out = (unsigned)l->n_names;
    return string_list_add(&l->names, &l->n_names, name) ? 0 : -1;
}

static void count(struct listing *l, const struct backup *b)
{
    l->count[b->state]++;
    l->pinned += b->pinned;
    l->bytes += b->m.content.sha256[0] ? b->m.content.size : 0;
    l->stored += b->m.content.sha256[0] ? b->m.content.stored_size : 0;
    /* Of a shard or the whole storage a node's name may be empty. */
    l->several = l->several || (*l->first_node && *b->m.node && strcmp(b->m.node, l->first_node) != 0);
    if (!*l->first_node)
        (void)snprintf(l->first_node, sizeof l->first_node, "%s", b->m.node);
}

static int keep_line(struct listing *l, const struct backup *b, struct err *e)
{
    char source[1200], node[600], pin[CMD_PIN_TEXT + 40]; /* what is said behind the name */
    const char *reason = b->reason ? b->reason : "",
               *name = table_source(&b->m.source, source, sizeof source);
    cmd_pin_text(b, pin);
    if (b->needed_by > 0)
        (void)snprintf(pin + strlen(pin), sizeof pin - strlen(pin), " (needed by %u newer)", b->needed_by);
    size_t stem = strlen(b->m.source.stem) + 1, pins = strlen(pin) + 1, why = strlen(reason) + 1;
    struct line *line = place_for(l, stem + pins + why);
    if (!line || number_of(l, name, &line->source) != 0 ||
        number_of(l, node_text(b, node, sizeof node), &line->node) != 0)
        return err_set(e, ENOMEM, "cannot list", b->dir, NULL);
    line->slot = b->m.slot;
    line->deleted = deleted_when(l->deleted, b);
    line->size = b->m.content.size;
    line->stored = b->m.content.stored_size;
    line->state = (unsigned char)b->state;
    line->frequency = (unsigned char)b->frequency;
    line->known = b->m.content.sha256[0] != 0;
    line->upload = b->m.upload;
    memcpy(line->text, b->m.source.stem, stem);
    memcpy(line->text + stem, pin, pins);
    memcpy(line->text + stem + pins, reason, why);
    l->collection = table_wider(l->collection, l->names[line->source]);
    l->node = table_wider(l->node, l->names[line->node]);
    count(l, b);
    return 0;
}

static const char *pin_of(const struct line *b) { return b->text + strlen(b->text) + 1; }
static const char *reason_of(const struct line *b)
{
    const char *pin = pin_of(b);
    return pin + strlen(pin) + 1;
}

static void print_line(const struct listing *l, const struct line *b, bool colour)
{
    char safe[1200], slot[32], size[16] = "-", stored[16] = "-";
    const char *reason = reason_of(b);
    utc_text(b->slot, slot);
    if (b->known) {
        (void)cmd_human(b->size, size);
        (void)cmd_human(b->stored, stored);
    }
    table_cell(l->names[b->source], l->collection, false);
    if (l->several)
        table_cell(l->names[b->node], l->node, false);
    const char *paint = !colour                      ? ""
                        : b->state == ENTRY_COMPLETE ? "\033[32m"
                        : b->state == ENTRY_CORRUPT  ? "\033[31m"
                                                     : "\033[33m";
    (void)printf("%-9s  %-20s  %10s  %10s  %s%-10s%s  %s", frequency_text((enum frequency)b->frequency),
                 b->slot ? slot : "-", size, stored, paint, entry_state_text((enum entry_state)b->state),
                 colour ? "\033[0m" : "", text_printable(b->text, safe, sizeof safe));
    if (b->upload)
        (void)printf(" (uploaded, without Qdrant's checksum)");
    (void)fputs(pin_of(b), stdout);
    if (*reason)
        (void)printf(": %s", text_printable(reason, safe, sizeof safe));
    utc_text(b->deleted, slot);
    if (b->deleted)
        (void)printf(" (collection deleted %s)", slot);
    (void)putchar('\n');
}

/* What is in the table, in a line. */
static void sum_up(const struct listing *l)
{
    char size[16], stored[16], pins[40] = "";
    const char *comma = "";
    if (l->pinned > 0)
        (void)snprintf(pins, sizeof pins, "; %zu pinned", l->pinned);
    (void)printf("%zu backup%s, %s, stored as %s: ", l->kept, l->kept == 1 ? "" : "s",
                 cmd_human(l->bytes, size), cmd_human(l->stored, stored));
    if (l->count[ENTRY_COMPLETE] == l->kept) {
        (void)printf("%s%s\n", l->kept == 1 ? "complete" : "all complete", pins);
        return;
    }
    for (int s = ENTRY_COMPLETE; s < ENTRY_STATES; s++)
        if (l->count[s] > 0) {
            (void)printf("%s%zu %s", comma, l->count[s], entry_state_text((enum entry_state)s));
            comma = ", ";
        }
    (void)puts(pins);
}

static void print_table(const struct listing *l)
{
    bool colour = cmd_colour();
    if (l->kept == 0)
        return;
    table_cell("COLLECTION", l->collection, false);
    if (l->several)
        table_cell("NODE", l->node, false);
    (void)printf("%-9s  %-20s  %10s  %10s  %-10s  %s\n", "FREQUENCY", "SLOT", "SIZE", "STORED", "STATE",
                 "SNAPSHOT");
    for (const struct block *b = l->first; b; b = b->next)
        for (size_t at = 0; at < b->used;) {
            const struct line *line = (const struct line *)(const void *)(b->bytes + at);
            const char *reason = reason_of(line);
            size_t align = _Alignof(struct line), text = (size_t)(reason - line->text) + strlen(reason) + 1;
            print_line(l, line, colour);
            at += (sizeof *line + text + align - 1) / align * align;
        }
    sum_up(l);
}

static bool add_deleted(cJSON *o, const struct deleted *deleted, const struct backup *b)
{
    char when[32];
    time_t t = deleted_when(deleted, b);
    utc_text(t, when);
    return o && (!t || cJSON_AddStringToObject(o, "deleted", when));
}

/* As it would stand in an array of all of them. */
static int print_one(const struct listing *l, const struct backup *b, struct err *e)
{
    cJSON *array = cJSON_CreateArray(), *o = array ? cmd_json(b) : NULL;
    if (!o || !cJSON_AddNumberToObject(o, "needed_by", b->needed_by) || !add_deleted(o, l->deleted, b) ||
        !cJSON_AddItemToArray(array, o)) {
        cJSON_Delete(o);
        cJSON_Delete(array);
        return err_set(e, ENOMEM, "cannot print", b->dir, NULL);
    }
    cleanup_json_text char *raw = cJSON_Print(array);
    cleanup_free char *text = raw ? text_json(raw) : NULL;
    cJSON_Delete(array);
    if (!text)
        return err_set(e, ENOMEM, "cannot print", b->dir, NULL);
    size_t n = strlen(text); /* "[" and "]" are those of all */
    bool good =
        fputs(l->kept == 0 ? "[" : ", ", stdout) >= 0 && n > 2 && fwrite(text + 1, 1, n - 2, stdout) == n - 2;
    return good ? 0 : err_set(e, errno, "cannot print", "the list", NULL);
}

/* Has `b` `latest` newer ones of its folder and node among those that are kept? They come oldest first. Tasks
 * without a NODE_NAME count as one node. */
static bool has_newer(const struct backup_list *list, const bool *kept, size_t at, unsigned latest)
{
    const struct backup *b = &list->v[at];
    for (size_t i = at + 1; latest > 0 && i < list->n && cmd_same_folder(b, &list->v[i]); i++)
        latest -= kept[i] && strcmp(replica_node(&b->m), replica_node(&list->v[i].m)) == 0;
    return latest == 0;
}

static void mark(const struct options *o, const struct backup_list *list, bool *kept)
{
    for (size_t i = list->n; i-- > 0;)
        kept[i] = (!o->pinned || list->v[i].pinned) &&
                  (o->state < 0 || list->v[i].state == (enum entry_state)o->state) &&
                  (o->latest == 0 || !has_newer(list, kept, i, o->latest));
}

/* --state, and then --latest. False without memory. */
static bool narrow(const struct options *o, struct backup_list *list)
{
    size_t n = 0;
    cleanup_free bool *kept = calloc(list->n + 1, sizeof *kept);
    if (!kept)
        return false;
    mark(o, list, kept);
    for (size_t i = 0; i < list->n; i++)
        if (kept[i])
            list->v[n++] = list->v[i];
        else
            free(list->v[i].reason);
    list->n = n;
    return true;
}

static int list_some(struct backup_list *list, void *arg, struct err *e)
{
    struct listing *l = arg;
    int rc = 0;
    l->found += list->n;
    ruler_count(list);
    cmd_filter_node(l->o, list);
    l->of_node += list->n;
    if (!narrow(l->o, list))
        return err_set(e, ENOMEM, "cannot list", "backups", NULL);
    for (size_t i = 0; rc == 0 && i < list->n; i++) {
        rc = l->o->json ? print_one(l, &list->v[i], e) : keep_line(l, &list->v[i], e);
        l->kept += rc == 0;
    }
    return rc;
}

int cmd_ls(const struct options *o)
{
    if (o->set)
        return cmd_ls_sets(o);
    struct deleted *deleted = deleted_load(o);
    struct listing l = {
        .o = o, .deleted = deleted, .collection = strlen("COLLECTION"), .node = strlen("NODE")};
    int rc = cmd_each_list(o, readers_read, list_some, &l) == 0 ? 0 : EXIT_DEFECT;
    if (rc == 0 && l.found == 0)
        cmd_tell_none(o);
    else if (rc == 0 && l.of_node == 0)
        cmd_tell_no_node(o);
    else if (rc == 0 && l.kept == 0)
        cmd_complain("none of %zu backups is %s%s%s", l.of_node, o->pinned ? "pinned" : "",
                     o->pinned && o->state >= 0 ? " and " : "",
                     o->state >= 0 ? entry_state_text((enum entry_state)o->state) : "");
    if (rc == 0 && o->json)
        (void)puts(l.kept > 0 ? "]" : "[]"); /* after an error what there is stays open, and is no JSON */
    else if (rc == 0)
        print_table(&l);
    if (fflush(stdout) != 0)
        rc = EXIT_DEFECT;
    listing_free(&l);
    deleted_free(deleted);
    return rc == 0 && l.of_node == 0 && o->n_collections > 0 ? EXIT_DEFECT : rc; /* asked for by name */
}
