#include "replicator/schedule.h"
#include "common/clock.h"
#include "common/log.h"
#include "replicator/slots.h"
#include <cjson/cJSON.h>
#include <stdlib.h>

enum { LOOK_MS = 2000, LOOK_ONLY_SECONDS = 900 };

struct schedule {
    struct maker_options o;
    struct maker *maker;
    struct slots slots;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
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

static void report(const struct ledger_run *r)
{
    char slot[32];
    manifest_time(r->slot, slot);
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
    struct maker_run what = {.slot = slot->begin,
                             .end = slot->end,
                             .served = served,
                             .arg = &this_slot,
                             .look_back = slot->in_doubt};
    struct ledger_run done;
    manifest_time(slot->begin, text);
    log_line(LOG_DEBUG, "run_started", "slot %s", text);
    if (slot->missed > 0) {
        log_line(LOG_WARN, "slots_missed",
                 "%u slots before %s went by without a run: a run took too long, the task was suspended, or "
                 "the clock was set",
                 slot->missed, text);
        ledger_slots_missed(s->o.ledger, slot->missed);
    }
    if (maker_run(s->maker, &what, &done) && done.collections > 0 && !atomic_load(s->o.stop))
        report(&done);
}

static void rest(struct schedule *s)
{
    time_t now = time(NULL), next = slots_of(&s->slots, now) + (time_t)s->slots.interval;
    int64_t left = (int64_t)(next - now) * 1000;
    struct timespec end = clock_spec(clock_ms() + (left < LOOK_MS ? left : LOOK_MS));
    (void)pthread_mutex_lock(&s->mutex);
    for (int rc = 0; rc == 0 && !atomic_load(s->o.stop);)
        rc = pthread_cond_timedwait(&s->wake, &s->mutex, &end);
    (void)pthread_mutex_unlock(&s->mutex);
}

static void *loop(void *arg)
{
    struct schedule *s = arg;
    bool only_look = s->o.options->interval == 0;
    for (struct slot slot; !atomic_load(s->o.stop); rest(s)) {
        if (s->o.hold && atomic_load(s->o.hold))
            continue;
        if (!slots_due(&s->slots, time(NULL), &slot))
            continue;
        ledger_next_run(s->o.ledger, only_look ? 0 : slot.end);
        if (only_look)
            (void)maker_look(s->maker, slot.end);
        else
            run(s, &slot);
    }
    return NULL;
}

struct schedule *schedule_start(const struct maker_options *o)
{
    struct schedule *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->o = *o;
    s->slots.interval = o->options->interval ? o->options->interval : LOOK_ONLY_SECONDS;
    s->slots.offset = o->options->offset;
    s->maker = maker_new(o);
    if (s->maker && pthread_mutex_init(&s->mutex, NULL) == 0 && clock_cond_init(&s->wake) &&
        pthread_create(&s->thread, NULL, loop, s) == 0)
        return s;
    if (!s->maker || maker_stop(s->maker, clock_ms() + 1000))
        maker_free(s->maker);
    free(s);
    return NULL;
}

bool schedule_stop(struct schedule *s, int64_t end)
{
    (void)pthread_mutex_lock(&s->mutex);
    (void)pthread_cond_broadcast(&s->wake);
    (void)pthread_mutex_unlock(&s->mutex);
    maker_wake(s->maker);
    bool ended = clock_join(s->thread, end);
    return maker_stop(s->maker, end) && ended;
}

void schedule_free(struct schedule *s)
{
    if (!s)
        return;
    maker_free(s->maker);
    (void)pthread_cond_destroy(&s->wake);
    (void)pthread_mutex_destroy(&s->mutex);
    free(s);
}
