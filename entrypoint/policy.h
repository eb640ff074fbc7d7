/* What the supervisor decides, as pure functions over plain data: how long the replicator waits before it
 * starts again, what a stop does and when, whether Qdrant gets its recovery run. Nothing here makes a system
 * call, reads a clock or rolls a die: the caller brings the time (milliseconds of one steady clock) and the
 * random number, so that tables in tests/unit/test_policy.c can drive it through every case. */
#ifndef ENTRYPOINT_POLICY_H
#define ENTRYPOINT_POLICY_H
#include <stdbool.h>
#include <stdint.h>

enum {
    EXIT_SETTING = 64, /* the replicator's "a setting is wrong": starting it again cannot help (EX_USAGE) */
    EXIT_SIGNAL = 128, /* plus the signal's number, as a shell reports it */
    EXIT_OOM = 137,    /* 128 + SIGKILL: what the kernel's out-of-memory killer leaves */
    STABLE_MS = 300 * 1000, /* a replicator that ran this long was well: its next wait is a first one again */
    LAST_CALL_MS =
        5 * 1000, /* so long before the end of a budget of twice that or more Qdrant is told again */
    LAST_WORDS_MS = 2 * 1000, /* what a process gets to end in once nothing is worth more waiting */
};

/* The waits before the replicator's next starts. Zero-initialized: none so far. */
struct backoff {
    unsigned failures;
};
/* Milliseconds to wait after it ran for `ran_ms`: 1 s, 2 s, 4 s … 48 s, each up to a quarter longer as
 * `chance` (any number) has it, so never above 60 s. The jitter keeps the tasks of a service, which all lose
 * EFS at the same moment, from coming back to it at the same moment. */
int64_t backoff_wait(struct backoff *b, int64_t ran_ms, uint32_t chance);

enum stop_phase {
    STOP_NONE,       /* all is well */
    STOP_ASKED,      /* both were asked to end; `at` is when Qdrant is told again */
    STOP_LAST_CALL,  /* `at` is the end of the budget */
    STOP_LAST_WORDS, /* Qdrant is gone; `at` is the end of what the replicator gets */
    STOP_KILLED,     /* the budget is used up, both were killed; `at` is when we leave even so */
    STOP_OVER,
};
/* One stop, from the first signal or from Qdrant's own end to the end. Set `grace_ms` first. */
struct stop {
    int64_t grace_ms, at; /* `at`: when stop_on_time has something to do */
    enum stop_phase phase;
};
/* What the caller has to do now: any of these at once. */
enum stop_todo {
    TODO_PASS_ON = 1, /* send the signal on to Qdrant */
    TODO_TERM_REPLICATOR = 2,
    TODO_KILL_QDRANT = 4,
    TODO_KILL_REPLICATOR = 8,
    /* End with Qdrant's exit code, whoever is still there. As PID 1 the kernel ends the others with us, and
     * keeps us until the last of them is gone: nobody can do more about a process that hangs in it. */
    TODO_LAST_CALL = 32, /* send Qdrant a TERM, whatever signal it was that asked for the stop */
    TODO_LEAVE = 16,
};
/* TERM, INT and QUIT: Fargate sends the image's STOPSIGNAL, which may be any of them. */
bool stop_signal(int sig);
/* A signal came. The first stop signal starts the budget. After it nothing is passed on any more: a second
 * stop signal must neither shorten Qdrant's flush nor extend the budget, and HUP, USR1 and USR2, for which
 * Qdrant 1.18 has no handler, would cut the flush short. */
unsigned stop_on_signal(struct stop *s, int sig, int64_t now);
/* Qdrant ended, and gets no recovery run. */
unsigned stop_on_qdrant_end(struct stop *s, bool replicator_runs, int64_t now);
unsigned stop_on_replicator_end(struct stop *s);
/* The clock says `now`. Harmless at any time; acts once `at` is reached. Before it kills, it has Qdrant told
 * once more, by TERM: Qdrant 1.18 misses one that comes between the starts of its REST and gRPC servers, and
 * its gRPC server takes no notice of QUIT. One that is flushing takes none of a second TERM. */
unsigned stop_on_time(struct stop *s, int64_t now);

/* The official image's recovery mode (its tools/entrypoint.sh): a Qdrant that is killed before it finished
 * its start most likely needs more memory than there is. It is started once more with its collections
 * closed, so that an operator can look instead of watching the task die again and again. */
struct recovery {
    bool allowed; /* QDRANT_ALLOW_RECOVERY_MODE=true */
    bool used;    /* this was the recovery run already */
    bool stop_asked;
};
/* True: unless Qdrant left its mark of a finished start, it is to get its recovery run. */
bool recovery_wanted(const struct recovery *r, int exit_code);
#endif
