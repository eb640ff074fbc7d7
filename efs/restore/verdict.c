#include "efs/restore/verdict.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { LATER = 300 };

const struct verdict_row *verdict_row(enum verdict v)
{
    static const struct verdict_row row[VERDICTS] = {
        [VERDICT_UNKNOWN] = {"not looked at", "unknown", 1, false},
        [VERDICT_EQUAL] = {"proven", "proven", 0, true},
        [VERDICT_UNPROVEN] = {"unproven", "unproven", 0, true},
        [VERDICT_PARTLY] = {"in part", "partly", 0, true},
        [VERDICT_EMPTY] = {"EMPTY", "empty", 1, false},
        [VERDICT_POINTS] = {"POINTS DIFFER", "points_differ", 1, false},
        [VERDICT_CONTENT] = {"CONTENTS DIFFER", "contents_differ", 1, false},
        [VERDICT_CONFIG] = {"CONFIGURATION DIFFERS", "configuration_differs", 1, false},
        [VERDICT_RED] = {"RED", "red", 1, false},
        [VERDICT_ALIASES] = {"WITHOUT ITS ALIASES", "no_aliases", 1, false},
        [VERDICT_DEFECT] = {"DEFECT", "defect", 1, false},
        [VERDICT_REFUSED] = {"refused", "refused", 1, false},
        [VERDICT_FAILED] = {"FAILED", "failed", 1, false},
    };
    return &row[v];
}

/* The estimate is asked for just before the copy, at whose end the manifest is written. */
static bool is_later(const struct backup *b)
{
    return b->written && b->m.created > 0 && b->written - (time_t)b->m.seconds > b->m.created + LATER;
}

struct verdict_was verdict_was(const struct backup *b)
{
    const struct manifest *m = &b->m;
    const struct fingerprint *f = &m->fingerprint;
    struct verdict_was w = {.count = COUNT_NONE, .points = -1};
    if (m->source.kind == KIND_SHARD && m->points >= 0) {
        w.points = m->points;
        w.count = is_later(b) ? COUNT_LATER : COUNT_ESTIMATE;
    }
    if (m->source.kind != KIND_COLLECTION) /* of the storage Qdrant tells no number */
        return w;
    if (f->known) {
        w.fingerprint = f;
        w.points = f->after.points;
        w.count = !f->before.counted || !f->after.counted ? COUNT_ESTIMATE
                  : f->exact                              ? COUNT_EXACT
                                                          : COUNT_RANGE;
    } else if (m->points >= 0) {
        w.points = m->points;
        w.count = is_later(b) ? COUNT_LATER : COUNT_ESTIMATE;
    }
    return w;
}

/* An estimate may be off where segments are merged, and by what was written in the moment before it. */
static bool near(int64_t estimate, int64_t points)
{
    int64_t slack = estimate / 10 + 1;
    return points >= estimate - slack && points <= estimate + slack;
}

static enum verdict counted(const struct fingerprint *f, int64_t points, char why[VERDICT_TEXT])
{
    char first[FINGERPRINT_TEXT], note[FINGERPRINT_TEXT];
    struct content_digest now = f->after;
    now.points = points;
    now.counted = true;
    if (fingerprint_fit(f, &now, first, note) != FINGERPRINT_POINTS)
        return VERDICT_EQUAL;
    (void)snprintf(why, VERDICT_TEXT, "%s", first);
    return VERDICT_POINTS;
}

static enum verdict count(const struct verdict_was *was, const struct verdict_is *is, char why[VERDICT_TEXT])
{
    if (is->points < 0)
        return (void)snprintf(why, VERDICT_TEXT, "its points could not be counted"), VERDICT_UNKNOWN;
    if (is->points == 0 && was->points > 0) {
        int64_t low = was->fingerprint && was->fingerprint->before.points < was->points
                          ? was->fingerprint->before.points
                          : was->points;
        (void)snprintf(why, VERDICT_TEXT, "0 points came back of %" PRId64, was->points);
        return low > 0 ? VERDICT_EMPTY : VERDICT_EQUAL;
    }
    if (was->fingerprint) /* the number alone; with a fingerprint of now, all of it comes later */
        return is->fingerprint ? VERDICT_EQUAL : counted(was->fingerprint, is->points, why);
    if (was->count != COUNT_ESTIMATE || was->some_shards || near(was->points, is->points))
        return VERDICT_EQUAL;
    (void)snprintf(why, VERDICT_TEXT, "%" PRId64 " points came back of about %" PRId64, is->points,
                   was->points);
    return VERDICT_POINTS;
}

