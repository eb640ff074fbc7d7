/* `qdrant-replicator snapshot`: one run by hand, for a person at a terminal. Makes the snapshots through
 * Qdrant; the replicator that runs anyway publishes them. */
#ifndef REPLICATOR_BY_HAND_H
#define REPLICATOR_BY_HAND_H
#include "replicator/context.h"
#include <signal.h>
struct by_hand {
    char **collections; /* none: those that COLLECTIONS means */
    size_t n;
    bool no_wait; /* not until they are on EFS */
};
/* Returns the exit code: 0 when all were made, and are on EFS. */
int by_hand_run(struct context *x, const struct by_hand *what, const sigset_t *stops);
#endif
