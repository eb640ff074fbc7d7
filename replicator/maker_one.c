#include "common/clock.h"
#include "common/log.h"
#include "common/text.h"
#include "replicator/maker_state.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

enum { TRY_FIRST = 5000, TRY_MAX = 300000 }; /* milliseconds */

int64_t maker_backoff(unsigned tries)
{
    int64_t wait = (int64_t)TRY_FIRST << (tries < 7 ? tries : 7);
    return wait < TRY_MAX ? wait : TRY_MAX;
}

const char *maker_shown(const struct item *it, char out[300])
{
    return it->name ? text_printable(it->name, out, 300) : "the whole storage";
}

/* For whoever watches by hand. With the mutex held. */
static void tell_failure(const struct maker *m, const struct item *it, const char *why)
{
    const struct maker_progress *p = m->run && it->run == m->run_number ? m->run->progress : NULL;
    ledger_snapshot_failed(m->o.ledger, it->name ? it->name : "", why, time(NULL));
    if (p)
        p->failed(it->name, why, p->arg);
}

static cJSON *about(const struct item *it, const struct qdrant_snapshot *s, double seconds)
{
    cJSON *f = cJSON_CreateObject();
    if (!f)
        return NULL;
    if (it->name) /* a member that finds no memory is left out */
        (void)cJSON_AddStringToObject(f, "collection", it->name);
    if (!s)
        return f;
    (void)cJSON_AddStringToObject(f, "snapshot", s->name);
    (void)cJSON_AddNumberToObject(f, "size", (double)s->size);
    (void)cJSON_AddNumberToObject(f, "seconds", seconds);
    return f;
}

/* The disk must hold one more of these beside those that are being made, and it is Qdrant's disk, too. Lets
 * go of the mutex while it looks: SNAPSHOTS_DIR may be on a mount that hangs. */
static bool room(struct maker *m, struct item *it)
{
    struct statvfs fs;
    char name[300], text[600];
    (void)pthread_mutex_unlock(&m->mutex);
    int rc = statvfs(m->o.snapshots_dir, &fs);
    (void)pthread_mutex_lock(&m->mutex);
    uint64_t size = roster_making_size(&m->roster); /* with this one */
    if (rc != 0)
        return true; /* no folder yet: nothing can be said */
    uint64_t free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (free_bytes >= size && free_bytes - size >= m->o.options->min_free)
        return true;
    (void)snprintf(text, sizeof text,
                   "no snapshot of %s is made: %s has %llu MiB free, this and those that are being made "
                   "would take %llu MiB, and "
                   "MIN_FREE keeps %llu MiB; free some space, give the task more ephemeral storage, or lower "
                   "LOCAL_KEEP or MIN_FREE",
                   maker_shown(it, name), m->o.snapshots_dir, (unsigned long long)free_bytes >> 20,
                   (unsigned long long)size >> 20, (unsigned long long)m->o.options->min_free >> 20);
    cJSON *f = cJSON_CreateObject();
    if (f && it->name)
        (void)cJSON_AddStringToObject(f, "collection", it->name);
    log_fields(LOG_ERROR, "disk_low", f, "%s", text);
    tell_failure(m, it, text);
    return false;
}

/* Is somebody else at it? Lets go of the mutex while it asks. */
static bool being_made(struct maker *m, const struct item *it)
{
    struct qdrant_state state = {0};
    struct err e = {0};
    if (clock_ms() >= m->state_due) {
        m->state_due = clock_ms() + MAKER_STATE_LATER; /* the others need not ask meanwhile */
        (void)pthread_mutex_unlock(&m->mutex);
        int rc = qdrant_state(m->o.qdrant, &state, &e);
        (void)pthread_mutex_lock(&m->mutex);
        m->state_due = clock_ms() + (rc == 0 ? MAKER_STATE_MS : MAKER_STATE_LATER);
        qdrant_names_free(&m->state.making);
        m->state = state;
        if (rc != 0)
            log_line(LOG_DEBUG, "no_metrics", "%s", e.text);
    }
    return it->name && qdrant_names_have(&m->state.making, it->name);
}

/* Does it still count for the run that is going? */
static bool in_run(const struct maker *m, const struct item *it)
{
    return m->run && it->run == m->run_number;
}

static void made(struct maker *m, struct item *it, const struct qdrant_snapshot *s, double seconds)
{
    char name[300];
    roster_made(it, s);
    m->pauses = 0;
    log_fields(LOG_INFO, "snapshot_made", about(it, s, seconds), "%s: %s", maker_shown(it, name), s->name);
    if (in_run(m, it)) {
        m->report.made++;
        m->report.bytes += s->size;
        if (m->run->progress)
            m->run->progress->made(it->name, s, seconds, m->run->progress->arg);
    }
    roster_settle(it, ITEM_OUT);
}

/* Refused, or not there at all: that would be the answer for each of the others, too. */
static bool concerns_all(const struct err *e)
{
    return e->code == QDRANT_REFUSED || e->code == QDRANT_NO_KEY || e->code == ECONNREFUSED ||
           e->code == EKEYREJECTED;
}

