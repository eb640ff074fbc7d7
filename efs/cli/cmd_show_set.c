/* show SET: a set of a cluster's backups by the name that `restore --set` gives it, {collection}-set-{slot}:
 * which backup gives which shard, what is missing, and the command that restores it. */
#include "common/base/text.h"
#include "common/base/utc.h"
#include "efs/cli/cmd_sets.h"
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char MIDDLE[] = "-set-", TIME[] = "0000-00-00-00-00-00";

/* The length of the collection's name in that of a set; 0: it is none. */
static size_t collection_in(const char *name)
{
    size_t n = strlen(name), tail = strlen(MIDDLE) + strlen(TIME);
    if (n <= tail || strncmp(name + n - tail, MIDDLE, strlen(MIDDLE)) != 0)
        return 0;
    for (size_t i = 0; TIME[i]; i++) {
        char c = name[n - strlen(TIME) + i];
        if (TIME[i] == '-' ? c != '-' : !isdigit((unsigned char)c))
            return 0;
    }
    return n - tail;
}

bool set_is_named(const char *name) { return collection_in(name) > 0; }

static bool is_of(const struct set *s, const char *name)
{
    char text[32] = "";
    struct tm tm;
    if (gmtime_r(&s->slot, &tm))
        (void)strftime(text, sizeof text, "%Y-%m-%d-%H-%M-%S", &tm);
    return strcmp(text, name + strlen(name) - strlen(TIME)) == 0;
}

static void row(const char *name, const char *value)
{
    char safe[SET_REASONS * 2];
    (void)printf("%-15s %s\n", name, text_printable(value, safe, sizeof safe));
}

static void print_shard(const struct set_world *w, const struct set_shard *s)
{
    char text[900], points[32] = "", name[64];
    (void)snprintf(name, sizeof name, "shard %u", s->id);
    if (s->points >= 0)
        (void)snprintf(points, sizeof points, ", %" PRId64 " points", s->points);
    if (s->from)
        (void)snprintf(text, sizeof text, "%.127s, %.255s%s%s%.100s", s->from->b->m.node,
                       s->from->b->m.source.stem, points, s->key ? ", key " : "", s->key ? s->key : "");
    else
        (void)set_lack_text(s, set_peer_name, (void *)w, text, sizeof text);
    row(name, text);
}

static void print_set(const struct set_world *w, const struct set *s, const char *name)
{
    char text[SET_REASONS], slot[UTC_TEXT], word[1200];
    time_t last = 0;
    utc_text(s->slot, slot);
    row("set", name);
    row("collection", s->v[0].b->m.source.collection);
    row("slot", slot);
    set_reasons(w, s, text, sizeof text);
    row("state", s->complete ? "complete" : "incomplete");
    if (s->points >= 0)
        (void)printf("%-15s %" PRId64 "\n", "points", s->points);
    if (s->complete && !s->by_itself)
        (void)printf("%-15s %lld s between the first and the last snapshot\n", "skew", (long long)s->skew);
    if (s->in_motion)
        row("replicas", "some replica is not Active");
    for (size_t i = 0; i < s->n_shards; i++)
        print_shard(w, &s->shards[i]);
    for (size_t i = 0; i < s->n; i++) {
        const struct backup *b = s->v[i].b;
        last = b->m.created > last ? b->m.created : last;
        (void)snprintf(text, sizeof text, "%.127s, %s, %.255s, %s%s", b->m.node, frequency_text(b->frequency),
                       b->m.source.stem, entry_state_text(b->state),
                       s->complete && !set_needs(s, b) ? ", not needed" : "");
        row("backup", text);
    }
    if (!s->complete)
        return;
    utc_text(last, slot);
    (void)printf(
        "\nInto the node or the cluster at QDRANT_URL:\n  qdrant-efs restore --set --collection %s --at %s\n",
        text_shell(s->v[0].b->m.source.collection, word, sizeof word), slot);
}

int cmd_show_set(const struct options *o)
{
    cleanup_set_world struct set_world w = {0};
    struct options of = *o;
    char collection[256];
    const char *name = collection;
    size_t shown = 0;
    (void)snprintf(collection, sizeof collection, "%.*s", (int)collection_in(o->operand), o->operand);
    of.operand = NULL;
    of.collections = &name;
    of.n_collections = 1;
    int rc = set_world_gather(&of, &w);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < w.sets.n; i++) {
        if (!is_of(&w.sets.v[i], o->operand))
            continue;
        if (o->json)
            return cmd_print_json(set_json(&w, &w.sets.v[i]));
        if (shown++ > 0)
            (void)putchar('\n');
        print_set(&w, &w.sets.v[i], o->operand);
    }
    if (shown == 0)
        cmd_complain("there is no set %s; `qdrant-efs ls --sets --collection %s` lists those that there are",
                     o->operand, collection);
    return shown > 0 && fflush(stdout) == 0 ? 0 : EXIT_DEFECT;
}
