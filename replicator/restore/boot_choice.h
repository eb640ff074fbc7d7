/* Which backup of a collection a restore at boot takes, and its bytes to the local disk. Blocks, and may hang
 * with EFS. */
#ifndef REPLICATOR_RESTORE_BOOT_CHOICE_H
#define REPLICATOR_RESTORE_BOOT_CHOICE_H
#include "efs/restore/restore.h"
#include "efs/repo/tombstone.h"
#include "replicator/restore/plan.h"
#include "replicator/restore/record.h"

struct boot_choice {
    const struct restore_roots *trees;
    const struct restore_history *history;
    const struct tombstones *deleted; /* NULL: what was deleted comes back, too */
    const char *own;                  /* EFS_ROOT's tree */
    const char *collection, *node;
    time_t at;  /* the newest at that time or before; 0: the newest */
    time_t now; /* by the clock on the wall, which a backup must not be ahead of */
    /* Out. */
    struct backup_list list;
    struct restore_choice *choice;
    struct boot_rule *rule;        /* which of them may be taken at all */
    size_t all[2];                 /* where the list of each tree ends */
    const struct backup *first[2]; /* of each tree, that boot_choice_next gave; NULL: none yet */
    bool unreadable; /* a folder of it cannot be listed, for want of rights: newer ones may be there */
};
enum boot_choice_outcome {
    BOOT_CHOICE_MADE,
    BOOT_CHOICE_NONE,    /* not to be restored, the error says why: no backup is that old, or may be taken */
    BOOT_CHOICE_DELETED, /* the same: it was deleted on purpose */
    BOOT_CHOICE_OTHER_NODE, /* the same: all backups are of other nodes */
    BOOT_CHOICE_BAD,        /* there are backups, but none that can be taken by itself */
    BOOT_CHOICE_LATER,      /* EFS does not answer as it should */
};
/* `out` is filled in; free it in any case. Manifests are read from the newest on, as the choice needs them.
 */
enum boot_choice_outcome boot_choice_make(struct boot_choice *out, struct err *e);
/* The next best one, an index into `list`. 1: there is none left; -1 without memory. */
int boot_choice_next(struct boot_choice *c, size_t *i, struct err *e);
void boot_choice_free(struct boot_choice *c);
#define cleanup_boot_choice __attribute__((cleanup(boot_choice_free)))
/* The tree that an index into `list` is of. */
const char *boot_choice_tree(const struct boot_choice *c, size_t i);
/* Two trees have backups: tells which one counts, since `i` was taken. */
void boot_choice_tell_source(const struct boot_choice *c, size_t i);

/* The bytes of a backup into a file, which is replaced; proven against the manifest when it is RESTORE_DONE.
 * Not synced. `watch` and `stop` as in efs/restore/restore.h. */
enum restore_outcome boot_choice_fetch(const struct backup *b, const char *path,
                                       const struct restore_reading *how, struct err *e);
#endif
