/* The collections that the maker knows, from run to run: when the newest snapshot of each was taken, how
 * large it was, and how far it is in this run. Not thread-safe: the maker's mutex guards it. */
#ifndef REPLICATOR_ROSTER_H
#define REPLICATOR_ROSTER_H
#include "qdrant/client.h"

enum item_state {
    ITEM_OUT,     /* of this run: not wanted, served already, or dealt with */
    ITEM_PENDING, /* to be made, at `due` */
    ITEM_MAKING,  /* with Qdrant; may outlast its run */
};
struct item {
    char *name; /* NULL: the whole storage */
    enum item_state state;
    bool listed;         /* its snapshots were looked at once */
    bool gone;           /* Qdrant has it no more, but is making one: freed after that */
    time_t newest;       /* when the newest known snapshot was taken, 0: none */
    uint64_t size;       /* of that one, 0: unknown */
    unsigned tries, run; /* the run that it is made for */
    int64_t due;         /* monotonic milliseconds */
};
struct roster {
    struct item **v; /* sorted by name */
    size_t n;
    struct item storage; /* the whole */
};
/* Merge with what Qdrant has now; what it has no more is forgotten. Takes strings out of `names`. False
 * without memory: nothing has changed. */
bool roster_take(struct roster *r, struct qdrant_names *names);
void roster_free(struct roster *r);
/* Of those that are due the one with the fewest tries, then the one whose newest is oldest. NULL: none; then
 * *wait is when the next one is due, -1: never. */
struct item *roster_next(struct roster *r, int64_t now, int64_t *wait);
struct roster_left {
    unsigned pending, tried, making;
};
struct roster_left roster_left(const struct roster *r);
/* The sizes of the last ones of all that are being made, added up. */
uint64_t roster_making_size(const struct roster *r);
/* A snapshot was made: remember it. */
void roster_made(struct item *it, const struct qdrant_snapshot *s);
/* When a snapshot was taken: what its own name says, else Qdrant, which on some file systems cannot tell. 0:
 * unknown. */
time_t roster_taken(const struct item *it, const struct qdrant_snapshot *s);
/* It is not being made any more; frees one that is gone. */
void roster_settle(struct item *it, enum item_state state);
#endif
