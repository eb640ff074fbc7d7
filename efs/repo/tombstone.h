/* Tombstones: small JSON files on EFS that say which collections were deleted on purpose, so that a restore
 * of an empty disk does not bring these back, and so that a backup of what was forgotten is not made again.
 * {base}/deleted/{node}/{collection}.json. The folder is the escaped NODE_NAME; "-" for a node without one;
 * "%all" for all nodes. No name is escaped to either. Every call may hang with EFS. */
#ifndef EFS_REPO_TOMBSTONE_H
#define EFS_REPO_TOMBSTONE_H
#include "common/base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

enum { TOMBSTONE_FORMAT = 1, TOMBSTONE_MAX = 16 << 10 };
#define TOMBSTONE_ALL "%all" /* as `node`: for all nodes */

struct tombstone {
    char collection[256];
    char node[128]; /* NODE_NAME; empty: a node without one; TOMBSTONE_ALL */
    time_t deleted; /* when it was seen to be gone, or was forgotten */
    time_t seen;    /* when it was last seen in Qdrant; 0: not known */
    bool forgotten; /* by `qdrant-efs forget`: its backups are deleted, and none of what there was until
                       `deleted` may be made again */
    char by[128];   /* who wrote it */
};
struct tombstones {
    struct tombstone *v; /* sorted by collection */
    size_t n;
    size_t unreadable; /* entries that cannot be made out; nothing is known of their collections ... */
    char why[1024];    /* ... and what is wrong with the first of these */
};
#define cleanup_tombstones __attribute__((cleanup(tombstones_free)))
void tombstones_free(struct tombstones *t);

/* All that concern `node` (NODE_NAME, "" for none): its own and those for all nodes. NULL: of every node. A
 * tree without any has none. -1: the folder cannot be read, so nothing is known. One entry that cannot be
 * read, or is not signed where that is required (efs/repo/signed.h), hides no others: see `unreadable`. */
int tombstones_load(const char *base, const char *node, struct tombstones *out, struct err *e);
/* Was what was taken then deleted by it? A backup taken at or before the deletion is covered, a newer one is
 * of a collection that was made anew. A time that is not known (0) is covered. */
bool tombstone_covers(const struct tombstone *t, time_t taken);
/* The first that covers a backup of that collection; NULL: none does. */
const struct tombstone *tombstones_cover(const struct tombstones *all, const char *collection, time_t taken);
/* Is there one of a collection, of a kind? */
const struct tombstone *tombstones_find(const struct tombstones *all, const char *collection, bool forgotten);

/* Durable when it returns. Takes the place of an older one of that node and collection. */
int tombstone_put(const char *base, const struct tombstone *t, struct err *e);
/* That one is gone when it returns; none there is no error. */
int tombstone_remove(const char *base, const char *node, const char *collection, struct err *e);
#endif
