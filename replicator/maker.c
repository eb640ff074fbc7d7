#include "replicator/maker.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/text.h"
#include "efs/name.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

/* Milliseconds. */
enum { LOOK_MS = 250, TRY_FIRST = 5000, TRY_MAX = 300000, STATE_OLD = 5000, NAMES_SAID = 5 };

enum item_state { ITEM_OUT, ITEM_PENDING, ITEM_MAKING, ITEM_MADE, ITEM_SKIPPED, ITEM_FAILED };
struct item {
    char *name; /* NULL: the whole storage */
    enum item_state state;
    bool listed;   /* its snapshots were looked at once */
    time_t newest; /* when the newest known snapshot was taken, 0: none */
    uint64_t size; /* of that one, 0: unknown */
    unsigned tries;
    int64_t due; /* next try, monotonic milliseconds */
};
struct maker {
    struct maker_options o;
    struct item *items; /* sorted by name */
    size_t n;
    struct item storage;
    bool recovery_said;
    /* Of one run. */
    const struct maker_run *run;
    int64_t end_ms; /* the run's end, monotonic */
    struct ledger_run report;
    pthread_mutex_t mutex; /* for all below, and the items, while the run's threads are at work */
    struct qdrant_state state;
    int64_t state_at;
    int64_t pause; /* monotonic: nobody asks Qdrant before, since it refused us or was not there */
    unsigned pauses;
    bool refused_said;
};

static int64_t backoff(unsigned tries)
{
    int64_t wait = (int64_t)TRY_FIRST << (tries < 7 ? tries : 7);
    return wait < TRY_MAX ? wait : TRY_MAX;
}

struct maker *maker_new(const struct maker_options *o)
{
    struct maker *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    m->o = *o;
    if (pthread_mutex_init(&m->mutex, NULL) != 0)
        return free(m), NULL;
    return m;
}

void maker_free(struct maker *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->n; i++)
        free(m->items[i].name);
    free(m->items);
    qdrant_names_free(&m->state.making);
    (void)pthread_mutex_destroy(&m->mutex);
    free(m);
}

static bool stopped(const struct maker *m) { return m->o.stop && atomic_load(m->o.stop); }

/* By both clocks: the wall's may step while we wait, forth or back. */
static bool over(const struct maker *m)
{
    return stopped(m) || (m->run->end && (time(NULL) >= m->run->end || clock_ms() >= m->end_ms));
}

static void sleep_until(const struct maker *m, int64_t when)
{
    for (int64_t left; !over(m) && (left = when - clock_ms()) > 0;)
        clock_sleep(left < LOOK_MS ? left : LOOK_MS);
}

static const char *shown(const struct item *it, char out[300])
{
    return it->name ? text_printable(it->name, out, 300) : "the whole storage";
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
        sleep_until(m, clock_ms() + backoff(tries) / 4);
    }
    return false;
}

/* Merge what Qdrant has now with what is remembered. Both are sorted. */
static bool take_names(struct maker *m, const struct qdrant_names *names)
{
    struct item *items = calloc(names->n + 1, sizeof *items);
    const char **wanted = calloc(names->n + 1, sizeof *wanted);
    size_t old = 0, n_wanted = 0;
    if (!items || !wanted)
        return free(items), free(wanted), false;
    for (size_t i = 0; i < names->n; i++) {
        int order = -1;
        while (old < m->n && (order = strcmp(m->items[old].name, names->v[i])) < 0)
            free(m->items[old++].name);
        if (old < m->n && order == 0)
            items[i] = m->items[old++];
        else
            items[i].name = names->v[i], names->v[i] = NULL;
    }
    while (old < m->n)
        free(m->items[old++].name);
    free(m->items);
    m->items = items;
    m->n = names->n;
    for (size_t i = 0; i < m->n; i++)
        if (options_wanted(m->o.options->collections, items[i].name))
            wanted[n_wanted++] = items[i].name;
    ledger_collections(m->o.ledger, wanted, n_wanted, time(NULL));
    free(wanted);
    return true;
}

