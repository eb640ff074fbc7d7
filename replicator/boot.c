#include "replicator/boot.h"
#include "common/clock.h"
#include "common/log.h"
#include "replicator/boot_collection.h"
#include "replicator/boot_plan.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAUSE_FIRST_MS = 1000,
    PAUSE_MAX_MS = 30000,
    QDRANT_PAUSE_MS = 1000,
    SAY_AGAIN_MS = 300000,
    REFUSED_TRIES = 5,
    TRIES = 8, /* of one collection, a minute and a half, while EFS and Qdrant are there */
    SAID_ALIKE = 80,
    BUSY = LEDGER_WORKERS - 1,
};
enum step {
    STEP_ON,
    STEP_WAIT, /* what is missing may come */
    STEP_OVER,
};

struct boot {
    struct context *x;
    struct marker marker;
    bool decided; /* the marker has the plan */
    bool unsaved;
    struct boot_trees trees;
    bool noted;               /* that there is only one of them, was said */
    struct marker_part *part; /* the one at hand */
    int64_t pause, said_at;
    char said[sizeof((struct err *)0)->text];
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
};

/* --- what is told */

static void tell(const struct boot *b, enum ledger_restoring state, const char *reason)
{
    ledger_restore(b->x->ledger, state, reason, (unsigned)marker_count(&b->marker, PART_DONE),
                   (unsigned)b->marker.n, time(NULL));
}

/* Something is not there. Said when it is news, and again from time to time. */
static enum step wait_for(struct boot *b, enum log_level level, const struct err *why, int64_t pause_max)
{
    int64_t now = clock_ms();
    tell(b, b->decided ? LEDGER_RESTORING : LEDGER_RESTORE_WAITING, why->text);
    /* Only the beginning: Qdrant's replies end with the time that they took. */
    if (strncmp(b->said, why->text, SAID_ALIKE) != 0 || now - b->said_at >= SAY_AGAIN_MS) {
        log_line(level, "boot_restore_waiting", "%s, and the node is not healthy: %s",
                 level == LOG_INFO ? "it is not known yet whether this disk is empty"
                                   : "the restore of this empty disk waits",
                 why->text);
        (void)snprintf(b->said, sizeof b->said, "%s", why->text);
        b->said_at = now;
        b->pause = 0;
    }
    b->pause = b->pause ? b->pause * 2 : PAUSE_FIRST_MS;
    if (b->pause > pause_max)
        b->pause = pause_max;
    return STEP_WAIT;
}

static enum step wait_efs(struct boot *b, const struct err *why)
{
    return wait_for(b, LOG_ERROR, why, PAUSE_MAX_MS);
}
static enum step wait_qdrant(struct boot *b, const struct err *why)
{
    return wait_for(b, b->decided ? LOG_WARN : LOG_INFO, why, QDRANT_PAUSE_MS);
}

static const char *dir_of(const struct boot *b) { return b->x->settings.snapshots_dir; }

static int save(struct boot *b, struct err *e)
{
    b->unsaved = marker_save(dir_of(b), &b->marker, e) != 0;
    return b->unsaved ? -1 : 0;
}

static enum step give_up(struct boot *b, const struct err *why, bool keep)
{
    struct err e = {0};
    b->marker.state = MARKER_FAILED;
    tell(b, LEDGER_RESTORE_FAILED, why->text);
    log_line(LOG_ERROR, "boot_restore_failed",
             "%s. Until it is restored the node is not healthy, no snapshots are made on schedule and none "
             "are pruned; "
             "it is tried again when the replicator starts again",
             why->text);
    if (keep && save(b, &e) != 0)
        log_line(LOG_ERROR, "internal", "%s", e.text);
    return STEP_OVER;
}

/* Also when it cannot be noted: a node that has all its data must not become unhealthy for that. */
static enum step finish(struct boot *b, bool restored, const char *event, const char *text)
{
    struct err e = {0};
    bool noted = b->marker.state == MARKER_DONE;
    b->marker.state = MARKER_DONE;
    b->marker.restored = restored;
    if (!noted && save(b, &e) != 0)
        log_line(LOG_WARN, "boot_restore_not_noted", "%s; after a restart it is looked at anew", e.text);
    tell(b, restored ? LEDGER_RESTORE_DONE : LEDGER_RESTORE_NOT_NEEDED, "");
    log_line(LOG_INFO, event, "%s", text);
    atomic_store(&b->x->hold, false);
    return STEP_OVER;
}

/* --- is there something to do */

