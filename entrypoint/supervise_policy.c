#include "entrypoint/supervise_policy.h"
#include <signal.h>

enum { HOLD_LEAST_MS = 10 * 1000, QDRANT_OWN_MS = 31 * 1000 };
enum { FIRST_WAIT_MS = 1000, LONGEST_WAIT_MS = 48 * 1000 /* and a quarter of it as jitter is 60 s */ };

int64_t backoff_wait(struct backoff *b, int64_t ran_ms, uint32_t chance)
{
    int64_t wait = FIRST_WAIT_MS;
    if (ran_ms >= STABLE_MS)
        b->failures = 0;
    for (unsigned i = 0; i < b->failures && wait < LONGEST_WAIT_MS; i++)
        wait *= 2;
    if (wait >= LONGEST_WAIT_MS)
        wait = LONGEST_WAIT_MS; /* and `failures` stays: a count that grew for years would wrap around */
    else
        b->failures++;
    return wait + chance % (wait / 4 + 1);
}

bool stop_signal(int sig) { return sig == SIGTERM || sig == SIGINT || sig == SIGQUIT; }

int64_t stop_hold(int64_t grace_ms)
{
    int64_t own = grace_ms * 3 / 5;
    if (grace_ms < HOLD_LEAST_MS)
        return 0;
    return grace_ms - (own < QDRANT_OWN_MS ? own : QDRANT_OWN_MS);
}

static unsigned tell_qdrant(struct stop *s)
{
    s->phase = s->grace_ms >= 2 * SECOND_TERM_MS ? STOP_ASKED : STOP_SECOND_TERM;
    s->at = s->end - (s->phase == STOP_ASKED ? SECOND_TERM_MS : 0);
    return TODO_PASS_ON;
}

unsigned stop_on_signal(struct stop *s, int sig, int64_t now)
{
    if (!stop_signal(sig))
        return 0;
    if (s->phase == STOP_HELD)
        return tell_qdrant(s);
    if (s->phase != STOP_NONE)
        return 0;
    s->sig = sig;
    s->end = now + s->grace_ms;
    if (s->hold_ms <= 0)
        return tell_qdrant(s) | TODO_TERM_REPLICATOR;
    s->owed = true;
    s->phase = STOP_HELD;
    s->hold_end = now + s->hold_ms;
    s->at = s->hold_ms < HOLD_ANSWER_MS ? s->hold_end : now + HOLD_ANSWER_MS;
    return TODO_TERM_REPLICATOR;
}

unsigned stop_on_snapshots(struct stop *s, bool over)
{
    s->owed = s->owed && !over;
    if (s->phase != STOP_HELD)
        return 0;
    s->publishing =
        !over; /* should Qdrant go by itself now: what is made already is worth the rest of the budget */
    if (over)
        return tell_qdrant(s);
    s->at = s->hold_end;
    return 0;
}

unsigned stop_on_qdrant_end(struct stop *s, bool replicator_runs, int64_t now)
{
    bool told = s->phase == STOP_HELD || s->phase == STOP_ASKED || s->phase == STOP_SECOND_TERM;
    if (!replicator_runs || s->phase == STOP_KILLED) {
        s->phase = STOP_OVER;
        return TODO_LEAVE;
    }
    if (!told)
        s->end = now + (s->grace_ms > REPLICATOR_GRACE_MS ? s->grace_ms : REPLICATOR_GRACE_MS);
    int64_t last = s->end - KILLING_MS;
    s->at = s->publishing || last < now + REPLICATOR_GRACE_MS ? last : now + REPLICATOR_GRACE_MS;
    s->phase = STOP_REPLICATOR_GRACE;
    return told ? 0 : TODO_TERM_REPLICATOR;
}

void stop_on_publishing(struct stop *s)
{
    if (s->phase == STOP_NONE)
        return;
    s->publishing = true;
    if (s->phase == STOP_REPLICATOR_GRACE)
        s->at = s->end - KILLING_MS;
}

unsigned stop_on_replicator_end(struct stop *s)
{
    if (s->phase == STOP_HELD)
        return tell_qdrant(s);
    if (s->phase != STOP_REPLICATOR_GRACE)
        return 0;
    s->phase = STOP_OVER;
    return TODO_LEAVE;
}

unsigned stop_on_time(struct stop *s, int64_t now)
{
    if (s->phase == STOP_NONE || s->phase == STOP_OVER || now < s->at)
        return 0;
    if (s->phase == STOP_HELD)
        return tell_qdrant(s);
    if (s->phase == STOP_ASKED) {
        s->phase = STOP_SECOND_TERM;
        s->at += SECOND_TERM_MS;
        return TODO_SECOND_TERM;
    }
    if (s->phase == STOP_SECOND_TERM) {
        s->phase = STOP_KILLED;
        s->at = now + REPLICATOR_GRACE_MS;
        return TODO_KILL_QDRANT | TODO_KILL_REPLICATOR;
    }
    unsigned todo = s->phase == STOP_REPLICATOR_GRACE ? TODO_KILL_REPLICATOR | TODO_LEAVE : TODO_LEAVE;
    s->phase = STOP_OVER;
    return todo;
}

enum gate gate_decide(const struct gate_facts *f)
{
    if (!f->restore || !f->empty)
        return GATE_OPEN;
    if (!f->efs)
        return GATE_NO_EFS;
    return f->clustered ? GATE_NO_CLUSTER : GATE_CLOSED;
}

bool place_wanted_again(bool stop_asked, int exit_code, int64_t ran_ms, unsigned tries)
{
    return !stop_asked && exit_code == EXIT_PANIC && ran_ms < PLACE_TAKEN_MS && tries < PLACE_TRIES;
}

bool recovery_wanted(const struct recovery *r, int exit_code)
{
    return r->allowed && !r->used && !r->stop_asked && exit_code == EXIT_OOM;
}
