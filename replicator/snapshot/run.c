#include "common/base/clock.h"
#include "common/log.h"
#include "common/base/thread.h"
#include "efs/repo/backup.h"
#include "qdrant/cluster.h"
#include "replicator/snapshot/run_state.h"
#include "replicator/status/state.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Milliseconds. KNOW: how long the first run waits for what is on EFS to be known; a hung EFS keeps no
 * snapshot from being made. TELL: what a stop's run keeps for its last look. */
enum { LOOK_MS = 500, REST_MS = 2000, KNOW_MS = 10000, FULL_LATER = 1100, NAMES_SAID = 5, TELL_MS = 400 };

static bool stopped(const struct runner *m) { return m->o.stop && atomic_load(m->o.stop); }

bool runner_over(const struct runner *m)
{
    if (m->o.ending && atomic_load(m->o.ending) && !m->run->last)
        return true;
    return stopped(m) || m->cut || (m->run->end && (time(NULL) >= m->run->end || clock_ms() >= m->end_ms));
}

/* Woken by runner_wake. The wall clock is looked at meanwhile. */
static void sleep_until(struct runner *m, int64_t when)
{
    (void)pthread_mutex_lock(&m->mutex);
    for (int64_t now; !runner_over(m) && (now = clock_ms()) < when;) {
        struct timespec end = clock_spec(when - now < REST_MS ? when : now + REST_MS);
        (void)pthread_cond_timedwait(&m->done, &m->mutex, &end);
    }
    (void)pthread_mutex_unlock(&m->mutex);
}

/* One line for each reason in a run, however often it is tried. */
static void say_waits(struct runner *m, bool ready, const struct err *e, int *said)
{
    const char *event = !ready                                                  ? "qdrant_not_ready"
                        : e->code == QDRANT_REFUSED || e->code == QDRANT_NO_KEY ? "qdrant_unauthorized"
                                                                                : "collections_failed";
    if (*said != e->code)
        log_line(ready ? LOG_ERROR : LOG_WARN, event, "%s%s", e->text,
                 m->run->end ? "; no snapshots are made until that works" : "");
    *said = e->code;
    m->ready_said = false;
}

static void say_ready(struct runner *m, const struct qdrant_names *names)
{
    if (!m->ready_said)
        log_line(LOG_INFO, "qdrant_ready", "Qdrant answers; it has %zu collection%s", names->n,
                 names->n == 1 ? "" : "s");
    m->ready_said = true;
}

/* Ready, with its collections told. */
static bool told(struct runner *m, struct qdrant_names *names)
{
    int said = 0;
    for (unsigned tries = 0; !runner_over(m) || tries == 0; tries++) {
        struct err e = {0};
        bool ready = qdrant_ready(m->o.qdrant, &e) == 0;
        if (ready && qdrant_collections(m->o.qdrant, names, &e) == 0)
            return say_ready(m, names), true;
        if (stopped(m))
            return false;
        say_waits(m, ready, &e, &said);
        status_qdrant(m->o.status, ready, false, NULL, time(NULL));
        if (!m->run->end || m->run->last)
            return false;
        sleep_until(m, clock_ms() + runner_backoff(tries) / 4);
    }
    return false;
}

void runner_wait_locked(struct runner *m)
{
    (void)pthread_cond_broadcast(&m->work);
    while (!runner_over(m)) {
        struct targets_left left = targets_left(&m->targets);
        int64_t look = clock_ms() + LOOK_MS;
        struct timespec end = clock_spec(m->run->last && m->end_ms < look ? m->end_ms : look);
        if (left.pending + left.making == 0)
            return;
        (void)pthread_cond_timedwait(&m->done, &m->mutex, &end);
    }
}

/* By its name: a clock that ran ahead must not put off what is due until that time has come. */
static bool is_ahead(time_t taken) { return taken > time(NULL) + BACKUP_AHEAD; }

/* What Qdrant still has of it: was this slot served by an earlier process, and how much room does one take? A
 * failure here is no reason to make none. */
