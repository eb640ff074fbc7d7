/* How far a restore at boot has come: {storage}/.restore.json, in Qdrant's own storage folder, so that it
 * goes with the storage that it tells of. Its first member is "state"; common/base/storage_state.h reads no
 * more of it.
 */
#ifndef REPLICATOR_RESTORE_MARKER_H
#define REPLICATOR_RESTORE_MARKER_H
#include "common/base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum marker_state {
    MARKER_NONE,
    MARKER_RESTORING,  /* in the staging folder; the storage itself is still empty */
    MARKER_COMMITTING, /* all is staged, and is moved to its place */
    MARKER_DONE,       /* never again on this disk */
};
enum part_state {
    PART_WAITING,
    PART_STAGED,  /* restored into the staging folder, and found equal to its manifest */
    PART_FAILED,  /* no backup of it could be restored: `why` */
    PART_SKIPPED, /* not to be restored: `why` */
};
struct marker_part {
    char *collection;
    enum part_state state;
    char *snapshot; /* the one that was staged; NULL: none */
    char *from;     /* the tree that it is from */
    char *why;      /* of one that failed or was skipped; of a staged one what was lost, else NULL */
    int64_t points; /* of a staged one */
    time_t taken;
    unsigned kills; /* how often Qdrant was killed while it restored this collection */
    char **passed;  /* snapshots that are not to be tried again: a stem, or "{tree}/{stem}" of one copy */
    size_t n_passed;
    char **aliases; /* of a staged one, which no collection can have as its name */
    size_t n_aliases;
    bool is_alias;  /* skipped for that; not kept */
    unsigned tries; /* reads that failed, by this process; not kept */
};
struct marker {
    enum marker_state state;
    bool restored;    /* done, and there was something to restore */
    bool recorded;    /* EFS has the record of it (record.h) */
    bool alone;       /* one collection at a time: Qdrant died, and nobody can tell of which */
    time_t ended;     /* when it was done */
    char setting[64]; /* RESTORE_ON_EMPTY, ... */
    time_t at;        /* ... and what that was when it began; 0: the latest */
    struct marker_part *v;
    size_t n;
};
#define cleanup_marker __attribute__((cleanup(marker_free)))
void marker_free(struct marker *m);
/* False without memory. */
bool marker_add(struct marker *m, const char *collection);
/* Put a copy of `value` (may be NULL) in the place of *field. False without memory. */
bool marker_set(char **field, const char *value);
bool marker_pass(struct marker_part *p, const char *snapshot);
bool marker_alias(struct marker_part *p, const char *alias);
bool marker_passed(const struct marker_part *p, const char *snapshot);
/* A missing marker is MARKER_NONE. -1 when it cannot be read. */
int marker_load(const char *storage, struct marker *out, struct err *e);
int marker_save(const char *storage, const struct marker *m, struct err *e);
/* Parts in that state. */
size_t marker_count(const struct marker *m, enum part_state state);
#endif
