/* The daemon: the watcher's thread, the workers, the schedule, the reports. The main thread waits for signals
 * only, so that a stop is heard whatever hangs. */
#ifndef REPLICATOR_DAEMON_H
#define REPLICATOR_DAEMON_H
#include "replicator/core/context.h"
#include <signal.h>

/* Until one of `stops` comes; these must be blocked. `once`: publish what is there, prune, and return.
 * Returns the exit code, or ends the process when a thread hangs. */
int daemon_run(struct context *x, bool once, const sigset_t *stops);
#endif
