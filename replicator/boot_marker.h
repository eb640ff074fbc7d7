/* What a restore at boot has come to, on the task's own disk: SNAPSHOTS_DIR/.boot-restore.json. It goes with
 * the disk, and so tells an empty disk from a node that lost its collections, and a collection that we were
 * restoring from one that somebody else has made. `qdrant-entrypoint health` looks for "state":"done" in it.
 */
#ifndef REPLICATOR_BOOT_MARKER_H
#define REPLICATOR_BOOT_MARKER_H
#include "common/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum marker_state {
    MARKER_NONE,
    MARKER_RESTORING,
    MARKER_FAILED, /* some collections did not come back; tried again at the next start */
    MARKER_DONE,   /* never again on this disk */
};
enum part_state {
    PART_WAITING,
    PART_BEGUN, /* half of it may be in Qdrant */
    PART_FAILED,
    PART_DONE, /* restored, left alone, or not to be restored */
};
struct marker_part {
    char *collection;
    char *from; /* the tree whose newest backup was tried first; NULL: not begun, or by an older version */
    enum part_state state;
    bool begun;     /* a failed one: half of it may be in Qdrant ... */
    int64_t left;   /* ... which had so many points then; -1: it did not tell */
    unsigned tries; /* by this process; these two are not kept */
    bool over;
};
struct marker {
    enum marker_state state;
    bool restored;    /* done, and there was something to restore */
    char setting[64]; /* RESTORE_ON_EMPTY, ... */
    time_t at;        /* ... and what that was when it began; 0: the latest */
    struct marker_part *v;
    size_t n;
};
#define MARKER_NAME ".boot-restore.json"
#define cleanup_marker __attribute__((cleanup(marker_free)))
void marker_free(struct marker *m);
/* False without memory. */
bool marker_add(struct marker *m, const char *collection);
/* The tree of a part. False without memory. */
bool marker_from(struct marker_part *p, const char *tree);
/* None there is MARKER_NONE. -1 when it cannot be read. */
int marker_load(const char *dir, struct marker *out, struct err *e);
int marker_save(const char *dir, const struct marker *m, struct err *e);
/* Parts in that state. */
size_t marker_count(const struct marker *m, enum part_state state);
#endif
