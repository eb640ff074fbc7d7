/* The local part of `qdrant-efs check`, once at the start, as one line of the log: the first thing to look at
 * when a new task makes no backups. PID 1 never opens a file on EFS, so that it is said here. It writes
 * nothing: a mount point without its mount is told by its being empty, and what is killed in the middle of a
 * test would leave its file. May hang with EFS. */
#ifndef REPLICATOR_PUBLISH_START_CHECK_H
#define REPLICATOR_PUBLISH_START_CHECK_H
#include "replicator/core/context.h"

void start_check(struct context *x);
#endif
