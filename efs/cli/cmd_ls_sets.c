/* ls --sets: which backups of the nodes of a cluster make a whole together, and what others lack. */
#include "common/base/cleanup.h"
#include "common/base/text.h"
#include "common/base/utc.h"
#include "common/json.h"
#include "efs/cli/cmd_sets.h"
#include "efs/cli/cmd_table.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* So many nodes have a backup in it. */
static size_t nodes_of(const struct set *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        size_t k = 0;
        while (k < i && strcmp(s->v[k].b->m.node, s->v[i].b->m.node) != 0)
            k++;
        n += k == i;
    }
    return n;
}

static unsigned here(const struct set *s)
{
    unsigned n = 0;
    for (size_t i = 0; i < s->n_shards; i++)
        n += s->shards[i].lack == SET_HERE;
    return n;
}

/* The name of its tree. */
static const char *tree_of(const struct set *s, char *out, size_t size)
{
    char raw[600];
    size_t n, at;
    (void)cmd_folder_of(s->v[0].b, &n);
    for (at = n; at > 0 && s->v[0].b->dir[at - 1] != '/'; at--)
        ;
    (void)snprintf(raw, sizeof raw, "%.*s", (int)(n - at), s->v[0].b->dir + at);
    return text_printable(raw, out, size);
}

/* `tree`: the width of that column, 0: there is one tree alone. */
static void print_row(const struct set_world *w, const struct set *s, size_t tree, size_t width)
{
    char safe[600], slot[UTC_TEXT], shards[32] = "whole", points[24] = "-", skew[32] = "-",
                                    why[SET_REASONS] = "";
    bool colour = cmd_colour();
    utc_text(s->slot, slot);
    if (!s->by_itself)
        (void)snprintf(shards, sizeof shards, "%u of %zu", here(s), s->n_shards);
    if (s->points >= 0)
        (void)snprintf(points, sizeof points, "%" PRId64, s->points);
    if (s->complete && !s->by_itself)
        (void)snprintf(skew, sizeof skew, "%lld s", (long long)s->skew);
    if (!s->complete)
        set_reasons(w, s, why, sizeof why);
    if (tree > 0)
        table_cell(tree_of(s, safe, sizeof safe), tree, false);
    table_cell(set_collection(s, safe, sizeof safe), width, false);
    (void)printf("%-20s  %5zu  %10s  %12s  %6s  %s%s%s", slot, nodes_of(s), shards, points, skew,
                 !colour       ? ""
                 : s->complete ? "\033[32m"
                               : "\033[33m",
                 s->complete ? "complete" : "incomplete", colour ? "\033[0m" : "");
    if (*why)
        (void)printf(": %s", why);
    if (s->in_motion)
        (void)printf(" (some replica is not Active)");
    (void)putchar('\n');
}

static int print_table(const struct set_world *w, const bool *shown)
{
    char safe[600];
    size_t width = strlen("COLLECTION"), tree = set_several_trees(&w->sets) ? strlen("TREE") : 0, n = 0,
           complete = 0;
    for (size_t i = 0; i < w->sets.n; i++) {
        if (!shown[i])
            continue;
        width = table_wider(width, set_collection(&w->sets.v[i], safe, sizeof safe));
        tree = tree > 0 ? table_wider(tree, tree_of(&w->sets.v[i], safe, sizeof safe)) : 0;
        complete += w->sets.v[i].complete;
        n++;
    }
    if (n > 0) {
        if (tree > 0)
            table_cell("TREE", tree, false);
        table_cell("COLLECTION", width, false);
        (void)printf("%-20s  %5s  %10s  %12s  %6s  %s\n", "SLOT", "NODES", "SHARDS", "POINTS", "SKEW",
                     "STATE");
    }
    for (size_t i = 0; i < w->sets.n; i++)
        if (shown[i])
            print_row(w, &w->sets.v[i], tree, width);
    if (n > 0)
        (void)printf("%zu set%s, %zu complete\n", n, n == 1 ? "" : "s", complete);
    return fflush(stdout) == 0 ? 0 : EXIT_DEFECT;
}

/* --- JSON */

static const char *lack_word(enum set_lack lack)
{
    static const char *const word[] = {[SET_HERE] = "",
                                       [SET_NO_BACKUP] = "no_backup",
                                       [SET_NOT_GOOD] = "not_good",
                                       [SET_UNTOLD] = "untold",
                                       [SET_NOT_ACTIVE] = "not_active",
                                       [SET_NOWHERE] = "nowhere",
                                       [SET_OTHER_KEY] = "other_key"};
    return word[lack];
}

static bool add_key(cJSON *o, const char *key)
{
    cJSON *value = key ? cJSON_Parse(key) : NULL;
    if (!value || cJSON_AddItemToObject(o, "key", value))
        return true;
    cJSON_Delete(value);
    return false;
}

