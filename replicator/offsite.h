/* The second target: each published snapshot also goes to an S3 bucket, at the seed's key, as the bytes that
 * Qdrant made. One thread with a queue of its own, so that a failing S3 delays nothing else. A receipt beside
 * the backup on EFS
 * ({data}.s3) says that it is there; what has none is queued again at start and hourly: an upload survives a
 * crash, and goes on where it was. Retention there is the bucket's lifecycle rules'. */
#ifndef REPLICATOR_OFFSITE_H
#define REPLICATOR_OFFSITE_H
#include "replicator/context.h"

struct offsite;
/* NULL when it cannot be: then the log and the ledger say why, and no copies are made. */
struct offsite *offsite_start(struct context *x);
/* `o` may be NULL in all of these: there is no second target. */
/* A backup was published. `local`: the snapshot's path below SNAPSHOTS_DIR, read from there as long as it is
 * the one of `stamp`; NULL: from EFS. */
void offsite_add(struct offsite *o, const struct manifest *m, const char *local, const struct stamp *stamp);
/* Queue what a folder on EFS has without a receipt. Touches EFS: for workers. */
void offsite_look(struct offsite *o, const char *folder);
bool offsite_stop(struct offsite *o,
                  int64_t end); /* after context->stop; until the monotonic millisecond `end` */
void offsite_free(struct offsite *o);
#endif