static void look_back(struct runner *m, struct target *it)
{
    cleanup_snapshots struct qdrant_snapshots list = {0};
    struct err e = {0};
    if (qdrant_snapshots(m->o.qdrant, it->name, &list, &e) != 0) {
        log_line(LOG_DEBUG, "no_listing", "%s", e.text);
        return;
    }
    it->listed = true;
    for (size_t i = 0; i < list.n; i++) {
        time_t when = targets_taken(it, &list.v[i]);
        if (!list.v[i].made)
            continue; /* an upload serves no slot, whatever time is in its name */
        if (when < it->newest || !when || is_ahead(when))
            continue;
        it->newest = when;
        it->size = (int64_t)list.v[i].size;
    }
}

/* What is on EFS counts where nothing newer is known locally: the status takes one from a clock that ran
 * ahead for as old as its publication. */
static bool is_served(const struct runner *m, const struct target *it, time_t on_efs)
{
    const struct runner_run *r = m->run;
    return r->served && (r->served(it->newest, r->arg) || (it->newest < on_efs && r->served(on_efs, r->arg)));
}

bool runner_wants(const struct runner *m, const struct target *it)
{
    if (it->elsewhere)
        return false;
    return m->run->only ? qdrant_names_have(m->run->only, it->name)
                        : options_wanted(m->o.options->collections, it->name);
}

/* An item that nobody is at is the running thread's alone; the threads take it once it is pending. */
static bool is_idle(struct runner *m, const struct target *it)
{
    (void)pthread_mutex_lock(&m->mutex);
    bool idle = it->state == TARGET_OUT;
    (void)pthread_mutex_unlock(&m->mutex);
    return idle;
}

/* Of those that a person asked for. */
static void tell_elsewhere(const struct runner *m)
{
    const struct runner_progress *p = m->run->progress;
    for (size_t i = 0; p && p->elsewhere && m->run->only && i < m->targets.n; i++)
        if (m->targets.v[i]->elsewhere && qdrant_names_have(m->run->only, m->targets.v[i]->name))
            p->elsewhere(m->targets.v[i]->name, p->arg);
}

/* First look at all, then let the threads begin: which is oldest is known at the end. */
static void choose(struct runner *m)
{
    struct targets *r = &m->targets;
    tell_elsewhere(m);
    for (size_t i = 0; i < r->n && !runner_over(m); i++)
        if (is_idle(m, r->v[i]) && (!r->v[i]->listed || m->run->look_back) && runner_wants(m, r->v[i]))
            look_back(m, r->v[i]);
    (void)pthread_mutex_lock(&m->mutex);
    for (size_t i = 0; i < r->n; i++) {
        struct target *it = r->v[i];
        time_t on_efs = status_newest(m->o.status, it->name);
        if (it->state != TARGET_OUT || !runner_wants(m, it) || is_served(m, it, on_efs))
            continue;
        if (it->newest < on_efs)
            it->newest = on_efs;
        it->state = TARGET_PENDING;
        it->tries = it->waits = it->rank = 0;
        it->due = 0;
        m->report.collections++;
    }
    (void)pthread_mutex_unlock(&m->mutex);
}

/* Once in each period, and after the collections, whose own snapshots must not be missed for it. */
static bool full_is_due(struct runner *m)
{
    const struct options *o = m->o.options;
    struct target *it = &m->targets.storage;
    if (!o->full || !m->run->served || !is_idle(m, it) || runner_over(m))
        return false;
    if (is_ahead(it->newest)) {
        it->newest = 0;
        it->listed = false;
    }
    if (!it->listed)
        look_back(m, it);
    return !it->newest || frequency_period(o->full_tier, frequency_slot(it->newest)) <
                              frequency_period(o->full_tier, frequency_slot(m->run->slot));
}