/* Against the fingerprint. What Qdrant of another version prints of a configuration that is the same may
 * differ: then the snapshot's own counts. */
static enum verdict print(const struct verdict_was *was, const struct verdict_is *is, char why[VERDICT_TEXT])
{
    struct content_digest now;
    char note[FINGERPRINT_TEXT], first[FINGERPRINT_TEXT];
    if (!was->fingerprint || !is->fingerprint)
        return VERDICT_UNPROVEN;
    now = *is->fingerprint;
    if (was->other_version && is->config && !*is->config)
        memcpy(now.config, was->fingerprint->after.config, sizeof now.config);
    enum fingerprint_fit fit = fingerprint_fit(was->fingerprint, &now, first, note);
    bool same = memcmp(now.config, is->fingerprint->config, sizeof now.config) == 0;
    (void)snprintf(why, VERDICT_TEXT, "%s", *first ? first : note);
    switch (fit) {
    case FINGERPRINT_POINTS: return VERDICT_POINTS;
    case FINGERPRINT_CONFIG: return VERDICT_CONFIG;
    case FINGERPRINT_CONTENT: return VERDICT_CONTENT;
    case FINGERPRINT_LOOSELY: return VERDICT_UNPROVEN;
    default: break;
    }
    if (!same)
        (void)snprintf(why, VERDICT_TEXT, "another version of Qdrant prints its configuration otherwise");
    return same ? VERDICT_EQUAL : VERDICT_UNPROVEN;
}

/* Why nothing better can be said. */
static enum verdict unproven(const struct verdict_was *was, const struct verdict_is *is,
                             char why[VERDICT_TEXT])
{
    static const char *const text[] = {
        [COUNT_NONE] = "its manifest has no fingerprint and no number of points to compare with",
        [COUNT_EXACT] = "what came back could not be compared with its fingerprint",
        [COUNT_RANGE] = "points were written while the snapshot was made",
        [COUNT_ESTIMATE] = "the number of points in its manifest is Qdrant's estimate",
        [COUNT_LATER] = "the number of points in its manifest was asked long after the snapshot",
    };
    if (was->some_shards) {
        (void)snprintf(why, VERDICT_TEXT,
                       "it holds only some of the collection's shards: the others come back "
                       "from the backups of the other nodes");
        return VERDICT_PARTLY;
    }
    if (is->aliases_left) {
        (void)snprintf(why, VERDICT_TEXT, "aliases of it are left alone");
        return VERDICT_PARTLY;
    }
    if (!*why && was->count == COUNT_ESTIMATE && !was->fingerprint)
        (void)snprintf(why, VERDICT_TEXT,
                       "its manifest has no fingerprint, and its number of points (%" PRId64
                       ") is Qdrant's estimate over the whole cluster, made when the snapshot was copied",
                       was->points);
    else if (!*why)
        (void)snprintf(why, VERDICT_TEXT, "%s", text[was->count]);
    return VERDICT_UNPROVEN;
}

enum verdict verdict_of(const struct verdict_was *was, const struct verdict_is *is, char why[VERDICT_TEXT])
{
    *why = 0;
    if (strcmp(is->status, "red") == 0)
        return (void)snprintf(why, VERDICT_TEXT, "Qdrant calls the collection red: its log says why"),
               VERDICT_RED;
    enum verdict v = count(was, is, why);
    if (v != VERDICT_EQUAL)
        return v;
    *why = 0;
    if (is->config && *is->config) {
        (void)snprintf(why, VERDICT_TEXT, "it is configured otherwise than the snapshot: %s", is->config);
        return VERDICT_CONFIG;
    }
    v = print(was, is, why);
    if (v == VERDICT_EQUAL && was->count == COUNT_EXACT && !was->some_shards && !is->aliases_left)
        return v;
    return v == VERDICT_EQUAL || v == VERDICT_UNPROVEN ? unproven(was, is, why) : v;
}
