#include "common/clock.h"
#include "common/log.h"
#include "replicator/maker_state.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Milliseconds. KNOW: how long the first run waits for what is on EFS to be known; a hung EFS keeps no
 * snapshot from being made. */
enum { LOOK_MS = 500, REST_MS = 2000, KNOW_MS = 10000, FULL_LATER = 1100, NAMES_SAID = 5 };

static bool stopped(const struct maker *m) { return m->o.stop && atomic_load(m->o.stop); }

/* By both clocks: the wall's may step while we wait, forth or back. */
static bool over(const struct maker *m)
{
    return stopped(m) || (m->run->end && (time(NULL) >= m->run->end || clock_ms() >= m->end_ms));
}

/* Woken by maker_wake. The wall clock is looked at meanwhile. */
static void sleep_until(struct maker *m, int64_t when)
{
    (void)pthread_mutex_lock(&m->mutex);
    for (int64_t now; !over(m) && (now = clock_ms()) < when;) {
        struct timespec end = clock_spec(when - now < REST_MS ? when : now + REST_MS);
        (void)pthread_cond_timedwait(&m->done, &m->mutex, &end);
    }
    (void)pthread_mutex_unlock(&m->mutex);
}

/* Ready, with its collections told. One line for each reason in a slot, however often it is tried. */
static bool told(struct maker *m, struct qdrant_names *names)
{
    int said = 0;
    for (unsigned tries = 0; !over(m) || tries == 0; tries++) {
        struct err e = {0};
        bool ready = qdrant_ready(m->o.qdrant, &e) == 0;
        if (ready && qdrant_collections(m->o.qdrant, names, &e) == 0)
            return true;
        if (stopped(m))
            return false;
        if (said != e.code) {
            const char *event = !ready                                                ? "qdrant_not_ready"
                                : e.code == QDRANT_REFUSED || e.code == QDRANT_NO_KEY ? "qdrant_unauthorized"
                                                                                      : "collections_failed";
            log_line(ready ? LOG_ERROR : LOG_WARN, event, "%s%s", e.text,
                     m->run->end ? "; no snapshots are made until that works" : "");
        }
        said = e.code;
        ledger_qdrant(m->o.ledger, ready, false, NULL, time(NULL));
        if (!m->run->end)
            return false;
        sleep_until(m, clock_ms() + maker_backoff(tries) / 4);
    }
    return false;
}

/* Until nothing of this run is left. With the mutex held. */
static void wait_for_run(struct maker *m)
{
    (void)pthread_cond_broadcast(&m->work);
    while (!over(m)) {
        struct roster_left left = roster_left(&m->roster);
        struct timespec end = clock_spec(clock_ms() + LOOK_MS);
        if (left.pending + left.making == 0)
            return;
        (void)pthread_cond_timedwait(&m->done, &m->mutex, &end);
    }
}

/* What Qdrant still has of it: was this slot served by an earlier process, and how much room does one take? A
 * failure here is no reason to make none. */
static void look_back(struct maker *m, struct item *it)
{
    cleanup_snapshots struct qdrant_snapshots list = {0};
    struct err e = {0};
    if (qdrant_snapshots(m->o.qdrant, it->name, &list, &e) != 0) {
        log_line(LOG_DEBUG, "no_listing", "%s", e.text);
        return;
    }
    it->listed = true;
    for (size_t i = 0; i < list.n; i++) {
        time_t when = roster_taken(it, &list.v[i]);
        if (when < it->newest || !when)
            continue;
        it->newest = when;
        it->size = list.v[i].size;
    }
}

/* What is on EFS counts where nothing newer is known locally: the ledger takes one from a clock that ran
 * ahead for as old as its publication. */
static bool is_served(const struct maker *m, const struct item *it, time_t on_efs)
{
    const struct maker_run *r = m->run;
    return r->served && (r->served(it->newest, r->arg) || (it->newest < on_efs && r->served(on_efs, r->arg)));
}

static bool is_wanted(const struct maker *m, const struct item *it)
{
    return m->run->only ? qdrant_names_have(m->run->only, it->name)
                        : options_wanted(m->o.options->collections, it->name);
}

/* An item that nobody is at is the running thread's alone; the threads take it once it is pending. */
static bool is_idle(struct maker *m, const struct item *it)
{
    (void)pthread_mutex_lock(&m->mutex);
    bool idle = it->state == ITEM_OUT;
    (void)pthread_mutex_unlock(&m->mutex);
    return idle;
}

