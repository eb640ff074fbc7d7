/* Runs: has Qdrant make a snapshot of each collection that is wanted, a bounded number at once, the one whose
 * newest is oldest first. What fails is tried again, at growing intervals, until the run's time is over, and
 * stops none of the others. A snapshot that outlasts its run does not keep the next one from beginning, as
 * long as another thread is free. Does not touch EFS. */
#ifndef REPLICATOR_MAKER_H
#define REPLICATOR_MAKER_H
#include "qdrant/client.h"
#include "replicator/ledger.h"
#include "replicator/options.h"
#include "replicator/prints.h"

struct maker;
struct maker_options {
    const struct options *options;
    const char *snapshots_dir; /* whose disk must keep MIN_FREE */
    struct qdrant *qdrant;
    struct ledger *ledger;
    const atomic_bool *stop;
    const atomic_bool *hold;  /* set: the schedule makes none; may be NULL */
    const atomic_bool *known; /* set: the ledger knows what is on EFS; NULL: it never will */
    struct prints *prints;    /* NULL: no fingerprints are taken */
};
/* Starts SNAPSHOT_PARALLEL threads. NULL without memory or threads. */
struct maker *maker_new(const struct maker_options *o);
/* *stop was set: end what waits. */
void maker_wake(struct maker *m);
/* After *stop was set, or when no run is going. False: a thread still runs at the monotonic millisecond
 * `end`. */
bool maker_stop(struct maker *m, int64_t end);
void maker_free(struct maker *m); /* only after maker_stop was true */

struct maker_progress { /* for a person who watches */
    void (*made)(const char *collection, const struct qdrant_snapshot *snapshot, double seconds, void *arg);
    void (*failed)(const char *collection, const char *why, void *arg); /* or was not even begun */
    void *arg;
};
struct maker_run {
    time_t slot; /* for the log and the report */
    time_t end;  /* wall clock: no snapshot is begun after it; 0: no end, and no second try */
    bool (*served)(time_t taken,
                   void *); /* does a snapshot taken then count for this slot? NULL: none does */
    void *arg;
    bool look_back; /* ask Qdrant what it has: an earlier process may have served this slot */
    const struct qdrant_names *only; /* these instead of COLLECTIONS' patterns; NULL */
    const struct maker_progress *progress;
};
/* Blocks until the run is over. `out` is also given to the ledger. False when Qdrant never got as far as
 * telling its collections, with the reason logged. */
bool maker_run(struct maker *m, const struct maker_run *run, struct ledger_run *out);
/* Only list the collections, for the ledger: where somebody else has the snapshots made. Tries until the wall
 * clock says `until`. */
bool maker_look(struct maker *m, time_t until);
#endif
