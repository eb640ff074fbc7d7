/* The thread that has the snapshots made: sleeps by the monotonic clock, looks at the wall clock every two
 * seconds, and serves each slot once, also across steps of the clock, suspends and restarts. Does not touch
 * EFS. */
#ifndef REPLICATOR_SCHEDULE_H
#define REPLICATOR_SCHEDULE_H
#include "replicator/maker.h"

struct schedule;
/* With SNAPSHOT_INTERVAL=0 it only asks every 15 minutes which collections there are. NULL with errno. */
struct schedule *schedule_start(const struct maker_options *o);
/* After *stop of the options was set. Waits until the monotonic millisecond `end`. False: it hangs. */
bool schedule_stop(struct schedule *s, int64_t end);
void schedule_free(struct schedule *s); /* only after schedule_stop was true */
#endif
