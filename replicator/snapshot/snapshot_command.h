/* `qdrant-replicator snapshot`: one run by hand, for a person at a terminal. Makes the snapshots through
 * Qdrant; the replicator that runs anyway publishes them. */
#ifndef REPLICATOR_SNAPSHOT_SNAPSHOT_COMMAND_H
#define REPLICATOR_SNAPSHOT_SNAPSHOT_COMMAND_H
#include "replicator/core/context.h"
#include <signal.h>
struct snapshot_command {
    char **collections; /* none: those that COLLECTIONS means */
    size_t n;
    bool no_wait;     /* not until they are on EFS */
    bool pin;         /* them, once they are there */
    const char *note; /* of each of them; NULL: none */
};
/* Returns the exit code: 0 when all were made, and are on EFS. */
int snapshot_command_run(struct context *x, const struct snapshot_command *what, const sigset_t *stops);
#endif