static void make_full(struct runner *m)
{
    struct target *it = &m->targets.storage;
    int64_t all = 0;
    if (!full_is_due(m))
        return;
    /* Qdrant names a snapshot by the second, and moves those of the collections that it makes for this one
     * into it: not in the second of one that we had made. */
    sleep_until(m, clock_ms() + FULL_LATER);
    (void)pthread_mutex_lock(&m->mutex);
    for (size_t i = 0; i < m->targets.n; i++)
        all += m->targets.v[i]->size > 0 ? m->targets.v[i]->size : 0;
    it->size = it->size > all || all == 0 ? it->size : all; /* it holds one of each collection */
    it->state = TARGET_PENDING;
    it->tries = it->waits = 0;
    it->due = 0;
    m->report.collections++;
    runner_wait_locked(m);
    (void)pthread_mutex_unlock(&m->mutex);
}

static void add_name(char *names, size_t size, const struct target *it)
{
    char name[300];
    size_t n = strlen(names);
    (void)snprintf(names + n, size - n, "%s%.100s%s", n ? ", " : "", runner_shown(it, name),
                   it->state == TARGET_MAKING ? " (being made)" : "");
}

/* What is left then is told of all at once. */
static bool runner_ends(const struct runner *m)
{
    return stopped(m) || (m->o.ending && atomic_load(m->o.ending));
}

/* Each that the run began with is counted: what Qdrant is still at for this run has no snapshot in it either,
 * whatever comes of it. With the mutex held. */
static void give_up_rest_locked(struct runner *m)
{
    char names[800] = "";
    unsigned said = 0;
    for (size_t i = 0; i <= m->targets.n; i++) {
        struct target *it = i < m->targets.n ? m->targets.v[i] : &m->targets.storage;
        bool counts = it->state == TARGET_PENDING || (it->state == TARGET_MAKING && it->run == m->run_number);
        if (it->state != TARGET_OUT && said++ < NAMES_SAID)
            add_name(names, sizeof names, it);
        m->report.failed += counts && it->tries > 0;
        m->report.skipped += counts && it->tries == 0;
        if (it->state == TARGET_PENDING)
            it->state = TARGET_OUT;
    }
    if (said > 0 && !runner_ends(m))
        log_line(LOG_WARN, "slot_overrun",
                 "the slot is over, and %u collections have no snapshot in it: %s%s; they come first in the "
                 "next one",
                 said, names, said > NAMES_SAID ? " ..." : "");
}

static bool recovery_mode(struct runner *m)
{
    struct err e = {0};
    struct qdrant_state state = {0};
    int rc = qdrant_state(m->o.qdrant, &state, &e);
    if (rc != 0)
        log_line(LOG_DEBUG, "no_metrics", "%s", e.text);
    if (state.recovery_mode && !m->recovery_said)
        log_line(LOG_WARN, "recovery_mode",
                 "Qdrant is in recovery mode and its collections are not loaded: no snapshots are made");
    m->recovery_said = state.recovery_mode;
    (void)pthread_mutex_lock(&m->mutex);
    qdrant_names_free(&m->state.making);
    m->state = state;
    m->state_due = clock_ms() + (rc == 0 ? RUNNER_STATE_MS : RUNNER_STATE_LATER);
    (void)pthread_mutex_unlock(&m->mutex);
    return state.recovery_mode;
}

static void begin(struct runner *m, const struct runner_run *run)
{
    (void)pthread_mutex_lock(&m->mutex);
    m->run = run;
    m->run_number++;
    m->report = (struct status_run){.slot = run->slot, .begun = time(NULL)};
    m->end_ms =
        run->last ? run->last->end_ms - TELL_MS : clock_ms() + (int64_t)(run->end - m->report.begun) * 1000;
    m->pause = 0;
    m->pauses = 0;
    m->refused_said = 0;
    m->cut = false;
    (void)pthread_mutex_unlock(&m->mutex);
}

/* Which of them have no shard on this node? Where that cannot be told, what it was before. The items are the
 * running thread's own to walk through. */
