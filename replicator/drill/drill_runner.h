/* The thread that has restores proven on schedule (DRILL_SCHEDULE), by `qdrant-efs drill` as a child process.
 * Tells the status and the log, and keeps a record on EFS. Never while Qdrant is not ready or has snapshots
 * made; one that was missed is caught up with. */
#ifndef REPLICATOR_DRILL_DRILL_RUNNER_H
#define REPLICATOR_DRILL_DRILL_RUNNER_H
#include "replicator/core/context.h"

struct drill_runner;
/* NULL with errno. With DRILL_SCHEDULE=never there is nothing to start. */
struct drill_runner *drill_runner_start(struct context *x);
/* After the context's stop was set. Waits until the monotonic millisecond `end`. False: it hangs. */
bool drill_runner_stop(struct drill_runner *d, int64_t end);
void drill_runner_free(struct drill_runner *d); /* only after drill_runner_stop was true; NULL is fine */
#endif