/* First look at all, then let the threads begin: which is oldest is known at the end. */
static void choose(struct maker *m)
{
    struct roster *r = &m->roster;
    for (size_t i = 0; i < r->n && !over(m); i++)
        if (is_idle(m, r->v[i]) && (!r->v[i]->listed || m->run->look_back) && is_wanted(m, r->v[i]))
            look_back(m, r->v[i]);
    (void)pthread_mutex_lock(&m->mutex);
    for (size_t i = 0; i < r->n; i++) {
        struct item *it = r->v[i];
        time_t on_efs = ledger_newest(m->o.ledger, it->name);
        if (it->state != ITEM_OUT || !is_wanted(m, it) || is_served(m, it, on_efs))
            continue;
        if (it->newest < on_efs)
            it->newest = on_efs;
        it->state = ITEM_PENDING;
        it->tries = 0;
        it->due = 0;
        m->report.collections++;
    }
    (void)pthread_mutex_unlock(&m->mutex);
}

/* Once in each period, and after the collections, whose own snapshots must not be missed for it. */
static bool full_is_due(struct maker *m)
{
    const struct options *o = m->o.options;
    struct item *it = &m->roster.storage;
    if (!o->full || !m->run->served || !is_idle(m, it) || over(m))
        return false;
    if (!it->listed)
        look_back(m, it);
    return !it->newest || tier_period(o->full_tier, tier_slot(it->newest)) <
                              tier_period(o->full_tier, tier_slot(m->run->slot));
}

static void make_full(struct maker *m)
{
    struct item *it = &m->roster.storage;
    uint64_t all = 0;
    if (!full_is_due(m))
        return;
    /* Qdrant names a snapshot by the second, and moves those of the collections that it makes for this one
     * into it: not in the second of one that we had made. */
    sleep_until(m, clock_ms() + FULL_LATER);
    (void)pthread_mutex_lock(&m->mutex);
    for (size_t i = 0; i < m->roster.n; i++)
        all += m->roster.v[i]->size;
    it->size = it->size > all ? it->size : all; /* it holds one of each collection */
    it->state = ITEM_PENDING;
    it->tries = 0;
    it->due = 0;
    m->report.collections++;
    wait_for_run(m);
    (void)pthread_mutex_unlock(&m->mutex);
}

static void add_name(char *names, size_t size, const struct item *it)
{
    char name[300];
    size_t n = strlen(names);
    (void)snprintf(names + n, size - n, "%s%.100s%s", n ? ", " : "", maker_shown(it, name),
                   it->state == ITEM_MAKING ? " (being made)" : "");
}

/* With the mutex held. */
static void give_up_rest(struct maker *m)
{
    char names[800] = "";
    struct roster_left left = roster_left(&m->roster);
    unsigned said = 0;
    for (size_t i = 0; i <= m->roster.n; i++) {
        struct item *it = i < m->roster.n ? m->roster.v[i] : &m->roster.storage;
        if (it->state != ITEM_OUT && said++ < NAMES_SAID)
            add_name(names, sizeof names, it);
        if (it->state == ITEM_PENDING)
            it->state = ITEM_OUT;
    }
    m->report.failed += left.tried;
    m->report.skipped += left.pending - left.tried;
    if (said > 0 && !stopped(m))
        log_line(LOG_WARN, "slot_overrun",
                 "the slot is over, and %u collections have no snapshot in it: %s%s; they come first in the "
                 "next one",
                 said, names, said > NAMES_SAID ? " ..." : "");
}

static bool recovery_mode(struct maker *m)
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
    m->state_due = clock_ms() + (rc == 0 ? MAKER_STATE_MS : MAKER_STATE_LATER);
    (void)pthread_mutex_unlock(&m->mutex);
    return state.recovery_mode;
}

static void begin(struct maker *m, const struct maker_run *run)
{
    (void)pthread_mutex_lock(&m->mutex);
    m->run = run;
    m->run_number++;
    m->report = (struct ledger_run){.slot = run->slot, .begun = time(NULL)};
    m->end_ms = clock_ms() + (int64_t)(run->end - m->report.begun) * 1000;
    m->pause = 0;
    m->pauses = 0;
    m->refused_said = 0;
    (void)pthread_mutex_unlock(&m->mutex);
}

