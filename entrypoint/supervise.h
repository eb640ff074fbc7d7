/* The supervisor: two children, one signal descriptor, one timer. It sleeps in poll until something happens,
 * and never makes a system call that a hung mount could hold. What it decides is in policy. */
#ifndef ENTRYPOINT_SUPERVISE_H
#define ENTRYPOINT_SUPERVISE_H
#include "entrypoint/supervise_policy.h"
#include "entrypoint/settings.h"
#include "entrypoint/place.h"
#include <sys/types.h>

struct supervisor {
    struct settings *settings;
    pid_t qdrant, replicator; /* 0: does not run */
    bool recovery_used, leave;
    int exit_code;            /* Qdrant's, once it is gone */
    int64_t replicator_since; /* when it started */
    int64_t replicator_due;   /* when it starts again, 0: no start is due */
    struct backoff backoff;
    struct stop stop;
    int signals, timer;
    bool held;                        /* Qdrant is held back until the replicator has restored its disk ... */
    int gate;                         /* ... and says so here; -1: no replicator that could */
    int qdrant_runs, replicator_runs; /* end once the program runs (spawn.h); -1: that is known */
    /* QDRANT_CLUSTER_DNS: where Qdrant's place is, and who finds it before it starts. */
    bool unplaced; /* nobody has found it yet */
    struct place place;
    pid_t finder;                     /* 0: does not run */
    int finder_word;                  /* its line comes here; -1: it has said it, or does not run */
    int64_t finder_since, finder_due; /* as the replicator's */
    struct backoff finder_backoff;
    int64_t placed_at;    /* when Qdrant was started at it */
    unsigned place_tries; /* how often it did not come to take it */
    int word;             /* here it says at a stop that it has snapshots to publish; -1: it cannot */
};

/* Take over signals and orphans. -1 with errno when the kernel has no descriptor left for us. */
int supervisor_open(struct supervisor *sv, struct settings *settings);
/* Start both. -1 when there is no process left for Qdrant; the replicator is tried again later. */
int supervisor_start(struct supervisor *sv);
/* Until Qdrant has ended and nothing is worth waiting for. Returns the exit code. */
int supervisor_run(struct supervisor *sv);
#endif
