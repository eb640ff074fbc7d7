/* A stop's budget, and what the entrypoint is told in it. With the task its disk goes: so Qdrant is held back
 * for a part of the budget while it snapshots what was written since its last snapshots (stop_snapshots.h),
 * and what is left is for the snapshots that are finished and not on EFS yet. The entrypoint gives more than
 * two seconds to a replicator that says it needs them. */
#ifndef REPLICATOR_PUBLISH_STOP_BUDGET_H
#define REPLICATOR_PUBLISH_STOP_BUDGET_H
#include <stdint.h>

/* The number of the descriptor to say so on, and how many milliseconds Qdrant is held back at most; the
 * entrypoint sets both. */
#define STOP_BUDGET_WORD "QDRANT_STOP_WORD"
#define STOP_BUDGET_HOLD "QDRANT_STOP_HOLD"
/* Of the budget: to stop copies that hang, and to say what was left behind. */
enum { STOP_BUDGET_OWN_MS = 2000 };

enum stop_budget_word {
    STOP_BUDGET_SNAPSHOTS,   /* there are some to be made: hold Qdrant back */
    STOP_BUDGET_SNAPSHOTTED, /* they are made, or there is nothing to be made: let it go */
    STOP_BUDGET_PUBLISHES,   /* there is something to publish */
};
/* The descriptor, which no child of ours inherits; -1: there is no entrypoint. */
int stop_budget_fd(void);
/* `fd` -1: nobody is there to be told. */
void stop_budget_say(int fd, enum stop_budget_word what);
/* Milliseconds from the signal for publishing, of a budget of so many seconds; 0: none. */
int64_t stop_budget_publishing(unsigned seconds);
/* Milliseconds from the signal for making snapshots; 0: Qdrant has been told to stop already. */
int64_t stop_budget_hold(void);
#endif
