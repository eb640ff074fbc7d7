/* When a task comes up with an empty disk, everything comes back from EFS before the node counts as healthy
 * (RESTORE_ON_EMPTY). A thread of its own, which may hang with EFS: nothing waits for it but the schedule and
 * retention, by context->hold. A node that has a collection is never touched, unless the marker on its disk
 * (boot_marker.h) says that we were in the middle. Tells the log and the ledger. */
#ifndef REPLICATOR_BOOT_H
#define REPLICATOR_BOOT_H
#include "replicator/context.h"

struct boot;
/* Is a restore wanted, so that nothing is snapshotted or pruned until it is over? With `once` (no thread will
 * be started): is one unfinished? */
bool boot_pending(const struct context *x, bool once);
/* The ledger knows of it when this returns. NULL with errno. */
struct boot *boot_start(struct context *x);
/* After the context's stop was set. Waits until the monotonic millisecond `end`. False: it hangs. */
bool boot_stop(struct boot *b, int64_t end);
void boot_free(struct boot *b); /* only after boot_stop was true; NULL is fine */
#endif
