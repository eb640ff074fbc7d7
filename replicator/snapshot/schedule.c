#include "replicator/snapshot/schedule.h"
#include "common/base/clock.h"
#include "common/log.h"
#include "replicator/core/worker.h"
#include "common/base/utc.h"
#include "replicator/snapshot/slots.h"
#include "replicator/status/state.h"
#include <cjson/cJSON.h>
#include <stdlib.h>

/* LAST: far beyond any stop, whose end is by the monotonic clock. */
enum { LOOK_MS = 2000, LOOK_ONLY_SECONDS = 900, LAST_SECONDS = 86400 };

struct schedule {
    struct runner_options o;
    struct runner *runner;
    struct slots slots;
    struct worker_thread worker; /* its mutex is for all below */
    struct runner_last *last;    /* what schedule_last waits for */
    bool last_over, told;        /* ... and whether Qdrant told its collections */
};
struct this_slot {
    const struct slots *slots;
    time_t begin;
};

static bool served(time_t taken, void *arg)
{
    const struct this_slot *t = arg;
    return taken > 0 && slots_of(t->slots, taken) == t->begin;
}

static void report(const struct status_run *r)
{
    char slot[32];
    utc_text(r->slot, slot);
    cJSON *f = cJSON_CreateObject();
    if (f) { /* a member that finds no memory is left out */
        (void)cJSON_AddStringToObject(f, "slot", slot);
        (void)cJSON_AddNumberToObject(f, "collections", r->collections);
        (void)cJSON_AddNumberToObject(f, "made", r->made);
        (void)cJSON_AddNumberToObject(f, "failed", r->failed);
        (void)cJSON_AddNumberToObject(f, "skipped", r->skipped);
        (void)cJSON_AddNumberToObject(f, "bytes", (double)r->bytes);
        (void)cJSON_AddNumberToObject(f, "seconds", (double)(r->ended - r->begun));
    }
    log_fields(r->failed ? LOG_WARN : LOG_INFO, "run_finished", f, "%u of %u snapshots made", r->made,
               r->collections);
}

static void run(struct schedule *s, const struct slot *slot)
{
    char text[32];
    struct this_slot this_slot = {&s->slots, slot->begin};
    struct runner_run what = {.slot = slot->begin,
                              .end = slot->end,
                              .served = served,
                              .arg = &this_slot,
                              .look_back = slot->in_doubt};
    struct status_run done;
    utc_text(slot->begin, text);
    log_line(LOG_DEBUG, "run_started", "slot %s", text);
    if (slot->missed > 0) {
        log_line(LOG_WARN, "slots_missed",
                 "%u slots before %s went by without a run: a run took too long, the task was suspended, or "
                 "the clock was set",
                 slot->missed, text);
        status_slots_missed(s->o.status, slot->missed);
    }
    if (runner_run(s->runner, &what, &done) && done.collections > 0 && !atomic_load(s->o.stop))
        report(&done);
}

static bool is_ending(const struct schedule *s) { return s->o.ending && atomic_load(s->o.ending); }

static void rest(struct schedule *s)
{
    time_t now = time(NULL), next = slots_of(&s->slots, now) + (time_t)s->slots.interval;
    int64_t left = (int64_t)(next - now) * 1000;
    struct timespec end = clock_spec(clock_ms() + (left < LOOK_MS ? left : LOOK_MS));
    (void)pthread_mutex_lock(&s->worker.mutex);
    for (int rc = 0; rc == 0 && !atomic_load(s->o.stop) && !is_ending(s);)
        rc = pthread_cond_timedwait(&s->worker.wake, &s->worker.mutex, &end);
    (void)pthread_mutex_unlock(&s->worker.mutex);
}

/* A stop. */
static void run_last(struct schedule *s)
{
    struct status_run done;
    (void)pthread_mutex_lock(&s->worker.mutex);
    while (!s->last && !atomic_load(s->o.stop))
        (void)pthread_cond_wait(&s->worker.wake, &s->worker.mutex);
    struct runner_last *last = s->last;
    (void)pthread_mutex_unlock(&s->worker.mutex);
    if (!last)
        return;
    struct runner_run what = {.slot = time(NULL), .end = time(NULL) + LAST_SECONDS, .last = last};
    bool told = runner_run(s->runner, &what, &done);
    (void)pthread_mutex_lock(&s->worker.mutex);
    s->last_over = true;
    s->told = told;
    (void)pthread_cond_broadcast(&s->worker.wake);
    (void)pthread_mutex_unlock(&s->worker.mutex);
}

static void *loop(void *arg)
{
    struct schedule *s = arg;
    bool only_look = s->o.options->interval == 0;
    for (struct slot slot; !atomic_load(s->o.stop) && !is_ending(s); rest(s)) {
        if (s->o.restore_pending && atomic_load(s->o.restore_pending))
            continue;
        if (slots_early(&s->slots, time(NULL)) || !slots_due(&s->slots, time(NULL), &slot))
            continue;
        status_next_run(s->o.status, only_look ? 0 : slot.end);
        if (only_look)
            (void)runner_look(s->runner, slot.end);
        else
            run(s, &slot);
    }
    if (is_ending(s) && !atomic_load(s->o.stop))
        run_last(s);
    return NULL;
}

struct schedule *schedule_start(const struct runner_options *o)
{
    struct schedule *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->o = *o;
    s->slots.interval = o->options->interval ? o->options->interval : LOOK_ONLY_SECONDS;
    s->slots.offset = o->options->offset;
    s->runner = runner_new(o);
    if (s->runner && worker_start(&s->worker, "schedule", loop, s, o->stop))
        return s;
    if (!s->runner || runner_stop(s->runner, clock_ms() + 1000))
        runner_free(s->runner);
    free(s);
    return NULL;
}

bool schedule_last(struct schedule *s, struct runner_last *last, bool *told)
{
    struct timespec end = clock_spec(last->end_ms);
    runner_wake(s->runner);
    (void)pthread_mutex_lock(&s->worker.mutex);
    s->last = last;
    (void)pthread_cond_broadcast(&s->worker.wake);
    for (int rc = 0; rc == 0 && !s->last_over;)
        rc = pthread_cond_timedwait(&s->worker.wake, &s->worker.mutex, &end);
    bool over = s->last_over;
    *told = s->told;
    (void)pthread_mutex_unlock(&s->worker.mutex);
    return over;
}

bool schedule_stop(struct schedule *s, int64_t end)
{
    worker_wake(&s->worker);
    runner_wake(s->runner);
    bool ended = worker_stop(&s->worker, end);
    return runner_stop(s->runner, end) && ended;
}

void schedule_free(struct schedule *s)
{
    if (!s)
        return;
    runner_free(s->runner);
    worker_free(&s->worker);
    free(s);
}
