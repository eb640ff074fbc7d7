/* The folder in which a restore at boot works, {storage}/.restore: a storage of its own for the staging
 * Qdrant, the snapshots that it is given, and what it logs. On the file system of the storage, so that what
 * is whole gets to its place by renaming. Nothing here waits for EFS. */
#ifndef REPLICATOR_RESTORE_STAGE_H
#define REPLICATOR_RESTORE_STAGE_H
#include "replicator/restore/marker.h"
#include <limits.h>

struct stage {
    char storage[PATH_MAX]; /* Qdrant's, where all goes to in the end */
    char dir[PATH_MAX];     /* the staging folder */
    char staged[PATH_MAX];  /* the staging Qdrant's storage, in it */
    char in[PATH_MAX];      /* the snapshots that it is given */
};
/* The paths alone. */
int stage_init(struct stage *s, const char *storage, struct err *e);
/* Make what is not there. What an earlier try left is kept when it is a collection that the marker calls
 * staged, else removed. */
int stage_open(struct stage *s, const struct marker *m, struct err *e);
/* "{in}/N.snapshot" */
void stage_file(const struct stage *s, size_t n, char out[PATH_MAX]);
/* What a staging Qdrant has unpacked and not brought to its end. */
int stage_clear_temporary(const struct stage *s, struct err *e);
/* Remove the snapshots. */
int stage_clear_in(const struct stage *s, struct err *e);
/* Has the staging Qdrant restored that collection? */
bool stage_has(const struct stage *s, const char *collection);
int stage_drop(const struct stage *s, const char *collection, struct err *e);
/* Bytes that can be written there. */
uint64_t stage_room(const struct stage *s);
/* What the storage has lies in the storage: nothing is left to be moved. */
bool stage_is_moved(const struct stage *s);
/* Move all to its place: the collections last, since a storage without them counts as empty. May be
 * repeated. A collections folder without any collection that is there already is kept beside it. */
int stage_move(const struct stage *s, struct err *e);
/* All of its file system to the disk. Takes as long as the disk needs for it: for when Qdrant serves already.
 */
int stage_sync(const struct stage *s, struct err *e);
int stage_remove(const struct stage *s, struct err *e);
#endif
