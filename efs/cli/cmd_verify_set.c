/* verify --set: of each collection the newest set that is complete, and all of whose bytes are as promised.
 * With a defect found the next older one is taken, or where each shard has several replicas, another backup
 * of the same slot. */
#include "common/base/cleanup.h"
#include "common/base/text.h"
#include "common/base/utc.h"
#include "common/json.h"
#include "efs/cli/cmd_sets.h"
#include "efs/cli/cmd_verify.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct verifying {
    const struct options *o;
    struct set_world *w;
    bool *done;     /* of each entry: it was verified */
    size_t defects; /* found in backups of sets */
    cJSON *array;   /* NULL: text */
};

/* Is one of them, not verified yet, no longer complete afterwards? */
static bool verify_needed(struct verifying *v, const struct set *s)
{
    bool bad = false;
    for (size_t i = 0; i < v->w->list.n; i++) {
        struct backup *b = &v->w->list.v[i];
        if (v->done[i] || !set_needs(s, b))
            continue;
        verify_one(v->o, b);
        v->done[i] = true;
        if (b->state == ENTRY_COMPLETE)
            continue;
        verify_complain(b);
        v->defects++;
        bad = true;
    }
    return bad;
}

/* The newer ones, which are passed over. */
static void say_passed(const struct verifying *v, const struct set *like, time_t than)
{
    char why[SET_REASONS], slot[UTC_TEXT], name[600];
    for (size_t i = 0; i < v->w->sets.n; i++) {
        const struct set *s = &v->w->sets.v[i];
        if (s->complete || s->slot <= than || !sets_same_place(s, like))
            continue;
        utc_text(s->slot, slot);
        set_reasons(v->w, s, why, sizeof why);
        cmd_complain("%s, slot %s: not complete, passed over: %s", set_collection(s, name, sizeof name), slot,
                     why);
    }
}

static size_t needed_by(const struct verifying *v, const struct set *s)
{
    size_t n = 0;
    for (size_t i = 0; s && i < v->w->list.n; i++)
        n += set_needs(s, &v->w->list.v[i]);
    return n;
}

static bool add_json(struct verifying *v, const struct set *s, const char *collection)
{
    cJSON *o = json_append_object(v->array);
    return o && cmd_json_text(o, "collection", collection) &&
           (s ? json_add_time(o, "slot", s->slot) : json_add_null(o, "slot")) &&
           json_add_number(o, "backups", (double)needed_by(v, s)) &&
           (s && s->points >= 0 ? json_add_number(o, "points", (double)s->points)
                                : json_add_null(o, "points")) &&
           json_add_text(o, "state", s ? "complete" : "none");
}

static void say(struct verifying *v, const struct set *s, const char *collection)
{
    char slot[UTC_TEXT], safe[600], points[60] = "";
    if (v->array) {
        if (!add_json(v, s, collection))
            cmd_complain("no memory");
        return;
    }
    (void)text_printable(collection, safe, sizeof safe);
    if (!s) {
        (void)printf("%s: no complete set\n", safe);
        return;
    }
    size_t n = needed_by(v, s);
    utc_text(s->slot, slot);
    if (s->points >= 0)
        (void)snprintf(points, sizeof points, ", %" PRId64 " points", s->points);
    (void)printf("%s: the set of %s is complete, %zu backup%s verified%s\n", safe, slot, n, n == 1 ? "" : "s",
                 points);
}

/* Of the place of that entry. False: there is none, or a defect was found on the way. */
static int verify_place(struct verifying *v, size_t at)
{
    char collection[256];
    const struct set *s = NULL;
    bool several = false, bad = false;
    (void)snprintf(collection, sizeof collection, "%s", v->w->sets.v[at].v[0].b->m.source.collection);
    size_t before = v->defects;
    do {
        if (bad && set_world_again(v->w) != 0)
            return EXIT_DEFECT;
        s = sets_newest(&v->w->sets, &v->w->sets.v[at], time(NULL) + BACKUP_AHEAD, &several);
        bad = s && verify_needed(v, s);
    } while (bad);
    say_passed(v, &v->w->sets.v[at], s ? s->slot : 0);
    say(v, s, collection);
    return s && v->defects == before ? 0 : EXIT_DEFECT;
}

int cmd_verify_set(const struct options *o)
{
    cleanup_set_world struct set_world w = {0};
    int rc = set_world_gather(o, &w), out = 0;
    if (rc != 0)
        return rc;
    cleanup_free bool *done = calloc(w.list.n + 1, sizeof *done);
    struct verifying v = {.o = o, .w = &w, .done = done, .array = o->json ? cJSON_CreateArray() : NULL};
    if (!done || (o->json && !v.array))
        return cmd_complain("no memory"), EXIT_DEFECT;
    /* The sets stay in their order and as many, whatever states change. */
    for (size_t i = 0; i < w.sets.n; i++)
        if (i == 0 || !sets_same_place(&w.sets.v[i], &w.sets.v[i - 1]))
            out = verify_place(&v, i) ? EXIT_DEFECT : out;
    if (w.sets.n == 0)
        cmd_complain("no set to verify");
    rc = o->json ? cmd_print_json(v.array) : fflush(stdout) == 0 ? 0 : EXIT_DEFECT;
    return out || w.sets.n == 0 ? EXIT_DEFECT : rc;
}
