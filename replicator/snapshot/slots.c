#include "replicator/snapshot/slots.h"

enum { SMALL_STEP = 2 /* slots */, KEEP_OFF = 3, SLOW = 60 /* seconds */ };

time_t slots_of(const struct slots *s, time_t when)
{
    time_t interval = (time_t)s->interval, into = (when - (time_t)s->offset) % interval;
    return when - (into < 0 ? into + interval : into);
}

static bool was_served(const struct slots *s, time_t slot)
{
    for (unsigned i = 0; i < s->n && i < SLOTS_REMEMBERED; i++)
        if (s->served[i] == slot)
            return true;
    return false;
}

static void forget_after(struct slots *s, time_t slot)
{
    for (unsigned i = 0; i < s->n && i < SLOTS_REMEMBERED; i++)
        if (s->served[i] > slot)
            s->served[i] = 0;
}

static unsigned unserved_between(const struct slots *s, time_t after, time_t before)
{
    unsigned n = 0;
    time_t interval = (time_t)s->interval, begin = before - SLOTS_REMEMBERED * interval;
    for (time_t slot = before - interval; slot > after && slot > begin; slot -= interval)
        n += !was_served(s, slot);
    return begin > after ? n + (unsigned)((begin - after) / interval)
                         : n; /* no longer remembered: unserved */
}

bool slots_due(struct slots *s, time_t now, struct slot *out)
{
    time_t interval = (time_t)s->interval, begin = slots_of(s, now);
    if (begin + SMALL_STEP * interval < s->last)
        forget_after(s, begin);
    *out =
        (struct slot){.begin = begin, .end = begin + interval, .in_doubt = begin <= s->last || s->last == 0};
    if (was_served(s, begin))
        return false;
    if (s->last)
        out->missed = unserved_between(s, s->last, begin);
    s->served[s->n++ % SLOTS_REMEMBERED] = begin;
    s->last = begin;
    return true;
}

bool slots_early(const struct slots *s, time_t now)
{
    return s->interval >= SLOW && now - slots_of(s, now) < KEEP_OFF;
}