static enum step no_collections(struct boot *b, bool *none)
{
    struct qdrant_names names = {0};
    struct qdrant_state state = {0};
    struct err e = {0};
    if (qdrant_ready(b->x->qdrant, &e) != 0 || qdrant_collections(b->x->qdrant, &names, &e) != 0)
        return wait_qdrant(b, &e);
    *none = names.n == 0;
    qdrant_names_free(&names);
    bool recovery = *none && qdrant_state(b->x->qdrant, &state, &e) == 0 && state.recovery_mode;
    qdrant_names_free(&state.making);
    if (!recovery)
        return STEP_ON;
    (void)err_set(&e, 0, "Qdrant is in recovery mode", NULL, "start it without");
    return wait_qdrant(b, &e);
}

static enum step start_anew(struct boot *b)
{
    const struct options *o = &b->x->options;
    const struct boot_trees *t = &b->trees;
    char text[sizeof t->base + 100], when[32] = "";
    bool none = false;
    struct err e = {0};
    enum step step = no_collections(b, &none); /* once more: the plan may have taken long */
    if (step != STEP_ON || !none)
        return step;
    b->marker.state = MARKER_RESTORING;
    b->marker.at = o->restore_at;
    (void)snprintf(b->marker.setting, sizeof b->marker.setting, "%s", o->restore_setting);
    if (save(b, &e) != 0)
        return wait_efs(b, &e);
    if (b->marker.at)
        manifest_time(b->marker.at, when);
    (void)snprintf(text, sizeof text, "the disk is empty: %zu collections come back from %s%s%s%s%s",
                   b->marker.n, t->base[0], t->n > 1 ? " and " : "", t->n > 1 ? t->base[1] : "",
                   *when ? " as of " : "", when);
    log_line(LOG_INFO, "boot_restore_started", "%s", text);
    b->decided = true;
    return STEP_ON;
}

static enum plan_outcome look_for_trees(struct boot *b, struct marker *out, struct err *e)
{
    const struct context *x = b->x;
    ledger_busy(x->ledger, BUSY, "look for backups to restore", time(NULL));
    enum plan_outcome outcome = boot_plan(&x->settings, x->options.restore_from, &b->trees, out, e);
    ledger_busy(x->ledger, BUSY, NULL, time(NULL));
    if (outcome == PLAN_FOUND && *b->trees.note && !b->noted)
        log_line(LOG_WARN, "boot_restore_source", "%s", b->trees.note);
    b->noted = outcome == PLAN_FOUND;
    return outcome;
}

static enum step plan(struct boot *b)
{
    struct err e = {0};
    marker_free(&b->marker);
    enum plan_outcome outcome = look_for_trees(b, &b->marker, &e);
    switch (outcome) {
    case PLAN_FOUND: return start_anew(b);
    case PLAN_EMPTY:
        return finish(
            b, false, "boot_restore_not_needed",
            "the disk is empty, and so is EFS: there are no backups yet, and the node starts empty");
    case PLAN_NEVER: return give_up(b, &e, true);
    default: return wait_efs(b, &e);
    }
}

static enum step go_on(struct boot *b)
{
    struct marker *m = &b->marker;
    const struct options *o = &b->x->options;
    if (strcmp(m->setting, o->restore_setting) != 0) {
        m->at = o->restore_at;
        (void)snprintf(m->setting, sizeof m->setting, "%s", o->restore_setting);
    }
    m->state = MARKER_RESTORING;
    b->unsaved = true;
    b->decided = true;
    log_line(LOG_INFO, "boot_restore_started",
             "an earlier restore of this disk goes on: %zu of %zu collections are done",
             marker_count(m, PART_DONE), m->n);
    return STEP_ON;
}

static enum step decide(struct boot *b)
{
    bool none = false;
    struct err e = {0};
    if (boot_plan_on_efs(&b->x->settings)) {
        (void)err_set(&e, 0, "RESTORE_ON_EMPTY needs SNAPSHOTS_DIR on the task's own disk, and it is on EFS:",
                      dir_of(b), "mount EFS beside it");
        return give_up(b, &e, false);
    }
    marker_free(&b->marker);
    if (marker_load(dir_of(b), &b->marker, &e) != 0)
        return give_up(b, &e, false);
    if (b->marker.state == MARKER_DONE)
        return finish(b, b->marker.restored, "boot_restore_not_needed", "this disk was dealt with before");
    if (b->marker.state != MARKER_NONE && b->marker.n > 0)
        return go_on(b);
    enum step step = no_collections(b, &none);
    if (step != STEP_ON)
        return step;
    return none ? plan(b)
                : finish(b, false, "boot_restore_not_needed", "Qdrant has collections: nothing is restored");
}

/* --- one collection after the other */

static bool begin(const char *tree, void *arg)
{
    struct boot *b = arg;
    struct err e = {0};
    if (!marker_from(b->part, tree))
        return false;
    b->part->state = PART_BEGUN;
    b->part->begun = false;
    return save(b, &e) == 0; /* said when it is tried again */
}

