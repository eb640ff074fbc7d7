/* The thread that has the snapshots made: sleeps by the monotonic clock, looks at the wall clock every two
 * seconds, and serves each slot once, also across steps of the clock, suspends and restarts. Does not touch
 * EFS. */
#ifndef REPLICATOR_SNAPSHOT_SCHEDULE_H
#define REPLICATOR_SNAPSHOT_SCHEDULE_H
#include "replicator/snapshot/run.h"

struct schedule;
/* With SNAPSHOT_INTERVAL=0 it only asks every 15 minutes which collections there are. NULL with errno. */
struct schedule *schedule_start(const struct runner_options *o);
/* A stop, after *ending of the options was set: the run that goes on ends, and the last one begins. Blocks
 * until it is over, or `last->end_ms`. False: it was not over then, and `last` may still be written to.
 * *told: Qdrant told its collections. */
bool schedule_last(struct schedule *s, struct runner_last *last, bool *told);
/* After *stop of the options was set. Waits until the monotonic millisecond `end`. False: it hangs. */
bool schedule_stop(struct schedule *s, int64_t end);
void schedule_free(struct schedule *s); /* only after schedule_stop was true */
#endif