static void find_elsewhere(struct runner *m)
{
    struct cluster_state cluster = {0};
    struct err e = {0};
    if (cluster_state(m->o.qdrant, &cluster, &e) != 0 && e.code != QDRANT_MISSING)
        return;
    for (size_t i = 0; i < m->targets.n && !stopped(m); i++) {
        struct target *it = m->targets.v[i];
        struct cluster_shards shards = {0};
        if (cluster.enabled && (!options_wanted(m->o.options->collections, it->name) ||
                                cluster_shards(m->o.qdrant, it->name, &shards, &e) != 0))
            continue;
        bool elsewhere = cluster.enabled && shards.local == 0;
        if (elsewhere && !it->elsewhere)
            log_line(LOG_INFO, "no_shard_here", "%s has no shard on this node: no backup of it is made here",
                     it->name);
        (void)pthread_mutex_lock(&m->mutex);
        it->elsewhere = elsewhere;
        (void)pthread_mutex_unlock(&m->mutex);
    }
    (void)pthread_mutex_lock(&m->mutex);
    m->clustered = cluster.enabled;
    (void)pthread_mutex_unlock(&m->mutex);
}

/* What COLLECTIONS means. With the mutex held. */
static void tell_chosen_locked(struct runner *m, size_t wanted)
{
    const char *patterns = m->o.options->collections, **all = calloc(m->targets.n + 1, sizeof(char *));
    char missing[256];
    size_t here = 0;
    for (size_t i = 0; all && i < m->targets.n; i++) {
        all[i] = m->targets.v[i]->name;
        here += !m->targets.v[i]->elsewhere;
    }
    bool mistyped = all && options_missing(patterns, all, m->targets.n, missing);
    free(all);
    if (!status_chosen(m->o.status, patterns, wanted, here, mistyped ? missing : NULL))
        return;
    if (here > 0 && wanted == 0)
        log_line(LOG_ERROR, "collections_none",
                 "COLLECTIONS=%s means none of Qdrant's %zu collections: NOTHING IS BACKED UP on schedule",
                 patterns, here);
    if (mistyped)
        log_line(LOG_WARN, "collection_not_there",
                 "COLLECTIONS names \"%s\", and Qdrant has no such collection; is it mistyped?", missing);
}

/* The collections that Qdrant has, taken over, and told to the status. */
static bool take(struct runner *m)
{
    cleanup_names struct qdrant_names names = {0};
    size_t n = 0;
    if (!told(m, &names))
        return false;
    status_qdrant(m->o.status, true, m->recovery_said, NULL, time(NULL)); /* not only at the run's end */
    (void)pthread_mutex_lock(&m->mutex);
    bool good = targets_take(&m->targets, &names);
    (void)pthread_mutex_unlock(&m->mutex);
    find_elsewhere(m);
    (void)pthread_mutex_lock(&m->mutex);
    const char **wanted = calloc(m->targets.n + 1, sizeof(char *));
    for (size_t i = 0; wanted && i < m->targets.n; i++)
        if (!m->targets.v[i]->elsewhere && options_wanted(m->o.options->collections, m->targets.v[i]->name))
            wanted[n++] = m->targets.v[i]->name;
    if (names.odd > 0)
        log_line(LOG_ERROR, "collections_failed",
                 "%zu entries of Qdrant's list of collections have no name; the others are served",
                 names.odd);
    if (wanted && good) {
        status_collections(m->o.status, wanted, n, time(NULL));
        tell_chosen_locked(m, n);
    }
    free(wanted);
    (void)pthread_mutex_unlock(&m->mutex);
    if (!good)
        log_line(LOG_ERROR, "internal", "no memory for the list of collections");
    return good;
}

void runner_list_again(struct runner *m)
{
    cleanup_names struct qdrant_names names = {0};
    struct err e = {0};
    bool news = false;
    int rc = qdrant_collections(m->o.qdrant, &names, &e);
    if (rc != 0)
        log_line(LOG_DEBUG, "collections_failed", "%s", e.text);
    (void)pthread_mutex_lock(&m->mutex);
    m->cut = m->cut || (rc != 0 && runner_concerns_all(&e));
    for (size_t i = 0, old = 0; rc == 0 && i < names.n; i++) { /* both are sorted */
        while (old < m->targets.n && strcmp(m->targets.v[old]->name, names.v[i]) < 0)
            old++;
        news = news || old == m->targets.n || strcmp(m->targets.v[old]->name, names.v[i]) != 0;
    }
    if (rc == 0 && !targets_take(&m->targets, &names))
        log_line(LOG_ERROR, "internal", "no memory for the list of collections");
    bool ask = news && m->clustered;
    (void)pthread_mutex_unlock(&m->mutex);
    if (ask)
        find_elsewhere(m);
}

