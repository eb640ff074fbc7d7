/* The second target: each published snapshot also goes to an S3 bucket, at the seed's key, as the bytes that
 * Qdrant made. One thread with a queue of its own, so that a failing S3 delays nothing else. A receipt beside
 * the backup on EFS
 * ({data}.s3) says that it is there; what has none is queued again at start and hourly: an upload survives a
 * crash, and goes on where it was. Retention there is the bucket's lifecycle rules'. */
#ifndef REPLICATOR_PUBLISH_S3_UPLOAD_H
#define REPLICATOR_PUBLISH_S3_UPLOAD_H
#include "replicator/core/context.h"

struct manifest;
struct s3_upload;
struct stamp;
/* NULL when it cannot be: then the log and the status say why, and no copies are made. */
struct s3_upload *s3_upload_start(struct context *x);
/* `o` may be NULL in all of these: there is no second target. */
/* A backup was published just now. `local`: the snapshot's path below SNAPSHOTS_DIR, read from there as long
 * as it is the one of `stamp`, else from EFS. With SIGNING_KEY_FILE its object is signed. */
void s3_upload_add(struct s3_upload *o, const struct manifest *m, const char *local,
                   const struct stamp *stamp);
/* Queue what a folder on EFS has without a receipt. Its object is signed where the manifest is. Touches EFS:
 * for workers. */
void s3_upload_look(struct s3_upload *o, const char *folder);
/* For --once: was each that waits tried? *left: how many are not in the bucket. */
bool s3_upload_tried(struct s3_upload *o, size_t *left);
bool s3_upload_stop(struct s3_upload *o,
                    int64_t end); /* after context->stop; until the monotonic millisecond `end` */
void s3_upload_free(struct s3_upload *o);
#endif