/* Is what Qdrant has of it what we left there, half? After a failure somebody may have taken care of it. */
static int half_ours(struct boot *b, const struct marker_part *p, bool *ours, struct err *e)
{
    int64_t now = -1;
    *ours = p->state == PART_BEGUN;
    if (p->state != PART_FAILED || !p->begun)
        return 0;
    bool told = qdrant_count(b->x->qdrant, p->collection, &now, e) == 0 || e->code == QDRANT_MISSING;
    *ours = now == p->left;
    return told || e->code == QDRANT_ANSWERED ? 0 : -1;
}

static cJSON *about(const struct boot_collection *c, double seconds)
{
    cJSON *f = cJSON_CreateObject();
    if (!f)
        return NULL;
    (void)cJSON_AddStringToObject(f, "collection", c->collection); /* what finds no memory is left out */
    (void)cJSON_AddStringToObject(f, "snapshot", c->snapshot);
    (void)cJSON_AddNumberToObject(f, "points", (double)c->report.points);
    (void)cJSON_AddNumberToObject(f, "seconds", seconds);
    if (c->from)
        (void)cJSON_AddStringToObject(f, "from", c->from);
    return f;
}

static void part_done(struct boot *b, struct marker_part *p)
{
    struct err e = {0};
    p->state = PART_DONE;
    if (save(b, &e) != 0)
        log_line(LOG_ERROR, "internal", "%s", e.text);
    tell(b, LEDGER_RESTORING, "");
}

static void part_failed(struct boot *b, struct marker_part *p, const struct boot_collection *c)
{
    struct err e = {0};
    bool begun = c->begun || p->state == PART_BEGUN || p->begun;
    p->left = -1;
    p->begun =
        begun && (qdrant_count(b->x->qdrant, p->collection, &p->left, &e) == 0 || e.code != QDRANT_MISSING);
    p->state = PART_FAILED;
    p->over = true;
    log_line(LOG_ERROR, "boot_restore_failed", "%s is not restored: %s", p->collection, c->why.text);
    if (save(b, &e) != 0)
        log_line(LOG_ERROR, "internal", "%s", e.text);
}

static void restored(struct boot *b, struct marker_part *p, const struct boot_collection *c, double seconds)
{
    const char *note = c->report.note;
    b->marker.restored = true;
    (void)(c->from && marker_from(p, c->from)); /* without memory it says where it began */
    part_done(b, p);
    log_fields(*note ? LOG_WARN : LOG_INFO, "boot_restored", about(c, seconds),
               "%s: %" PRId64 " points from %s in %.1f s%s%s", c->collection, c->report.points, c->snapshot,
               seconds, *note ? "; note: " : "", note);
}

static enum step conclude(struct boot *b, struct marker_part *p, const struct boot_collection *c,
                          enum boot_outcome outcome, double seconds)
{
    switch (outcome) {
    case BOOT_RESTORED: restored(b, p, c, seconds); break;
    case BOOT_SKIPPED:
        part_done(b, p);
        log_line(LOG_INFO, "boot_restore_skipped", "%s is not restored: %s", p->collection, c->why.text);
        break;
    case BOOT_LEFT:
        b->marker.restored = true; /* somebody did */
        part_done(b, p);
        log_line(LOG_WARN, "boot_restore_left_alone", "%s: %s; it was made meanwhile, and is left alone",
                 p->collection, c->why.text);
        break;
    case BOOT_FAILED: /* again when Qdrant refused: it may still be at what a killed replicator sent */
        if (c->why.code == QDRANT_ANSWERED && ++p->tries < REFUSED_TRIES)
            return wait_for(b, LOG_WARN, &c->why, PAUSE_MAX_MS);
        part_failed(b, p, c);
        break;
    case BOOT_LATER:
        if (atomic_load(&b->x->stop))
            return STEP_WAIT;
        if (++p->tries >= TRIES) {
            part_failed(b, p, c);
            break;
        }
        return wait_efs(b, &c->why);
    }
    return STEP_ON;
}

static enum step restore_part(struct boot *b, struct marker_part *p)
{
    const struct context *x = b->x;
    char folder[NAME_MAX * 2], reason[400];
    struct boot_collection c = {.qdrant = x->qdrant,
                                .trees = &b->trees,
                                .folder = folder,
                                .collection = p->collection,
                                .node = x->settings.node,
                                .prefer = p->state == PART_BEGUN || p->begun ? p->from : NULL,
                                .at = b->marker.at,
                                .stop = &x->stop,
                                .begin = begin,
                                .arg = b};
    int64_t start = clock_ms();
    b->part = p;
    if (!name_escape(p->collection, folder, sizeof folder)) {
        (void)err_set(&c.why, ENAMETOOLONG, "no folder can have the name of", p->collection, NULL);
        return part_failed(b, p, &c), STEP_ON;
    }
    if (half_ours(b, p, &c.force, &c.why) != 0)
        return wait_qdrant(b, &c.why);
    (void)snprintf(reason, sizeof reason, "restoring %.300s", p->collection);
    tell(b, LEDGER_RESTORING, reason);
    enum boot_outcome outcome = boot_collection(&c);
    return conclude(b, p, &c, outcome, (double)(clock_ms() - start) / 1000);
}