/* What a snapshot's own name says; on file systems without a time of creation Qdrant tells none. */
static time_t taken(const struct item *it, const struct qdrant_snapshot *s)
{
    char path[600];
    struct source src;
    (void)snprintf(path, sizeof path, "%s%s%s", it->name ? "x" : "", it->name ? "/" : "", s->name);
    return name_source(path, &src) == NAME_SOURCE && src.taken ? src.taken : s->created;
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
        time_t when = taken(it, &list.v[i]);
        if (when < it->newest || !when)
            continue;
        it->newest = when;
        it->size = list.v[i].size;
    }
}

static bool served(const struct maker *m, const struct item *it)
{
    const struct maker_run *r = m->run;
    time_t backed_up = it->name ? ledger_newest(m->o.ledger, it->name) : 0;
    return r->served && (r->served(it->newest, r->arg) || r->served(backed_up, r->arg));
}

static void choose(struct maker *m)
{
    const struct maker_run *r = m->run;
    for (size_t i = 0; i < m->n && !stopped(m); i++) {
        struct item *it = &m->items[i];
        bool wanted = r->only ? qdrant_names_have(r->only, it->name)
                              : options_wanted(m->o.options->collections, it->name);
        it->state = ITEM_OUT;
        it->tries = 0;
        it->due = 0;
        if (!wanted)
            continue;
        if (!it->listed || r->look_back)
            look_back(m, it);
        if (!served(m, it)) {
            it->state = ITEM_PENDING;
            m->report.collections++;
        }
    }
}

/* With the mutex held. Returns false when there is nothing left; else *found may still be NULL: later. */
static bool next_item(struct maker *m, struct item **found, int64_t now)
{
    bool left = false;
    *found = NULL;
    for (size_t i = 0; i < m->n; i++) {
        struct item *it = &m->items[i];
        if (it->state != ITEM_PENDING)
            continue;
        left = true;
        if (it->due <= now && (!*found || it->tries < (*found)->tries ||
                               (it->tries == (*found)->tries && it->newest < (*found)->newest)))
            *found = it;
    }
    if (m->pause > now)
        *found = NULL;
    return left;
}

static void skip(struct maker *m, struct item *it)
{
    it->state = ITEM_SKIPPED;
    m->report.skipped++;
}

/* The disk must hold one more of these, and it is Qdrant's disk, too. */
static bool room(struct maker *m, struct item *it, uint64_t size)
{
    struct statvfs fs;
    char name[300], text[600];
    if (statvfs(m->o.snapshots_dir, &fs) != 0)
        return true; /* no folder yet: nothing can be said */
    uint64_t free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (free_bytes >= size && free_bytes - size >= m->o.options->min_free)
        return true;
    (void)snprintf(
        text, sizeof text,
        "no snapshot of %s is made: %s has %llu MiB free, the last one took %llu MiB, and MIN_FREE keeps "
        "%llu MiB; free some space, give the task more ephemeral storage, or lower LOCAL_KEEP or MIN_FREE",
        shown(it, name), m->o.snapshots_dir, (unsigned long long)free_bytes >> 20,
        (unsigned long long)size >> 20, (unsigned long long)m->o.options->min_free >> 20);
    cJSON *f = cJSON_CreateObject();
    if (f && it->name)
        (void)cJSON_AddStringToObject(f, "collection", it->name);
    log_fields(LOG_ERROR, "disk_low", f, "%s", text);
    ledger_snapshot_failed(m->o.ledger, it->name ? it->name : "", text, time(NULL));
    if (m->run->progress)
        m->run->progress->failed(it->name, text, m->run->progress->arg);
    return false;
}

