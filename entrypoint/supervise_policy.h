/* What the supervisor decides, as pure functions over plain data: how long the replicator waits before it
 * starts again, what a stop does and when, whether Qdrant gets its recovery run. Nothing here makes a system
 * call, reads a clock or rolls a die: the caller brings the time (milliseconds of one steady clock) and the
 * random number, so that tables in tests/unit/entrypoint/test_supervise_policy.c can drive it through every
 * case. */
#ifndef ENTRYPOINT_SUPERVISE_POLICY_H
#define ENTRYPOINT_SUPERVISE_POLICY_H
#include <stdbool.h>
#include <stdint.h>

enum {
    EXIT_SETTING = 64,  /* the replicator's "a setting is wrong": starting it again cannot help (EX_USAGE) */
    EXIT_SIGNAL = 128,  /* plus the signal's number, as a shell reports it */
    EXIT_STOPPED = 143, /* 128 + SIGTERM: a stop, before Qdrant ever ran */
    EXIT_OOM = 137,     /* 128 + SIGKILL: what the kernel's out-of-memory killer leaves */
    STABLE_MS = 300 * 1000, /* a replicator that ran this long was well: its next wait is a first one again */
    SECOND_TERM_MS =
        5 * 1000, /* so long before the end of a budget of twice that or more Qdrant is told again */
    REPLICATOR_GRACE_MS = 2 * 1000, /* what a process gets to end in once nothing is worth more waiting */
    KILLING_MS =
        250, /* so long before the end of the budget what has to be killed is: it takes a moment to go */
    HOLD_ANSWER_MS = 2 * 1000, /* a replicator that has not said by then that it has snapshots made, hangs */
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
    STOP_NONE,  /* all is well */
    STOP_HELD,  /* the replicator was asked; Qdrant is told at `at`, for it makes snapshots until then */
    STOP_ASKED, /* both were asked to end; `at` is when Qdrant is told again */
    STOP_SECOND_TERM,      /* `at` is the end of the budget */
    STOP_REPLICATOR_GRACE, /* Qdrant is gone; `at` is the end of what the replicator gets */
    STOP_KILLED,           /* the budget is used up, both were killed; `at` is when we leave even so */
    STOP_OVER,
};
/* One stop, from the first signal or from Qdrant's own end to the end. Set `grace_ms` first. */
struct stop {
    int64_t grace_ms, at; /* `at`: when stop_on_time has something to do */
    int64_t hold_ms;      /* Qdrant may be told so much later; 0: it is told at once */
    int64_t hold_end;
    int sig;     /* that asked for the stop */
    int64_t end; /* of the budget, once it has begun */
    enum stop_phase phase;
    bool publishing; /* the replicator said so: snapshots that are finished are on their way to EFS */
    bool owed;       /* the replicator was asked for the last snapshots, and has not said that it is done */
};
/* What the caller has to do now: any of these at once. */
enum stop_todo {
    TODO_PASS_ON = 1, /* send the signal on to Qdrant */
    TODO_TERM_REPLICATOR = 2,
    TODO_KILL_QDRANT = 4,
    TODO_KILL_REPLICATOR = 8,
    /* End with Qdrant's exit code, whoever is still there. As PID 1 the kernel ends the others with us, and
     * keeps us until the last of them is gone: nobody can do more about a process that hangs in it. */
    TODO_SECOND_TERM = 32, /* send Qdrant a TERM, whatever signal it was that asked for the stop */
    TODO_LEAVE = 16,
};
/* SNAPSHOT_ON_STOP: how much of a stop's budget may go by before Qdrant is told to stop, so that it snapshots
 * what was written since its last snapshots. Its own clean stop comes first: it keeps 31 seconds,
 * since 1.18.2 takes up to 30.4 with a request in flight, and of a shorter budget three fifths. Of less than
 * ten seconds nothing is left. */
int64_t stop_hold(int64_t grace_ms);
/* TERM, INT and QUIT: Fargate sends the image's STOPSIGNAL, which may be any of them. */
bool stop_signal(int sig);
/* A signal came. The first stop signal starts the budget. One that comes while Qdrant is held back has it
 * told at once: somebody is in a hurry. After that nothing is passed on any more: a further stop signal must
 * neither shorten Qdrant's flush nor extend the budget. HUP, USR1 and USR2 never are: Qdrant has no handler
 * for them (1.18.2, src/main.rs, src/tonic/mod.rs; USR1 in debug builds alone), so that they would end it
 * without a flush. */
unsigned stop_on_signal(struct stop *s, int sig, int64_t now);
/* While Qdrant is held back: the replicator says that there are snapshots to be made (`over` false), so that
 * it is held back until stop.hold_end; or that they are made, or that there is nothing to be made. Then it
 * has said itself what was not made; one that goes before leaves that to us (stop.owed). */
unsigned stop_on_snapshots(struct stop *s, bool over);
/* The replicator says that it has snapshots to publish. When Qdrant's disk goes with the task, they are lost
 * unless it may: it gets all that is left of the budget. One that says nothing gets REPLICATOR_GRACE_MS, for
 * it hangs or has nothing to do. */
void stop_on_publishing(struct stop *s);
/* Qdrant ended, and gets no recovery run. By itself: the replicator's budget begins now. */
unsigned stop_on_qdrant_end(struct stop *s, bool replicator_runs, int64_t now);
unsigned stop_on_replicator_end(struct stop *s);
/* The clock says `now`. Harmless at any time; acts once `at` is reached. Before it kills, it has Qdrant told
 * once more, by TERM: Qdrant 1.18 misses one that comes between the starts of its REST and gRPC servers, and
 * its gRPC server takes no notice of QUIT. One that is flushing takes none of a second TERM. */
unsigned stop_on_time(struct stop *s, int64_t now);

/* Before Qdrant runs: may it, or has its empty disk to be restored first (RESTORE_ON_EMPTY)? A node that is
 * to come back serves nobody before it is whole; one that has data is never held up, by EFS least of all. */
enum gate {
    GATE_OPEN,
    GATE_CLOSED,     /* the replicator restores, and says when Qdrant may start */
    GATE_NO_EFS,     /* refused: a restore is asked for, of nothing */
    GATE_NO_CLUSTER, /* refused: an empty node of a cluster gets its data from its peers */
};
struct gate_facts {
    bool restore;   /* RESTORE_ON_EMPTY is set, and not never */
    bool efs;       /* EFS_ROOT is set */
    bool clustered; /* Qdrant is to be part of a cluster */
    bool empty;     /* its storage has no collections, or a restore of it is under way */
};
enum gate gate_decide(const struct gate_facts *f);

/* A node whose place in a cluster was found, and whose Qdrant panics (101) in its first minute, did not come
 * to take it: the peer went meanwhile, or has no leader any more, or has the address in use. Its place is
 * looked for again, some times: whoever ends for another reason is not to run in circles here. */
enum { EXIT_PANIC = 101, PLACE_TAKEN_MS = 60 * 1000, PLACE_TRIES = 5 };
bool place_wanted_again(bool stop_asked, int exit_code, int64_t ran_ms, unsigned tries);

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
