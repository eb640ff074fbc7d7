#include "entrypoint/policy.h"
#include <signal.h>

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

unsigned stop_on_signal(struct stop *s, int sig, int64_t now)
{
    if (s->phase != STOP_NONE)
        return 0;
    if (!stop_signal(sig))
        return TODO_PASS_ON;
    s->phase = s->grace_ms >= 2 * LAST_CALL_MS ? STOP_ASKED : STOP_LAST_CALL;
    s->at = now + s->grace_ms - (s->phase == STOP_ASKED ? LAST_CALL_MS : 0);
    return TODO_PASS_ON | TODO_TERM_REPLICATOR;
}

unsigned stop_on_qdrant_end(struct stop *s, bool replicator_runs, int64_t now)
{
    bool told = s->phase == STOP_ASKED || s->phase == STOP_LAST_CALL;
    int64_t left = s->phase == STOP_ASKED ? s->at + LAST_CALL_MS : s->at; /* the end of the budget */
    if (!replicator_runs || s->phase == STOP_KILLED) {
        s->phase = STOP_OVER;
        return TODO_LEAVE;
    }
    s->at = !told || left > now + LAST_WORDS_MS ? now + LAST_WORDS_MS : left;
    s->phase = STOP_LAST_WORDS;
    return told ? 0 : TODO_TERM_REPLICATOR;
}

unsigned stop_on_replicator_end(struct stop *s)
{
    if (s->phase != STOP_LAST_WORDS)
        return 0;
    s->phase = STOP_OVER;
    return TODO_LEAVE;
}

unsigned stop_on_time(struct stop *s, int64_t now)
{
    if (s->phase == STOP_NONE || s->phase == STOP_OVER || now < s->at)
        return 0;
    if (s->phase == STOP_ASKED) {
        s->phase = STOP_LAST_CALL;
        s->at += LAST_CALL_MS;
        return TODO_LAST_CALL;
    }
    if (s->phase == STOP_LAST_CALL) {
        s->phase = STOP_KILLED;
        s->at = now + LAST_WORDS_MS;
        return TODO_KILL_QDRANT | TODO_KILL_REPLICATOR;
    }
    unsigned todo = s->phase == STOP_LAST_WORDS ? TODO_KILL_REPLICATOR | TODO_LEAVE : TODO_LEAVE;
    s->phase = STOP_OVER;
    return todo;
}

bool recovery_wanted(const struct recovery *r, int exit_code)
{
    return r->allowed && !r->used && !r->stop_asked && exit_code == EXIT_OOM;
}