/* Not while somebody else is at it. With the mutex held, since the answer is shared. */
static bool being_made(struct maker *m, const struct item *it)
{
    struct err e = {0};
    int64_t now = clock_ms();
    if (!m->state_at || now - m->state_at > STATE_OLD) {
        qdrant_names_free(&m->state.making);
        m->state_at = now;
        if (qdrant_state(m->o.qdrant, &m->state, &e) != 0)
            log_line(LOG_DEBUG, "no_metrics", "%s", e.text);
    }
    return it->name && qdrant_names_have(&m->state.making, it->name);
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

static void made(struct maker *m, struct item *it, const struct qdrant_snapshot *s, double seconds)
{
    char name[300];
    const struct maker_progress *p = m->run->progress;
    time_t when = taken(it, s);
    it->state = ITEM_MADE;
    it->newest = when ? when : time(NULL);
    it->size = s->size;
    m->report.made++;
    m->report.bytes += s->size;
    m->pauses = 0;
    log_fields(LOG_INFO, "snapshot_made", about(it, s, seconds), "%s: %s", shown(it, name), s->name);
    if (p)
        p->made(it->name, s, seconds, p->arg);
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
    const struct maker_progress *p = m->run->progress;
    bool all = concerns_all(e), again = m->run->end && e->code != QDRANT_MISSING;
    if (e->code == ECANCELED) {
        it->state = ITEM_PENDING; /* stopped: said by the run's end */
        return;
    }
    it->due = now + backoff(it->tries++);
    it->state = again ? ITEM_PENDING : ITEM_FAILED;
    m->report.failed += !again;
    if (all)
        m->pause = now + backoff(m->pauses++);
    ledger_snapshot_failed(m->o.ledger, it->name ? it->name : "", e->text, time(NULL));
    if (!all || !m->refused_said)
        log_fields(LOG_ERROR,
                   e->code == QDRANT_REFUSED || e->code == QDRANT_NO_KEY ? "qdrant_unauthorized"
                                                                         : "snapshot_failed",
                   about(it, NULL, 0), "no snapshot of %s: %s%s", shown(it, name), e->text,
                   again ? "; it is tried again" : "");
    m->refused_said = m->refused_said || all;
    if (p)
        p->failed(it->name, e->text, p->arg);
}

/* Takes and gives back the mutex around the request. */
static void make(struct maker *m, struct item *it)
{
    struct qdrant_snapshot s = {0};
    struct err e = {0};
    char name[300];
    if (being_made(m, it)) {
        log_fields(LOG_INFO, "already_running", about(it, NULL, 0), "a snapshot of %s is being made already",
                   shown(it, name));
        skip(m, it);
        return;
    }
    if (!room(m, it, it->size)) {
        skip(m, it);
        return;
    }
    it->state = ITEM_MAKING;
    (void)pthread_mutex_unlock(&m->mutex);
    int64_t begin = clock_ms();
    int rc = qdrant_snapshot_make(m->o.qdrant, it->name, (long)m->o.options->timeout * 1000, &s, &e);
    (void)pthread_mutex_lock(&m->mutex);
    if (rc == 0)
        made(m, it, &s, (double)(clock_ms() - begin) / 1000);
    else
        not_made(m, it, &e);
}

static void *work(void *arg)
{
    struct maker *m = arg;
    struct item *it;
    (void)pthread_mutex_lock(&m->mutex);
    while (!over(m) && next_item(m, &it, clock_ms())) {
        if (it) {
            make(m, it);
            continue;
        }
        (void)pthread_mutex_unlock(&m->mutex);
        sleep_until(m, clock_ms() + LOOK_MS);
        (void)pthread_mutex_lock(&m->mutex);
    }
    (void)pthread_mutex_unlock(&m->mutex);
    return NULL;
}

/* This thread is one of them, so that the run goes on when no other can be started. */
static void work_together(struct maker *m)
{
    pthread_t threads[16];
    unsigned n = 0;
    while (n + 1 < m->o.options->parallel && n < 16 && pthread_create(&threads[n], NULL, work, m) == 0)
        n++;
    (void)work(m);
    while (n > 0)
        (void)pthread_join(threads[--n], NULL); /* ours, and joinable */
}

/* After the collections, whose own snapshots must not be missed for it. */
static void make_full(struct maker *m)
{
    const struct options *o = m->o.options;
    struct item *it = &m->storage;
    time_t now = m->run->slot;
    uint64_t all = 0;
    if (!o->full || !m->run->served || over(m))
        return;
    if (!it->listed)
        look_back(m, it);
    if (it->newest &&
        tier_period(o->full_tier, tier_slot(it->newest)) >= tier_period(o->full_tier, tier_slot(now)))
        return;
    for (size_t i = 0; i < m->n; i++)
        all += m->items[i].size;
    m->report.collections++;
    it->tries = 0;
    it->state = ITEM_PENDING;
    while (it->state == ITEM_PENDING && !over(m)) {
        sleep_until(m, it->due);
        if (over(m))
            break;
        if (it->size < all)
            it->size = all; /* it holds one of each collection */
        (void)pthread_mutex_lock(&m->mutex);
        make(m, it);
        (void)pthread_mutex_unlock(&m->mutex);
    }
    it->due = 0;
}

static void say_overrun(struct maker *m)
{
    char names[600] = "", name[300];
    unsigned left = 0, failed = 0;
    for (size_t i = 0; i <= m->n; i++) {
        struct item *it = i < m->n ? &m->items[i] : &m->storage;
        size_t n = strlen(names);
        if (it->state != ITEM_PENDING)
            continue;
        failed += it->tries > 0;
        if (left++ < NAMES_SAID)
            (void)snprintf(names + n, sizeof names - n, "%s%.100s", n ? ", " : "", shown(it, name));
        it->state = ITEM_OUT;
    }
    m->report.failed += failed;
    m->report.skipped += left - failed;
    if (left > 0 && !stopped(m))
        log_line(LOG_WARN, "slot_overrun",
                 "the slot is over and %u of %u collections have no snapshot in it: %s%s; they "
                 "come first in the next one",
                 left, m->report.collections, names, left > NAMES_SAID ? " ..." : "");
}

static bool recovery_mode(struct maker *m)
{
    struct err e = {0};
    qdrant_names_free(&m->state.making);
    m->state_at = clock_ms();
    if (qdrant_state(m->o.qdrant, &m->state, &e) != 0)
        log_line(LOG_DEBUG, "no_metrics", "%s", e.text);
    if (m->state.recovery_mode && !m->recovery_said)
        log_line(LOG_WARN, "recovery_mode",
                 "Qdrant is in recovery mode and its collections are not loaded: no snapshots are made");
    m->recovery_said = m->state.recovery_mode;
    return m->state.recovery_mode;
}

static void begin(struct maker *m, const struct maker_run *run)
{
    m->run = run;
    m->report = (struct ledger_run){.slot = run->slot, .begun = time(NULL)};
    m->end_ms = clock_ms() + (int64_t)(run->end - m->report.begun) * 1000;
    m->state_at = m->pause = 0;
    m->pauses = 0;
    m->refused_said = false;
    m->storage.state = ITEM_OUT;
    m->storage.due = 0;
}

static bool told_and_taken(struct maker *m)
{
    cleanup_names struct qdrant_names names = {0};
    return told(m, &names) && take_names(m, &names);
}

static void note_qdrant(struct maker *m)
{
    char version[64];
    struct err e = {0};
    (void)qdrant_version(m->o.qdrant, version, sizeof version, &e); /* empty then */
    ledger_qdrant(m->o.ledger, true, m->state.recovery_mode, version, time(NULL));
}

bool maker_look(struct maker *m)
{
    struct maker_run run = {.end = 0};
    begin(m, &run);
    bool good = told_and_taken(m);
    if (good)
        (void)recovery_mode(m);
    if (good)
        note_qdrant(m);
    return good;
}

bool maker_run(struct maker *m, const struct maker_run *run, struct ledger_run *out)
{
    begin(m, run);
    bool good = told_and_taken(m);
    if (good && !recovery_mode(m)) {
        choose(m);
        ledger_run(m->o.ledger, &m->report);
        work_together(m);
        make_full(m);
    }
    if (good)
        note_qdrant(m);
    say_overrun(m);
    m->report.ended = time(NULL);
    if (m->report.collections > 0)
        ledger_run(m->o.ledger, &m->report);
    *out = m->report;
    return good;
}
