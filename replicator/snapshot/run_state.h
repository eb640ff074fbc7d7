/* What the parts of a run share: run.c plans and ends it, run_last.c that of a stop, run_worker.c has
 * one snapshot made at a time, on the threads. For these alone. */
#ifndef REPLICATOR_SNAPSHOT_RUN_STATE_H
#define REPLICATOR_SNAPSHOT_RUN_STATE_H
#include "replicator/snapshot/run.h"
#include "replicator/snapshot/targets.h"

/* Milliseconds. STATE: how old what /metrics told may be; LATER: when it did not answer. */
enum { RUNNER_STATE_MS = 5000, RUNNER_STATE_LATER = 60000, RUNNER_THREADS_MAX = 16, RUNNER_AWAY_SAID = 5 };

struct runner {
    struct runner_options o;
    pthread_t threads[RUNNER_THREADS_MAX];
    unsigned n_threads;
    bool recovery_said, waited; /* of the thread that runs */
    bool ready_said;            /* likewise: Qdrant answers */
    atomic_uint away_said;      /* snapshots whose files are not here, since one was */
    pthread_mutex_t mutex;      /* for all below */
    pthread_cond_t work, done;
    bool quit;
    bool clustered; /* Qdrant is one of a cluster: which replicas are here, and how they are, matters */
    struct targets targets;
    const struct runner_run *run; /* NULL between runs */
    unsigned run_number;
    int64_t end_ms; /* the run's end, monotonic */
    struct status_run report;
    struct qdrant_state state;
    int64_t state_due; /* when to ask again */
    int64_t pause;     /* nobody asks Qdrant before, since it refused us or was not there */
    unsigned pauses;
    int refused_said; /* the code, 0: none */
    bool cut;         /* in a stop's run Qdrant went, or refused us: it is over */
};

/* Is the run's time over? By both clocks: the wall's may step while we wait, forth or back. */
bool runner_over(const struct runner *m);
/* Is it one of this run's? */
bool runner_wants(const struct runner *m, const struct target *it);
/* Until nothing of this run is left. With the mutex held. */
void runner_wait_locked(struct runner *m);
/* Refused, or not there at all: that would be the answer for each of the others, too. */
bool runner_concerns_all(const struct err *e);
/* What Qdrant has now, once more, in a stop's run: new ones join it, and those that are gone leave it. */
void runner_list_again(struct runner *m);
/* How far each collection is written to now, for its next snapshot. */
void runner_take_marks(struct runner *m);
/* The work of a stop's run. */
void runner_run_last(struct runner *m);
/* How long to wait after so many tries, in milliseconds. */
int64_t runner_backoff(unsigned tries);
const char *runner_shown(const struct target *it, char out[300]);
/* The threads' function: takes the next item that is due, until `quit`. */
void *runner_work(void *runner);
#endif
