/* After Qdrant has taken it: is it what was there? */
#include "common/base/clock.h"
#include "common/json.h"
#include "efs/restore/version.h"
#include "qdrant/cluster.h"
#include "efs/restore/aliases.h"
#include "efs/restore/internal.h"
#include "efs/restore/shape.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { POLL_MS = 250, POLL_MAX_MS = 2000 };

static bool stopped(const struct restore *r) { return r->stop && atomic_load(r->stop); }

/* Yellow at the end of the time is no failure: all points are there and answered from, and optimizing may go
 * on for hours. Red is told by the verdict. */
enum restore_outcome restore_wait_green(const struct restore *r, struct restore_report *out, struct err *e)
{
    int64_t end = clock_ms() + r->green_ms, pause = POLL_MS;
    struct err why = {0};
    char note[200];
    for (;;) {
        bool answers = qdrant_status(r->qdrant, r->target, out->status, sizeof out->status, &why) == 0;
        if (answers && (strcmp(out->status, "green") == 0 || strcmp(out->status, "red") == 0))
            return RESTORE_DONE;
        if (stopped(r))
            return restore_fail(e, "restored; stopped waiting for the collection to be green", NULL);
        if (clock_ms() >= end && answers && r->green_ms == 0)
            return RESTORE_DONE; /* nobody waits for it */
        if (clock_ms() >= end && answers) {
            (void)snprintf(note, sizeof note, "the collection is %.15s, not green, after %" PRId64 " seconds",
                           out->status, (int64_t)r->green_ms / 1000);
            return restore_add(out->note, sizeof out->note, note), RESTORE_DONE;
        }
        if (clock_ms() >= end) {
            restore_add(why.text, sizeof why.text, "restored, but the collection does not answer");
            return e ? (*e = why, RESTORE_FAILED) : RESTORE_FAILED;
        }
        clock_sleep(pause);
        pause = pause * 2 < POLL_MAX_MS ? pause * 2 : POLL_MAX_MS;
    }
}

/* 0; 1 with `left`: some are left alone; -1: Qdrant took none. */
static int put_aliases(const struct restore *r, const struct backup *b, struct restore_report *out,
                       struct err *e)
{
    char note[sizeof out->note] = "";
    if (!b || !r->aliases || b->m.source.kind != KIND_COLLECTION)
        return 0;
    if (restore_aliases(r->qdrant, r->target, &b->m.aliases, note, sizeof note, e) != 0)
        return -1;
    if (b->aliases_at && b->m.aliases.n > 0) {
        char at[32], older[120];
        utc_text(b->aliases_at, at);
        (void)snprintf(older, sizeof older,
                       "its aliases are those of %s, since its manifest does not tell them", at);
        restore_add(out->note, sizeof out->note, older);
    }
    if (*note)
        restore_add(out->note, sizeof out->note, note);
    return *note != 0;
}

static bool version_is_other(const struct restore *r, const struct backup *b)
{
    char here[32];
    struct err ignored;
    return qdrant_version(r->qdrant, here, sizeof here, &ignored) != 0 ||
           strcmp(here, b->m.qdrant_version) != 0;
}

/* What a look at the collection tells; `differs` for its configuration. */
static int look(const struct restore *r, const struct inside_says *says, char differs[SHAPE_TEXT],
                bool *custom, struct err *e)
{
    struct qdrant_ask ask = {.method = "GET", .collection = r->target, .path = ""};
    cleanup_json cJSON *whole = qdrant_ask(r->qdrant, &ask, e);
    const cJSON *result = json_member(whole, "result");
    const char *method = json_string(json_member(json_member(result, "config"), "params"), "sharding_method");
    *custom = method && strcmp(method, "custom") == 0;
    if (whole && says && says->config)
        (void)shape_differs(says, result, differs);
    return whole ? 0 : -1;
}

/* The same look as the one that made the fingerprint; NULL when there is none to hold it against. */
static const struct content_digest *take_fingerprint(const struct restore *r, const struct verdict_was *was,
                                                     struct restore_report *out)
{
    struct err why = {0};
    struct content_digest print;
    char note[300];
    if (!was->fingerprint)
        return NULL;
    struct fingerprint_plan plan = was->fingerprint->plan;
    int rc = content_digest_take(r->qdrant, r->target, &plan, &print, &why);
    if (rc < 0) {
        (void)snprintf(note, sizeof note, "its contents could not be compared: %.200s", why.text);
        restore_add(out->note, sizeof out->note, note);
    }
    if (rc != 0)
        return NULL;
    out->found = print;
    return &out->found;
}

/* A shard's own points; where Qdrant does not tell these there is nothing to hold the manifest's against. */
static int64_t count_shard(const struct restore *r, const struct backup *b, struct verdict_was *was)
{
    struct err ignored;
    int64_t points = -1;
    if (cluster_shard_points(r->qdrant, r->target, b->m.source.shard, &points, &ignored) == 0 && points >= 0)
        return points;
    was->points = -1;
    was->count = COUNT_NONE;
    return 0;
}

/* Nothing in a shard's snapshot says so. */
static void doubt_shard(struct restore_report *out)
{
    if (out->verdict == VERDICT_UNPROVEN)
        (void)snprintf(
            out->why, sizeof out->why,
            "a shard's snapshot does not tell the number of shards nor the shard key of its collection: "
            "whether its points belong there is not known");
}

static enum restore_outcome say(struct restore_report *out, struct err *e)
{
    char what[VERDICT_TEXT + 100];
    if (verdict_row(out->verdict)->exit_code == 0)
        return RESTORE_DONE;
    (void)snprintf(what, sizeof what, "restored, and not what was there: %s", out->why);
    return restore_fail(e, what, "look at the collection before anybody uses it");
}

enum restore_outcome restore_judge(const struct restore *r, const struct backup *b,
                                   const struct inside_says *says, struct restore_report *out, struct err *e)
{
    struct verdict_was was = b ? verdict_was(b) : (struct verdict_was){.count = COUNT_NONE, .points = -1};
    char differs[SHAPE_TEXT] = "";
    bool custom = false;
    struct err why = {0};
    if (restore_wait_green(r, out, e) != RESTORE_DONE ||
        qdrant_count(r->qdrant, r->target, &out->points, e) != 0 || look(r, says, differs, &custom, e) != 0)
        return RESTORE_FAILED;
    was.some_shards = says && says->config && says->local < says->shards;
    was.other_version = b && version_is_other(r, b);
    if (!b && custom && out->points == 0)
        was.points = 1; /* some: Qdrant keeps none of a snapshot whose shard keys are not there */
    bool shard = b && b->m.source.kind == KIND_SHARD;
    struct verdict_is is = {.points = shard ? count_shard(r, b, &was) : out->points,
                            .status = out->status,
                            .fingerprint = take_fingerprint(r, &was, out),
                            .config = says && says->config ? differs : NULL};
    out->verdict = verdict_of(&was, &is, out->why);
    if (verdict_row(out->verdict)->exit_code != 0)
        return say(out, e); /* nobody is led to it */
    int aliases = put_aliases(r, b, out, &why);
    is.aliases_left = aliases > 0;
    out->verdict = verdict_of(&was, &is, out->why);
    if (shard)
        doubt_shard(out);
    if (aliases < 0) {
        out->verdict = VERDICT_ALIASES;
        (void)snprintf(out->why, sizeof out->why, "the points are restored, the aliases are not: %.600s",
                       why.text);
    }
    return say(out, e);
}
