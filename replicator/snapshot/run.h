/* Runs: has Qdrant make a snapshot of each collection that is wanted, a bounded number at once, the one whose
 * newest is oldest first. What fails is tried again, at growing intervals, until the run's time is over, and
 * stops none of the others. A snapshot that outlasts its run does not keep the next one from beginning, as
 * long as another thread is free. Does not touch EFS. */
#ifndef REPLICATOR_SNAPSHOT_RUN_H
#define REPLICATOR_SNAPSHOT_RUN_H
#include "qdrant/client.h"
#include "replicator/core/disk.h"
#include "replicator/status/state.h"
#include "replicator/core/options.h"
#include "replicator/core/snapshot_fingerprints.h"
#include "replicator/core/last_aliases.h"

struct runner;
struct runner_options {
    const struct options *options;
    struct disk *disk; /* which must keep MIN_FREE */
    struct qdrant *qdrant;
    struct status *status;
    const atomic_bool *stop;
    const atomic_bool *restore_pending; /* set: the schedule makes none; may be NULL */
    const atomic_bool *known;           /* set: the status knows what is on EFS; NULL: it never will */
    struct snapshot_fingerprints *fingerprints; /* NULL: no fingerprints are taken */
    struct last_aliases *last_aliases;          /* NULL: nobody asks for them */
    const char *snapshots_dir;
    bool files_here;           /* Qdrant's snapshots must be in snapshots_dir: it is this node's */
    const atomic_bool *ending; /* set: a stop has begun, and no run but its last one goes on; may be NULL */
    bool marks;                /* know of each snapshot how far its collection was written to, for a stop */
};
/* Starts SNAPSHOT_PARALLEL threads. NULL without memory or threads. */
struct runner *runner_new(const struct runner_options *o);
/* *stop was set: end what waits. */
void runner_wake(struct runner *m);
/* After *stop was set, or when no run is going. False: a thread still runs at the monotonic millisecond
 * `end`. */
bool runner_stop(struct runner *m, int64_t end);
void runner_free(struct runner *m); /* only after runner_stop was true */

struct runner_progress { /* for a person who watches */
    void (*made)(const char *collection, const struct qdrant_snapshot *snapshot, double seconds, void *arg);
    void (*failed)(const char *collection, const char *why, void *arg); /* or was not even begun */
    void (*gone)(const char *collection, void *arg);      /* deleted before it was made; NULL: as `failed` */
    void (*elsewhere)(const char *collection, void *arg); /* no shard of it is on this node; may be NULL */
    void *arg;
};
/* The last run, at a stop: of the collections that were written to since their last snapshots, as many as
 * there is time for. */
struct runner_last {
    int64_t end_ms; /* monotonic */
    void (*left)(const char *collection, const char *why, void *arg);
    /* Of each collection, when its newest snapshot was taken; 0: it has none. */
    void (*newest)(const char *collection, time_t taken, void *arg);
    void *arg;
    unsigned made, unchanged; /* out, as the next ones: */
    bool short_of_time;       /* some were left since the time was over */
    bool written;             /* to some, since the snapshot that the stop had made */
    bool cut;                 /* Qdrant went before the end, or refused us: the last look is missing */
    bool recovery;            /* Qdrant is in recovery mode, and has not loaded its collections */
};
struct runner_run {
    time_t slot; /* for the log and the report */
    time_t end;  /* wall clock: no snapshot is begun after it; 0: no end, and no second try */
    bool (*served)(time_t taken,
                   void *); /* does a snapshot taken then count for this slot? NULL: none does */
    void *arg;
    bool look_back; /* ask Qdrant what it has: an earlier process may have served this slot */
    const struct qdrant_names *only; /* these instead of COLLECTIONS' patterns; NULL */
    const struct runner_progress *progress;
    struct runner_last *last; /* NULL: an ordinary one */
};
/* Blocks until the run is over. `out` is also given to the status. False when Qdrant never got as far as
 * telling its collections, with the reason logged. */
bool runner_run(struct runner *m, const struct runner_run *run, struct status_run *out);
/* Only list the collections, for the status: where somebody else has the snapshots made. Tries until the wall
 * clock says `until`. */
bool runner_look(struct runner *m, time_t until);
#endif
