/* The collections that the runner knows, from run to run: when the newest snapshot of each was taken, how
 * large it was, and how far it is in this run. Not thread-safe: the runner's mutex guards it. */
#ifndef REPLICATOR_SNAPSHOT_TARGETS_H
#define REPLICATOR_SNAPSHOT_TARGETS_H
#include "qdrant/client.h"

enum target_state {
    TARGET_OUT,     /* of this run: not wanted, served already, or dealt with */
    TARGET_PENDING, /* to be made, at `due` */
    TARGET_MAKING,  /* with Qdrant; may outlast its run */
};
struct target {
    char *name; /* NULL: the whole storage */
    enum target_state state;
    bool listed;         /* its snapshots were looked at once */
    bool elsewhere;      /* no shard of it is on this node: nothing to be made */
    bool gone;           /* Qdrant has it no more, but is making one: freed after that */
    bool held;           /* it was said that no more are made, since EFS takes none */
    time_t newest;       /* when the newest known snapshot was taken, 0: none */
    int64_t size;        /* of that one, -1: unknown */
    int64_t had;         /* what the collection took on the disk when it was made, -1: unknown */
    int64_t has;         /* the same for the one that is to be made */
    uint64_t need;       /* what that one takes of the disk while it is made */
    unsigned tries, run; /* the run that it is made for */
    unsigned waits;      /* how often it waited for room in it */
    int64_t due;         /* monotonic milliseconds */
    /* How far it was written to (qdrant/marks.h): when this run looked, when the snapshot that is being made
     * was begun, and when the last one that was made was. Empty: nobody knows. */
    char mark_now[65], mark_begun[65], mark[65];
    double seconds; /* that the last one took; 0: unknown */
    /* Of a stop's run: in which order, how often it was tried and made, and why it was not. */
    unsigned rank, last_tries, last_made;
    bool busy; /* it waits until a snapshot that somebody else is making is made */
};
struct targets {
    struct target **v; /* sorted by name */
    size_t n;
    struct target storage; /* the whole */
};
/* Merge with what Qdrant has now; what it has no more is forgotten. Takes strings out of `names`. False
 * without memory: nothing has changed. */
bool targets_take(struct targets *r, struct qdrant_names *names);
void targets_free(struct targets *r);
/* Of those that are due the one with the lowest rank, then the fewest tries, then the one whose newest is
 * oldest. NULL: none; then *wait is when the next one is due, -1: never. */
struct target *targets_next(struct targets *r, int64_t now, int64_t *wait);
struct targets_left {
    unsigned pending, making;
};
struct targets_left targets_left(const struct targets *r);
/* What all that are being made take of the disk. */
uint64_t targets_making_need(const struct targets *r);
/* A snapshot was made: remember it. */
void targets_made(struct target *it, const struct qdrant_snapshot *s);
/* When a snapshot was taken: what its own name says, else Qdrant, which on some file systems cannot tell. 0:
 * unknown. */
time_t targets_taken(const struct target *it, const struct qdrant_snapshot *s);
/* It is not being made any more; frees one that is gone. */
void targets_settle(struct target *it, enum target_state state);
#endif
