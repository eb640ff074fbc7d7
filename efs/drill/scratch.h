/* A folder for throw-away files, on a disk of this machine, that is gone afterwards: removed at the end, or
 * by the next one when this process was killed. One at a time in one place. Nothing else in that place is
 * touched. */
#ifndef EFS_DRILL_SCRATCH_H
#define EFS_DRILL_SCRATCH_H
#include "common/base/err.h"
#include <limits.h>
#include <stdbool.h>

struct scratch {
    char path[PATH_MAX]; /* of the folder */
    int lock;
};
/* The place for drills where none is set: beside Qdrant's snapshots, whose disk has room for such things;
 * where nothing can be made there, as elsewhere than in a task, in TMPDIR. False: too long a name. */
bool scratch_place(const char *snapshots_dir, char out[PATH_MAX]);
/* Below `place`, which is made if its parent is there. -1 with EBUSY: another process has it. */
int scratch_open(const char *place, struct scratch *s, struct err *e);
/* Remove all that is in it. */
int scratch_empty(const struct scratch *s, struct err *e);
/* Remove it. */
int scratch_close(struct scratch *s, struct err *e);
/* For who has hung and is about to end: remove this process's folder in `place`, if there is one. From any
 * thread. */
void scratch_abandon(const char *place);
#endif
