/* When a task comes up with an empty disk, everything comes back from EFS before Qdrant is let in
 * (RESTORE_ON_EMPTY). qdrant-entrypoint has looked at Qdrant's storage and holds Qdrant back (the gate); a
 * thread of ours restores into a staging folder beside the storage (stage.h), by a Qdrant that nobody
 * else can reach (batch.h), moves what is whole to its place, and opens the gate. So no client can write
 * to, or read from, a node that is not whole, and nothing that has points is ever replaced.
 *
 * The thread may hang with EFS: nothing waits for it but the gate, the schedule and retention, by
 * context->restore_pending. It tells the log and the status. */
#ifndef REPLICATOR_RESTORE_RESTORE_ON_EMPTY_H
#define REPLICATOR_RESTORE_RESTORE_ON_EMPTY_H
#include "replicator/core/context.h"

/* What the entrypoint said in the environment; *fd is the descriptor of a closed gate. */
#define RESTORE_GATE "QDRANT_RESTORE_GATE" /* "open", or the number of a descriptor */
enum qdrant_gate qdrant_gate_read(int *fd);

struct restore_on_empty;
/* Is a restore wanted, so that nothing is snapshotted or pruned until it is over? With `once` (no thread will
 * be started): is one unfinished? */
bool restore_on_empty_pending(const struct context *x, bool once);
/* The status knows of it when this returns. NULL with errno. */
struct restore_on_empty *restore_on_empty_start(struct context *x);
/* After the context's stop was set. Waits until the monotonic millisecond `end`. False: it hangs. */
bool restore_on_empty_stop(struct restore_on_empty *b, int64_t end);
void restore_on_empty_free(
    struct restore_on_empty *b); /* only after restore_on_empty_stop was true; NULL is fine */
#endif