static void not_made(struct maker *m, struct item *it, const struct err *e)
{
    char name[300];
    int64_t now = clock_ms();
    bool here = in_run(m, it), all = concerns_all(e),
         again = here && m->run->end && e->code != QDRANT_MISSING;
    if (e->code == ECANCELED) {
        roster_settle(it, ITEM_OUT);
        return;
    }
    it->due = now + maker_backoff(it->tries++);
    m->report.failed += here && !again;
    if (all)
        m->pause = now + maker_backoff(m->pauses++);
    if (!all || m->refused_said != e->code)
        log_fields(LOG_ERROR,
                   e->code == QDRANT_REFUSED || e->code == QDRANT_NO_KEY ? "qdrant_unauthorized"
                                                                         : "snapshot_failed",
                   about(it, NULL, 0), "no snapshot of %s: %s%s", maker_shown(it, name), e->text,
                   again ? "; it is tried again" : "");
    m->refused_said = all ? e->code : m->refused_said;
    tell_failure(m, it, e->text);
    roster_settle(it, again ? ITEM_PENDING : ITEM_OUT);
}

/* With a look at what it holds before and after, where that is wanted. */
static int ask_for(struct maker *m, const struct item *it, struct qdrant_snapshot *s, double *seconds,
                   struct err *e)
{
    struct print_pair *pair =
        m->o.prints && it->name ? prints_begin(m->o.prints, m->o.qdrant, it->name) : NULL;
    int64_t begin = clock_ms();
    int rc = qdrant_snapshot_make(m->o.qdrant, it->name, (long)m->o.options->timeout * 1000, s, e);
    *seconds = (double)(clock_ms() - begin) / 1000;
    prints_end(m->o.prints, m->o.qdrant, pair, rc == 0 ? s->name : NULL);
    return rc;
}

/* A collection that was deleted since the run began is no failure. */
static bool deleted_meanwhile(struct maker *m, const struct item *it, const struct err *e)
{
    cleanup_names struct qdrant_names names = {0};
    struct err ignored;
    return e->code == QDRANT_MISSING && it->name && qdrant_collections(m->o.qdrant, &names, &ignored) == 0 &&
           !qdrant_names_have(&names, it->name);
}

/* Not begun, for a reason that another try would not change. */
static bool skipped(struct maker *m, struct item *it)
{
    char name[300], text[400];
    bool running = being_made(m, it);
    if (running) {
        (void)snprintf(text, sizeof text, "a snapshot of %s is being made already", maker_shown(it, name));
        log_fields(LOG_INFO, "already_running", about(it, NULL, 0), "%s", text);
        if (in_run(m, it) && m->run->progress)
            m->run->progress->failed(it->name, text, m->run->progress->arg);
    }
    if (!running && room(m, it))
        return false;
    m->report.skipped += in_run(m, it);
    roster_settle(it, ITEM_OUT);
    return true;
}

static void skip_deleted(struct maker *m, struct item *it)
{
    char name[300], text[400];
    (void)snprintf(text, sizeof text, "%s was deleted before its snapshot was made", maker_shown(it, name));
    log_fields(LOG_INFO, "collection_gone", about(it, NULL, 0), "%s", text);
    if (in_run(m, it) && m->run->progress)
        m->run->progress->failed(it->name, text, m->run->progress->arg);
    m->report.skipped += in_run(m, it);
    roster_settle(it, ITEM_OUT);
}

/* Gives the mutex back while Qdrant is at work. */
static void make(struct maker *m, struct item *it)
{
    struct qdrant_snapshot s = {0};
    struct err e = {0};
    double seconds = 0;
    it->state = ITEM_MAKING; /* from here on it stays, whatever Qdrant has */
    it->run = m->run_number;
    if (skipped(m, it))
        return;
    (void)pthread_mutex_unlock(&m->mutex);
    int rc = ask_for(m, it, &s, &seconds, &e);
    bool deleted = rc != 0 && deleted_meanwhile(m, it, &e);
    (void)pthread_mutex_lock(&m->mutex);
    if (deleted) {
        skip_deleted(m, it);
    } else if (rc == 0)
        made(m, it, &s, seconds);
    else
        not_made(m, it, &e);
}

static void wait_for_work(struct maker *m, int64_t until)
{
    if (until < 0) {
        (void)pthread_cond_wait(&m->work, &m->mutex);
        return;
    }
    struct timespec end = clock_spec(until);
    (void)pthread_cond_timedwait(&m->work, &m->mutex, &end);
}

void *maker_work(void *arg)
{
    struct maker *m = arg;
    (void)pthread_mutex_lock(&m->mutex);
    while (!m->quit) {
        int64_t now = clock_ms(), wait;
        struct item *it = roster_next(&m->roster, now, &wait);
        if (it && m->pause > now) {
            it = NULL;
            wait = m->pause;
        }
        if (!it) {
            wait_for_work(m, wait);
            continue;
        }
        make(m, it);
        (void)pthread_cond_broadcast(&m->done);
    }
    (void)pthread_mutex_unlock(&m->mutex);
    return NULL;
}