static bool add_count(cJSON *o, const char *name, int64_t n)
{
    return n >= 0 ? json_add_number(o, name, (double)n) : json_add_null(o, name);
}

static bool add_shard(cJSON *list, const struct set_world *w, const struct set_shard *s)
{
    cJSON *o = json_append_object(list);
    const char *peer = s->peer ? s->peer : "";
    if (!o || !json_add_number(o, "id", s->id) || !add_key(o, s->key))
        return false;
    if (s->from)
        return cmd_json_text(o, "node", s->from->b->m.node) &&
               cmd_json_text(o, "snapshot", s->from->b->m.source.stem) && add_count(o, "points", s->points) &&
               json_add_number(o, "backups", s->good) && json_add_number(o, "replicas", s->replicas);
    return cmd_json_text(o, "lacks", lack_word(s->lack)) &&
           cmd_json_text(o, "node", *peer ? set_peer_name(peer, (void *)w) : "") &&
           cmd_json_text(o, "peer_id", peer) && json_add_number(o, "replicas", s->replicas);
}

static bool add_backup(cJSON *list, const struct set *s, const struct backup *b)
{
    cJSON *o = json_append_object(list);
    return o && cmd_json_text(o, "node", b->m.node) && cmd_json_text(o, "peer_id", b->m.source.peer) &&
           cmd_json_text(o, "snapshot", b->m.source.stem) &&
           json_add_text(o, "frequency", frequency_text(b->frequency)) &&
           json_add_time(o, "created", b->m.created) &&
           json_add_text(o, "state", entry_state_text(b->state)) &&
           cJSON_AddBoolToObject(o, "needed", s->complete && set_needs(s, b));
}

/* The reasons are those of the table, too. */
static bool fill(cJSON *o, const struct set_world *w, const struct set *s)
{
    char why[SET_REASONS] = "", tree[600];
    if (!s->complete)
        set_reasons(w, s, why, sizeof why);
    bool good = cmd_json_text(o, "tree", tree_of(s, tree, sizeof tree)) &&
                cmd_json_text(o, "collection", s->v[0].b->m.source.collection) &&
                json_add_time(o, "slot", s->slot) &&
                json_add_text(o, "state", s->complete ? "complete" : "incomplete") &&
                cmd_json_text(o, "reason", why) && add_count(o, "points", s->points) &&
                (s->complete ? json_add_number(o, "skew_seconds", (double)s->skew)
                             : json_add_null(o, "skew_seconds")) &&
                cJSON_AddBoolToObject(o, "replicas_active", !s->in_motion);
    cJSON *shards = good ? cJSON_AddArrayToObject(o, "shards") : NULL,
          *backups = shards ? cJSON_AddArrayToObject(o, "backups") : NULL;
    good = backups != NULL;
    for (size_t i = 0; good && i < s->n_shards; i++)
        good = add_shard(shards, w, &s->shards[i]);
    for (size_t i = 0; good && i < s->n; i++)
        good = add_backup(backups, s, s->v[i].b);
    return good;
}

cJSON *set_json(const struct set_world *w, const struct set *s)
{
    cJSON *o = cJSON_CreateObject();
    if (o && fill(o, w, s))
        return o;
    cJSON_Delete(o);
    return NULL;
}

static int print_json(const struct set_world *w, const bool *shown)
{
    cJSON *array = cJSON_CreateArray();
    for (size_t i = 0; array && i < w->sets.n; i++) {
        cJSON *o = shown[i] ? json_append_object(array) : NULL;
        if (shown[i] && (!o || !fill(o, w, &w->sets.v[i]))) {
            cJSON_Delete(array);
            array = NULL;
        }
    }
    return cmd_print_json(array);
}

/* --latest: of each tree and collection; the sets come oldest first. */
static void choose(const struct options *o, const struct sets *s, bool *shown)
{
    unsigned seen = 0;
    for (size_t i = s->n; i-- > 0;) {
        seen = i + 1 < s->n && sets_same_place(&s->v[i], &s->v[i + 1]) ? seen : 0;
        shown[i] = o->latest == 0 || seen < o->latest;
        seen++;
    }
}

int cmd_ls_sets(const struct options *o)
{
    cleanup_set_world struct set_world w = {0};
    int rc = set_world_gather(o, &w);
    if (rc != 0)
        return rc;
    cleanup_free bool *shown = calloc(w.sets.n + 1, sizeof *shown);
    if (!shown)
        return cmd_complain("no memory"), EXIT_DEFECT;
    choose(o, &w.sets, shown);
    rc = o->json ? print_json(&w, shown) : print_table(&w, shown);
    return rc == 0 && w.list.n == 0 && o->n_collections > 0 ? EXIT_DEFECT : rc; /* asked for by name */
}
