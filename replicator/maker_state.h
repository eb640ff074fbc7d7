/* What the maker's two halves share: maker.c plans and ends a run, maker_one.c has one snapshot made at a
 * time, on the threads. For these two alone. */
#ifndef REPLICATOR_MAKER_STATE_H
#define REPLICATOR_MAKER_STATE_H
#include "replicator/maker.h"
#include "replicator/roster.h"

/* Milliseconds. STATE: how old what /metrics told may be; LATER: when it did not answer. */
enum { MAKER_STATE_MS = 5000, MAKER_STATE_LATER = 60000, MAKER_THREADS_MAX = 16 };

struct maker {
    struct maker_options o;
    pthread_t threads[MAKER_THREADS_MAX];
    unsigned n_threads;
    bool recovery_said, waited; /* of the thread that runs */
    pthread_mutex_t mutex;      /* for all below */
    pthread_cond_t work, done;
    bool quit;
    struct roster roster;
    const struct maker_run *run; /* NULL between runs */
    unsigned run_number;
    int64_t end_ms; /* the run's end, monotonic */
    struct ledger_run report;
    struct qdrant_state state;
    int64_t state_due; /* when to ask again */
    int64_t pause;     /* nobody asks Qdrant before, since it refused us or was not there */
    unsigned pauses;
    int refused_said; /* the code, 0: none */
};

/* How long to wait after so many tries, in milliseconds. */
int64_t maker_backoff(unsigned tries);
const char *maker_shown(const struct item *it, char out[300]);
/* The threads' function: takes the next item that is due, until `quit`. */
void *maker_work(void *maker);
#endif
