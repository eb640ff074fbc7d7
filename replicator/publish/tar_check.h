/* An upload has no .checksum of Qdrant's: reading its tar to the end is the proof that it is whole. */
#ifndef REPLICATOR_PUBLISH_TAR_CHECK_H
#define REPLICATOR_PUBLISH_TAR_CHECK_H
#include "common/base/err.h"
#include <stdatomic.h>
/* 0 when `path` is a tar that can be read through to its end marker, with at least one member. Set `stop`
 * (may be NULL): give up with ECANCELED. */
int tar_check(const char *path, const atomic_bool *stop, struct err *e);
#endif
