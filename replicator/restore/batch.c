#include "replicator/restore/batch.h"
#include "common/base/cleanup.h"
#include "common/base/text.h"
#include "efs/restore/version.h"
#include "efs/drill/scratch_qdrant.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A start that restores terabytes takes hours; one that does nothing for so long is dead. */
enum { START_MS = 24 * 3600 * 1000, STOP_MS = 120 * 1000 };

void batch_free(struct batch *b)
{
    for (size_t i = 0; i < b->n; i++)
        boot_choice_free(&b->v[i].choice);
    free(b->v);
    *b = (struct batch){0};
}

struct batch_item *batch_add(struct batch *b)
{
    if (b->n == b->size) {
        size_t size = b->size ? 2 * b->size : 8;
        struct batch_item *grown = realloc(b->v, size * sizeof *grown);
        if (!grown)
            return NULL;
        b->v = grown;
        b->size = size;
    }
    b->v[b->n] = (struct batch_item){.points = -1};
    return &b->v[b->n++];
}

void batch_drop_last(struct batch *b) { boot_choice_free(&b->v[--b->n].choice); }

static const struct backup *backup_of(const struct batch_item *i) { return &i->choice.list.v[i->chosen]; }

static void judge(struct batch_item *i, enum batch_verdict verdict, const char *why)
{
    i->verdict = verdict;
    (void)snprintf(i->why, sizeof i->why, "%s", why);
}

/* --- what came back */

static void note(struct batch_item *i, const char *text)
{
    size_t n = strlen(i->why);
    if (*text)
        (void)snprintf(i->why + n, sizeof i->why - n, "%s%s", n ? "; " : "", text);
}

/* A node with the data of a newer Qdrant is better than none; Qdrant restores it without a word. */
static void compare_versions(const char *here, struct batch_item *i)
{
    const char *made_by = backup_of(i)->m.qdrant_version;
    char text[200];
    if (qdrant_version_compare(made_by, here) != QDRANT_VERSION_NEWER)
        return;
    (void)snprintf(
        text, sizeof text,
        "Qdrant %.31s made it, and %.31s restored it, which promises nothing for what a newer one wrote",
        made_by, here);
    note(i, text);
}

/* Optimizing may go on for hours, and goes on in the Qdrant that serves. */
static void compare(struct scratch_qdrant *s, struct batch_item *i, const atomic_bool *stop)
{
    const struct restore r = {.qdrant = scratch_qdrant_qdrant(s),
                              .target = i->part->collection,
                              .aliases = true,
                              .green_ms = 0,
                              .stop = stop};
    struct restore_report report = {.points_before = -1, .points = -1};
    struct err e = {0};
    enum restore_outcome outcome = restore_judge(&r, backup_of(i), NULL, &report, &e);
    i->points = report.points;
    i->green = strcmp(report.status, "green") == 0;
    if (outcome != RESTORE_DONE && report.verdict != VERDICT_ALIASES)
        return judge(i, BATCH_REFUSED, e.text);
    judge(i, BATCH_STAGED, report.note);
    if (report.verdict != VERDICT_EQUAL) {
        note(i, verdict_row(report.verdict)->word);
        note(i, report.why);
    }
    compare_versions(scratch_qdrant_version(s), i);
}

/* Nobody has reached them since; but what was looked at once only was not proven to last. */
static int look_again(struct qdrant *q, const struct marker *m, struct err *e)
{
    for (size_t i = 0; i < m->n; i++) {
        const struct marker_part *p = &m->v[i];
        int64_t points = -1;
        char what[400];
        if (p->state != PART_STAGED)
            continue;
        if (qdrant_count(q, p->collection, &points, e) != 0)
            return -1;
        if (points == p->points)
            continue;
        (void)snprintf(what, sizeof what,
                       "%.255s was restored with %" PRId64 " points, and has %" PRId64 " now", p->collection,
                       p->points, points);
        return err_set(e, 0, what, NULL, NULL);
    }
    return 0;
}

/* --- a start */

static void mappings_free(char ***v)
{
    for (size_t i = 0; *v && (*v)[i]; i++)
        free((*v)[i]);
    free(*v);
}

static char **make_mappings(const struct batch *b)
{
    char **v = calloc(b->n + 1, sizeof *v);
    for (size_t i = 0, n = 0; v && i < b->n; i++)
        if (!b->v[i].in_place && asprintf(&v[n++], "%s:%s", b->v[i].file, b->v[i].part->collection) < 0) {
            v[n - 1] = NULL;
            mappings_free(&v);
            return NULL;
        }
    return v;
}

