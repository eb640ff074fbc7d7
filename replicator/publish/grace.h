/* A stop's budget, and what the entrypoint is told in it. With the task its disk goes: so Qdrant is held back
 * for a part of the budget while it snapshots what was written since its last snapshots (stop_snapshots.h),
 * and what is left is for the snapshots that are finished and not on EFS yet. The entrypoint gives more than
 * two seconds to a replicator that says it needs them. */
#ifndef REPLICATOR_PUBLISH_GRACE_H
#define REPLICATOR_PUBLISH_GRACE_H
#include <stdint.h>

/* The number of the descriptor to say so on, and how many milliseconds Qdrant is held back at most; the
 * entrypoint sets both. */
#define GRACE_WORD "QDRANT_STOP_WORD"
#define GRACE_HOLD "QDRANT_STOP_HOLD"
enum { GRACE_OWN_MS = 2000 }; /* of the budget: to stop copies that hang, and to say what was left behind */

enum grace_word {
    GRACE_SNAPSHOTS,   /* there are some to be made: hold Qdrant back */
    GRACE_SNAPSHOTTED, /* they are made, or there is nothing to be made: let it go */
    GRACE_PUBLISHES,   /* there is something to publish */
};
/* The descriptor, which no child of ours inherits; -1: there is no entrypoint. */
int grace_word(void);
/* `fd` -1: nobody is there to be told. */
void grace_say(int fd, enum grace_word what);
/* Milliseconds from the signal for publishing, of a budget of so many seconds; 0: none. */
int64_t grace_for_publishing(unsigned seconds);
/* Milliseconds from the signal for making snapshots; 0: Qdrant has been told to stop already. */
int64_t grace_hold(void);
#endif
