/* One collection of a restore at boot: which of its backups, and back into Qdrant. Blocks, and may hang with
 * EFS. */
#ifndef REPLICATOR_BOOT_COLLECTION_H
#define REPLICATOR_BOOT_COLLECTION_H
#include "efs/restore.h"
#include "replicator/boot_plan.h"

enum boot_outcome {
    BOOT_RESTORED,
    BOOT_SKIPPED, /* not to be restored, `why` says so: an alias has its name, or no backup is of that time or
                     node */
    BOOT_LEFT,    /* left alone: somebody has made it meanwhile */
    BOOT_FAILED,
    BOOT_LATER, /* EFS or Qdrant do not answer */
};
struct boot_collection {
    struct qdrant *qdrant;
    const struct boot_trees *trees;
    const char *folder; /* the collection's in each tree */
    const char *collection, *node;
    const char
        *prefer; /* the tree that an earlier try began with: of two that are alike its one; NULL: none */
    time_t at;   /* the newest at that time or before; 0: the newest */
    bool force;  /* what is there of it is ours, and half */
    const atomic_bool *stop;
    bool (*begin)(const char *tree, void *arg); /* called before anything is sent; false: it must not be */
    void *arg;
    /* Out. */
    struct restore_report report;
    char snapshot[256];
    const char *from; /* the tree of that; NULL: none */
    bool begun;       /* something may have been sent */
    struct err why;
};
enum boot_outcome boot_collection(struct boot_collection *c);
#endif