static enum step all_done(struct boot *b)
{
    char text[200], when[32];
    struct err e = {0};
    const struct marker *m = &b->marker;
    size_t failed = marker_count(m, PART_FAILED);
    if (failed > 0) {
        (void)snprintf(text, sizeof text, "%zu of %zu collections could not be restored", failed, m->n);
        (void)err_set(
            &e, 0, text, NULL,
            "restore each by hand (qdrant-efs restore), or delete its folders on EFS when it is not wanted, "
            "and end the replicator, which is started again");
        return give_up(b, &e, true);
    }
    if (!m->restored && m->at) {
        manifest_time(m->at, when);
        marker_free(&b->marker); /* the next start looks for all of it anew */
        (void)snprintf(b->marker.setting, sizeof b->marker.setting, "%s", b->x->options.restore_setting);
        (void)err_set(&e, 0, "there is no backup of that time or before:", when,
                      "set RESTORE_ON_EMPTY to a later one");
        return give_up(b, &e, true);
    }
    (void)snprintf(text, sizeof text, "all of %zu collections are dealt with", m->n);
    return finish(b, m->restored, "boot_restore_finished", text);
}

static enum step proceed(struct boot *b)
{
    bool none;
    struct err e = {0};
    if (b->unsaved && save(b, &e) != 0)
        return wait_efs(b, &e);
    if (no_collections(b, &none) == STEP_WAIT)
        return STEP_WAIT;
    enum plan_outcome outcome = look_for_trees(b, NULL, &e);
    if (outcome == PLAN_EMPTY)
        (void)err_set(&e, 0, "the backups that were there are gone:", b->x->settings.efs_root,
                      "check the mount");
    if (outcome != PLAN_FOUND)
        return wait_efs(b, &e);
    for (size_t i = 0; i < b->marker.n && !atomic_load(&b->x->stop); i++) {
        struct marker_part *p = &b->marker.v[i];
        if (p->state != PART_DONE && !p->over)
            return restore_part(b, p);
    }
    return atomic_load(&b->x->stop) ? STEP_WAIT : all_done(b);
}

/* --- life */

static void rest(struct boot *b)
{
    struct timespec end = clock_spec(clock_ms() + b->pause);
    (void)pthread_mutex_lock(&b->mutex);
    for (int rc = 0; rc == 0 && !atomic_load(&b->x->stop);)
        rc = pthread_cond_timedwait(&b->wake, &b->mutex, &end);
    (void)pthread_mutex_unlock(&b->mutex);
}

static void *loop(void *arg)
{
    struct boot *b = arg;
    for (enum step step = STEP_ON; step != STEP_OVER && !atomic_load(&b->x->stop);) {
        step = b->decided ? proceed(b) : decide(b);
        if (step == STEP_WAIT)
            rest(b);
        else
            b->said[0] = 0; /* what is missing next is news */
    }
    return NULL;
}

bool boot_pending(const struct context *x, bool once)
{
    struct marker m = {0};
    struct err ignored = {0};
    bool known = x->options.restore && marker_load(x->settings.snapshots_dir, &m, &ignored) == 0;
    enum marker_state state = m.state;
    marker_free(&m);
    if (!x->options.restore || (known && state == MARKER_DONE))
        return false;
    return !once || !known || state != MARKER_NONE;
}

struct boot *boot_start(struct context *x)
{
    struct boot *b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    b->x = x;
    tell(b, LEDGER_RESTORE_WAITING, "Qdrant is asked whether it has data");
    if (pthread_mutex_init(&b->mutex, NULL) == 0 && clock_cond_init(&b->wake) &&
        pthread_create(&b->thread, NULL, loop, b) == 0)
        return b;
    free(b);
    return NULL;
}

bool boot_stop(struct boot *b, int64_t end)
{
    (void)pthread_mutex_lock(&b->mutex);
    (void)pthread_cond_broadcast(&b->wake);
    (void)pthread_mutex_unlock(&b->mutex);
    return clock_join(b->thread, end);
}

void boot_free(struct boot *b)
{
    if (!b)
        return;
    marker_free(&b->marker);
    (void)pthread_cond_destroy(&b->wake);
    (void)pthread_mutex_destroy(&b->mutex);
    free(b);
}