/* The collections that Qdrant has, taken over, and told to the ledger. */
static bool take(struct maker *m)
{
    cleanup_names struct qdrant_names names = {0};
    size_t n = 0;
    if (!told(m, &names))
        return false;
    ledger_qdrant(m->o.ledger, true, m->recovery_said, NULL, time(NULL)); /* not only at the run's end */
    (void)pthread_mutex_lock(&m->mutex);
    bool good = roster_take(&m->roster, &names);
    const char **wanted = calloc(m->roster.n + 1, sizeof(char *));
    for (size_t i = 0; wanted && i < m->roster.n; i++)
        if (options_wanted(m->o.options->collections, m->roster.v[i]->name))
            wanted[n++] = m->roster.v[i]->name;
    if (names.odd > 0)
        log_line(LOG_ERROR, "collections_failed",
                 "%zu entries of Qdrant's list of collections have no name; the others are served",
                 names.odd);
    if (wanted && good)
        ledger_collections(m->o.ledger, wanted, n, time(NULL));
    free(wanted);
    (void)pthread_mutex_unlock(&m->mutex);
    if (!good)
        log_line(LOG_ERROR, "internal", "no memory for the list of collections");
    return good;
}

static void note_qdrant(struct maker *m, bool recovery)
{
    char version[64];
    struct err e = {0};
    (void)qdrant_version(m->o.qdrant, version, sizeof version, &e); /* empty then */
    ledger_qdrant(m->o.ledger, true, recovery, version, time(NULL));
}

/* Once: which slots are served, and which collection's backup is oldest, may be known on EFS alone. */
static void wait_for_knowledge(struct maker *m)
{
    int64_t end = clock_ms() + KNOW_MS;
    if (m->waited || !m->o.known)
        return;
    m->waited = true;
    while (!atomic_load(m->o.known) && clock_ms() < end && !over(m))
        clock_sleep(LOOK_MS / 5);
}

bool maker_look(struct maker *m, time_t until)
{
    struct maker_run run = {.end = until};
    begin(m, &run);
    bool good = take(m);
    if (good)
        note_qdrant(m, recovery_mode(m));
    (void)pthread_mutex_lock(&m->mutex);
    m->run = NULL;
    (void)pthread_mutex_unlock(&m->mutex);
    return good;
}

bool maker_run(struct maker *m, const struct maker_run *run, struct ledger_run *out)
{
    begin(m, run);
    bool good = take(m), recovery = good && recovery_mode(m);
    if (good && !recovery) {
        wait_for_knowledge(m);
        choose(m);
        (void)pthread_mutex_lock(&m->mutex);
        if (m->report.collections > 0)
            ledger_run(m->o.ledger, &m->report);
        wait_for_run(m);
        (void)pthread_mutex_unlock(&m->mutex);
        make_full(m);
    }
    if (good)
        note_qdrant(m, recovery);
    (void)pthread_mutex_lock(&m->mutex);
    give_up_rest(m);
    m->report.ended = time(NULL);
    *out = m->report;
    m->run = NULL;
    (void)pthread_mutex_unlock(&m->mutex);
    if (out->collections > 0)
        ledger_run(m->o.ledger, out);
    return good;
}

struct maker *maker_new(const struct maker_options *o)
{
    struct maker *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    m->o = *o;
    if (pthread_mutex_init(&m->mutex, NULL) != 0 || !clock_cond_init(&m->work) || !clock_cond_init(&m->done))
        return free(m), NULL;
    while (m->n_threads < o->options->parallel && m->n_threads < MAKER_THREADS_MAX &&
           pthread_create(&m->threads[m->n_threads], NULL, maker_work, m) == 0)
        m->n_threads++;
    if (m->n_threads > 0)
        return m; /* fewer than wanted will do */
    maker_free(m);
    return NULL;
}

void maker_wake(struct maker *m)
{
    (void)pthread_mutex_lock(&m->mutex);
    (void)pthread_cond_broadcast(&m->work);
    (void)pthread_cond_broadcast(&m->done);
    (void)pthread_mutex_unlock(&m->mutex);
}

bool maker_stop(struct maker *m, int64_t end)
{
    bool all = true;
    (void)pthread_mutex_lock(&m->mutex);
    m->quit = true;
    (void)pthread_mutex_unlock(&m->mutex);
    maker_wake(m);
    for (unsigned i = 0; i < m->n_threads; i++)
        all = clock_join(m->threads[i], end) && all;
    return all;
}

void maker_free(struct maker *m)
{
    if (!m)
        return;
    roster_free(&m->roster);
    qdrant_names_free(&m->state.making);
    (void)pthread_cond_destroy(&m->work);
    (void)pthread_cond_destroy(&m->done);
    (void)pthread_mutex_destroy(&m->mutex);
    free(m);
}
