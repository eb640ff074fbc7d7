/* Which backup of a collection a restore at boot takes, and its bytes to the local disk. Blocks, and may hang
 * with EFS. */
#ifndef REPLICATOR_RESTORE_CHOICE_H
#define REPLICATOR_RESTORE_CHOICE_H
#include "efs/restore/restore.h"
#include "efs/repo/tombstone.h"
#include "replicator/restore/plan.h"
#include "replicator/restore/record.h"

struct restore_choice {
    const struct restore_roots *trees;
    const struct restore_history *history;
    const struct tombstones *deleted; /* NULL: what was deleted comes back, too */
    const char *own;                  /* EFS_ROOT's tree */
    const char *collection, *node;
    time_t at;  /* the newest at that time or before; 0: the newest */
    time_t now; /* by the clock on the wall, which a backup must not be ahead of */
    /* Out. */
    struct backup_list list;
    size_t *order; /* indices into `list`, the best first */
    size_t n;
    size_t all[2];   /* where the list of each tree ends */
    bool unreadable; /* a folder of it cannot be listed, for want of rights: newer ones may be there */
};
enum choice_outcome {
    CHOICE_MADE,
    CHOICE_NONE,       /* not to be restored, the error says why: no backup is that old, or may be taken */
    CHOICE_DELETED,    /* the same: it was deleted on purpose */
    CHOICE_OTHER_NODE, /* the same: all backups are of other nodes */
    CHOICE_BAD,        /* there are backups, but none that can be taken by itself */
    CHOICE_LATER,      /* EFS does not answer as it should */
};
/* `out` is filled in; free it in any case. */
enum choice_outcome restore_choice_make(struct restore_choice *out, struct err *e);
void restore_choice_free(struct restore_choice *c);
#define cleanup_choice __attribute__((cleanup(restore_choice_free)))
/* The tree that an index into `list` is of. */
const char *restore_choice_tree(const struct restore_choice *c, size_t i);
/* Two trees have backups: tells which one counts, since `i` was taken. */
void restore_choice_tell_source(const struct restore_choice *c, size_t i);

/* The bytes of a backup into a file, which is replaced; proven against the manifest when it is RESTORE_DONE.
 * Not synced. `watch` and `stop` as in efs/restore/restore.h. */
enum restore_outcome restore_fetch(const struct backup *b, const char *path,
                                   const struct restore_reading *how, struct err *e);
#endif
