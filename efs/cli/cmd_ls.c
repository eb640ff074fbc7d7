/* ls: what is there. */
#include "common/base/cleanup.h"
#include "common/base/text.h"
#include "common/base/utc.h"
#include "efs/cli/cli.h"
#include "efs/cli/cmd_table.h"
#include "efs/replica/replica.h"
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct table {
    size_t collection, node; /* widths; node 0: without that column */
    bool colour;
    const struct deleted *deleted;
};

static const char *node_text(const struct backup *b, char *out, size_t size)
{
    return text_printable(b->m.node[0] ? b->m.node : b->m.source.peer, out, size);
}

static void print_row(const struct backup *b, const struct table *t)
{
    char safe[1200], slot[32], size[16] = "-", stored[16] = "-";
    time_t deleted = deleted_when(t->deleted, b);
    utc_text(b->m.slot, slot);
    if (b->m.content.sha256[0]) {
        (void)cmd_human(b->m.content.size, size);
        (void)cmd_human(b->m.content.stored_size, stored);
    }
    table_cell(table_source(&b->m.source, safe, sizeof safe), t->collection, false);
    if (t->node > 0)
        table_cell(node_text(b, safe, sizeof safe), t->node, false);
    const char *paint = !t->colour                   ? ""
                        : b->state == ENTRY_COMPLETE ? "\033[32m"
                        : b->state == ENTRY_CORRUPT  ? "\033[31m"
                                                     : "\033[33m";
    (void)printf("%-9s  %-20s  %10s  %10s  %s%-10s%s  %s", frequency_text(b->frequency),
                 b->m.slot ? slot : "-", size, stored, paint, entry_state_text(b->state),
                 t->colour ? "\033[0m" : "", text_printable(b->m.source.stem, safe, sizeof safe));
    if (b->m.upload)
        (void)printf(" (uploaded, without Qdrant's checksum)");
    if (b->reason)
        (void)printf(": %s", text_printable(b->reason, safe, sizeof safe));
    utc_text(deleted, slot);
    if (deleted)
        (void)printf(" (collection deleted %s)", slot);
    (void)putchar('\n');
}

/* Only where several nodes are told apart. */
static size_t node_width(const struct backup_list *list)
{
    char safe[600];
    size_t width = strlen("NODE");
    bool several = false;
    const char *first = "";
    for (size_t i = 0; i < list->n; i++) {
        const char *node = list->v[i].m.node; /* of a shard or the whole storage it may be empty */
        several = several || (*first && *node && strcmp(node, first) != 0);
        first = *first ? first : node;
        width = table_wider(width, node_text(&list->v[i], safe, sizeof safe));
    }
    return several ? width : 0;
}

/* What is in the table, in a line. */
static void sum_up(const struct backup_list *list)
{
    char size[16], stored[16];
    size_t count[ENTRY_STATES] = {0};
    uint64_t bytes = 0, stored_bytes = 0;
    const char *comma = "";
    for (size_t i = 0; i < list->n; i++) {
        const struct backup *b = &list->v[i];
        count[b->state]++;
        bytes += b->m.content.sha256[0] ? b->m.content.size : 0;
        stored_bytes += b->m.content.sha256[0] ? b->m.content.stored_size : 0;
    }
    (void)printf("%zu backup%s, %s, stored as %s: ", list->n, list->n == 1 ? "" : "s", cmd_human(bytes, size),
                 cmd_human(stored_bytes, stored));
    if (count[ENTRY_COMPLETE] == list->n) {
        (void)puts(list->n == 1 ? "complete" : "all complete");
        return;
    }
    for (int s = ENTRY_COMPLETE; s < ENTRY_STATES; s++)
        if (count[s] > 0) {
            (void)printf("%s%zu %s", comma, count[s], entry_state_text((enum entry_state)s));
            comma = ", ";
        }
    (void)putchar('\n');
}

static int print_table(const struct backup_list *list, const struct deleted *deleted)
{
    struct table t = {.collection = strlen("COLLECTION"),
                      .node = node_width(list),
                      .colour = cmd_colour(),
                      .deleted = deleted};
    char safe[600];
    for (size_t i = 0; i < list->n; i++)
        t.collection = table_wider(t.collection, table_source(&list->v[i].m.source, safe, sizeof safe));
    if (list->n > 0) {
        table_cell("COLLECTION", t.collection, false);
        if (t.node > 0)
            table_cell("NODE", t.node, false);
        (void)printf("%-9s  %-20s  %10s  %10s  %-10s  %s\n", "FREQUENCY", "SLOT", "SIZE", "STORED", "STATE",
                     "SNAPSHOT");
    }
    for (size_t i = 0; i < list->n; i++)
        print_row(&list->v[i], &t);
    if (list->n > 0)
        sum_up(list);
    return fflush(stdout) == 0 ? 0 : EXIT_DEFECT;
}

static bool add_deleted(cJSON *o, const struct deleted *deleted, const struct backup *b)
{
    char when[32];
    time_t t = deleted_when(deleted, b);
    utc_text(t, when);
    return o && (!t || cJSON_AddStringToObject(o, "deleted", when));
}

static int print_array(const struct backup_list *list, const struct deleted *deleted)
{
    cJSON *array = cJSON_CreateArray();
    for (size_t i = 0; array && i < list->n; i++) {
        cJSON *o = cmd_json(&list->v[i]);
        if (add_deleted(o, deleted, &list->v[i]) && cJSON_AddItemToArray(array, o))
            continue;
        cJSON_Delete(o);
        cJSON_Delete(array);
        array = NULL;
    }
    return cmd_print_json(array);
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
        kept[i] = (o->state < 0 || list->v[i].state == (enum entry_state)o->state) &&
                  (o->latest == 0 || !has_newer(list, kept, i, o->latest));
}

/* --state, and then --latest. False without memory. */
static bool narrow(const struct options *o, struct backup_list *list)
{
    size_t n = 0, had = list->n;
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
    if (n == 0 && had > 0)
        cmd_complain("none of %zu backups is %s", had, entry_state_text((enum entry_state)o->state));
    return true;
}

int cmd_ls(const struct options *o)
{
    cleanup_backup_list struct backup_list list = {0};
    if (o->set)
        return cmd_ls_sets(o);
    if (cmd_gather(o, &list) != 0)
        return EXIT_DEFECT;
    cmd_keep_node(o, &list);
    bool any = list.n > 0;
    if (!narrow(o, &list))
        return cmd_complain("no memory"), EXIT_DEFECT;
    struct deleted *deleted = deleted_load(o);
    int rc = o->json ? print_array(&list, deleted) : print_table(&list, deleted);
    deleted_free(deleted);
    return rc == 0 && !any && o->n_collections > 0 ? EXIT_DEFECT : rc; /* asked for by name */
}
