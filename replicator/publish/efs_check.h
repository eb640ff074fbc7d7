/* Whether EFS can be used, from facts, the newest first: what was tried there last and how it went. A look at
 * it, a backup that was written and one that was refused all tell the status. All may hang with EFS. */
#ifndef REPLICATOR_PUBLISH_EFS_CHECK_H
#define REPLICATOR_PUBLISH_EFS_CHECK_H
#include "replicator/core/context.h"

/* Look at it: is it there, and may we write to it? Tells the status, and the log when that is news (or
 * `aloud`). False, with `e`: it cannot be used. */
bool efs_check(struct context *x, bool aloud, struct err *e);
/* Something was written there just now. */
void efs_check_works(struct context *x);
/* Is EFS_ROOT on this task's own disk, and not allowed to be (efs/repo/mount.h)? Tells the status, and the
 * log when that is news (or `aloud`). */
bool efs_check_local(struct context *x, bool aloud);
#endif
