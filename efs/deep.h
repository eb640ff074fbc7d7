/* How good is a backup, as far as one can tell without a server? Its hashes; each member of its tar, and of
 * the tars inside, read to the end; and all that Qdrant (1.18.2) needs to restore it is there and makes
 * sense. Read once, as a stream: no temporary files, memory of a fixed size. */
#ifndef EFS_DEEP_H
#define EFS_DEEP_H
#include "efs/restore_stream.h"
/* In place of store_verify, for a backup that was read: sets state and reason, which has a line for each
 * defect. `watch` and `stop` may be NULL; with `stop` set nothing is changed. */
void deep_verify(struct backup *b, const struct copy_watch *watch, const atomic_bool *stop);
#endif