static void note_qdrant(struct runner *m, bool recovery)
{
    char version[64];
    struct err e = {0};
    (void)qdrant_version(m->o.qdrant, version, sizeof version, &e); /* empty then */
    status_qdrant(m->o.status, true, recovery, version, time(NULL));
}

/* Once: which slots are served, and which collection's backup is oldest, may be known on EFS alone. */
static void wait_for_knowledge(struct runner *m)
{
    int64_t end = clock_ms() + KNOW_MS;
    if (m->waited || !m->o.known)
        return;
    m->waited = true;
    while (!atomic_load(m->o.known) && clock_ms() < end && !runner_over(m))
        clock_sleep(LOOK_MS / 5);
}

bool runner_look(struct runner *m, time_t until)
{
    struct runner_run run = {.end = until};
    begin(m, &run);
    bool good = take(m);
    if (good)
        note_qdrant(m, recovery_mode(m));
    (void)pthread_mutex_lock(&m->mutex);
    m->run = NULL;
    (void)pthread_mutex_unlock(&m->mutex);
    return good;
}

bool runner_run(struct runner *m, const struct runner_run *run, struct status_run *out)
{
    begin(m, run);
    bool good = take(m), recovery = good && recovery_mode(m);
    if (good && !recovery && run->last) {
        runner_run_last(m);
    } else if (good && !recovery) {
        wait_for_knowledge(m);
        runner_take_marks(m);
        choose(m);
        (void)pthread_mutex_lock(&m->mutex);
        if (m->report.collections > 0)
            status_run(m->o.status, &m->report);
        runner_wait_locked(m);
        (void)pthread_mutex_unlock(&m->mutex);
        make_full(m);
    }
    if (run->last)
        run->last->recovery = recovery;
    if (good && !run->last)
        note_qdrant(m, recovery);
    (void)pthread_mutex_lock(&m->mutex);
    give_up_rest_locked(m);
    m->report.ended = time(NULL);
    *out = m->report;
    m->run = NULL;
    (void)pthread_mutex_unlock(&m->mutex);
    if (out->collections > 0)
        status_run(m->o.status, out);
    return good;
}

struct runner *runner_new(const struct runner_options *o)
{
    struct runner *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    m->o = *o;
    m->targets.storage.size = m->targets.storage.had = m->targets.storage.has = -1;
    if (pthread_mutex_init(&m->mutex, NULL) != 0 || !clock_cond_init(&m->work) || !clock_cond_init(&m->done))
        return free(m), NULL;
    while (m->n_threads < o->options->parallel && m->n_threads < RUNNER_THREADS_MAX &&
           thread_start(&m->threads[m->n_threads], "snapshot", runner_work, m) == 0)
        m->n_threads++;
    if (m->n_threads > 0)
        return m; /* fewer than wanted will do */
    runner_free(m);
    return NULL;
}

void runner_wake(struct runner *m)
{
    (void)pthread_mutex_lock(&m->mutex);
    (void)pthread_cond_broadcast(&m->work);
    (void)pthread_cond_broadcast(&m->done);
    (void)pthread_mutex_unlock(&m->mutex);
}

bool runner_stop(struct runner *m, int64_t end)
{
    bool all = true;
    (void)pthread_mutex_lock(&m->mutex);
    m->quit = true;
    (void)pthread_mutex_unlock(&m->mutex);
    runner_wake(m);
    for (unsigned i = 0; i < m->n_threads; i++)
        all = clock_join(m->threads[i], end) && all;
    return all;
}

void runner_free(struct runner *m)
{
    if (!m)
        return;
    targets_free(&m->targets);
    qdrant_names_free(&m->state.making);
    (void)pthread_cond_destroy(&m->work);
    (void)pthread_cond_destroy(&m->done);
    (void)pthread_mutex_destroy(&m->mutex);
    free(m);
}
