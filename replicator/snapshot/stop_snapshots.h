/* At a stop, while the entrypoint holds Qdrant back: has what was written since the last snapshots
 * snapshotted, as far as there is time (SNAPSHOT_ON_STOP), and says what was and what was not: in the log,
 * and on EFS in a record beside the heartbeat, {base}/stops/{node}/{time}.json (efs/repo/history.h), since
 * the log goes its own way and the disk goes with the task. The record is there before the copies are, so
 * that a stop that is cut short leaves one, and is written anew when they are over, with what is not on EFS
 * then. */
#ifndef REPLICATOR_SNAPSHOT_STOP_SNAPSHOTS_H
#define REPLICATOR_SNAPSHOT_STOP_SNAPSHOTS_H
#include "replicator/core/context.h"
#include "replicator/snapshot/schedule.h"

struct stop_snapshots;
/* Blocks for `hold_ms` at most; 0: there is no time, which is said. NULL without memory. */
struct stop_snapshots *stop_snapshots_make(struct context *x, struct schedule *s, int64_t begun,
                                           int64_t hold_ms);
/* The copies are over: says what is not on EFS, in the log and in the record. `conflict`: one of them found
 * another one of its name there, which the status takes for it. Does not wait. */
void stop_snapshots_published(struct stop_snapshots *s, bool conflict);
/* Waits for the record until the monotonic millisecond `end`. False: EFS hangs, and the process may only
 * _exit. `clean`: the schedule has ended, so that nobody has it any more. */
bool stop_snapshots_end(struct stop_snapshots *s, int64_t end, bool clean);
#endif