/* Qdrant (1.18.2, src/snapshots.rs) restores one after the other, in this order, each beside its place, and
 * moves it there when it is whole: the first that is not in its place is what it died of. */
static void blame(struct batch *b, const struct batch_options *o, const struct err *why, bool *unclear)
{
    bool killed = why->code == SCRATCH_QDRANT_KILLED;
    size_t i = 0;
    while (i < b->n && stage_has(o->stage, b->v[i].part->collection))
        i++;
    if (i == b->n && b->n == 1)
        i = 0; /* it is in its place, and cannot be loaded */
    if (i < b->n)
        judge(&b->v[i], killed ? BATCH_KILLED : BATCH_REFUSED, why->text);
    *unclear = i == b->n || killed;
    for (size_t k = 0; k < b->n; k++)
        b->v[k].in_place =
            !*unclear && b->v[k].verdict == BATCH_OPEN && stage_has(o->stage, b->v[k].part->collection);
}

static int drop_the_rest(const struct batch *b, const struct batch_options *o, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; i < b->n; i++)
        if (b->v[i].verdict != BATCH_STAGED && !(b->v[i].verdict == BATCH_OPEN && b->v[i].in_place))
            rc = stage_drop(o->stage, b->v[i].part->collection, e) != 0 ? -1 : rc;
    return rc;
}

static int look_at_all(struct batch *b, struct scratch_qdrant *s, const struct batch_options *o,
                       struct err *e)
{
    for (size_t i = 0; i < b->n && !atomic_load(o->stop); i++) {
        compare(s, &b->v[i], o->stop);
        o->works(o->arg);
    }
    return atomic_load(o->stop) ? err_set(e, ECANCELED, "stopped", NULL, NULL)
                                : look_again(scratch_qdrant_qdrant(s), o->marker, e);
}

static void reopen(struct batch *b)
{
    for (size_t i = 0; i < b->n; i++) {
        b->v[i].in_place = false;
        if (b->v[i].verdict == BATCH_STAGED)
            b->v[i].verdict = BATCH_OPEN;
    }
}

static bool all_green(const struct batch *b)
{
    for (size_t i = 0; i < b->n; i++)
        if (b->v[i].verdict != BATCH_STAGED || !b->v[i].green)
            return false;
    return true;
}

/* A Qdrant that was killed while it wrote may have left less than what was looked at. */
static void end(struct batch *b, struct scratch_qdrant *s, bool looked, bool *unclear)
{
    char why[500];
    bool died = scratch_qdrant_ended(s, why, sizeof why);
    bool whole = looked && !died && all_green(b) ? scratch_qdrant_kill(s) : scratch_qdrant_stop(s);
    if (whole && !died)
        return;
    reopen(b);
    *unclear = true;
    if (b->n == 1 && b->v[0].verdict == BATCH_OPEN)
        judge(&b->v[0], BATCH_KILLED,
              died ? why : "Qdrant did not end by itself after it had restored the snapshot");
}

int batch_run(struct batch *b, const struct batch_options *o, bool *unclear, struct err *e)
{
    struct err why = {0};
    __attribute__((cleanup(mappings_free))) char **mappings = make_mappings(b);
    struct scratch_qdrant_options with = {.program = o->program,
                                          .dir = o->stage->dir,
                                          .start_ms = START_MS,
                                          .stop = o->stop,
                                          .unconfined = o->unconfined,
                                          .alone = true,
                                          .storage = o->stage->staged,
                                          .mappings = mappings,
                                          .stop_ms = STOP_MS,
                                          .works = o->works,
                                          .arg = o->arg};
    *unclear = false;
    if (!mappings)
        return err_set(e, ENOMEM, "cannot start the staging Qdrant", NULL, NULL);
    /* What a Qdrant that ended while it unpacked has left there, the next one would trip over. */
    if (stage_clear_temporary(o->stage, e) != 0)
        return -1;
    struct scratch_qdrant *s = scratch_qdrant_start(&with, &why);
    if (!s && why.code != SCRATCH_QDRANT_ENDED && why.code != SCRATCH_QDRANT_KILLED)
        return e ? (*e = why, -1) : -1;
    int rc = 0;
    if (s) {
        rc = look_at_all(b, s, o, e);
        end(b, s, rc == 0, unclear);
    } else {
        blame(b, o, &why, unclear);
    }
    return drop_the_rest(b, o, rc == 0 ? e : NULL) == 0 ? rc : -1;
}
