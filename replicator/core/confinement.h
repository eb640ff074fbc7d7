/* The replicator opens what it needs, and the kernel refuses it the rest (Landlock): EFS, Qdrant's snapshots,
 * the scratch folder of drills, what the system's libraries read, and the files that settings name. So a link
 * that somebody laid on EFS, or a hole in what reads a backup, leads nowhere else. Its children, such as the
 * Qdrant of a drill, are confined with it. It does not touch the network. */
#ifndef REPLICATOR_CORE_CONFINEMENT_H
#define REPLICATOR_CORE_CONFINEMENT_H
#include "common/base/err.h"
#include "replicator/core/context.h"

/* From now on, for this thread and those that it starts. `scratch`: the folder of drills, which is made;
 * empty: there are none. What is allowed is what is at these paths now. Waits for an EFS that hangs for some
 * seconds only. -1 with the reason: nothing is refused, and the caller goes on. */
int confinement_enter(const struct context *x, const char *scratch, struct err *e);
#endif
