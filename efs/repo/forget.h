/* Forgetting: all backups of a collection, and whatever else our programs left in its folders, deleted from
 * one tree on EFS. The tombstone that keeps it from coming back is written first, by the caller, so that a
 * replicator that publishes meanwhile sees one, or is seen. Interrupted and repeated it goes on where it was.
 * What is no file of ours, a link or a folder that somebody else made, is neither followed nor deleted. */
#ifndef EFS_REPO_FORGET_H
#define EFS_REPO_FORGET_H
#include "efs/repo/backup.h"

struct forget {
    const char *base, *collection;
    const char *node; /* only of this one, NODE_NAME or peer id; NULL: of all */
    time_t until;     /* only what was taken at that time or before; 0: all */
    bool storage;     /* the backups of the whole storage, in place of a collection's */
    bool dry_run;     /* delete nothing */
    /* Told of each backup before it is deleted, and of each file that is left alone with the reason. */
    void (*gone)(const struct backup *b, void *arg);
    void (*left)(const char *path, const char *why, void *arg);
    void *arg;
};
/* -1: something could not be deleted or looked at; what comes after it was tried all the same. */
int forget_backups(const struct forget *f, struct err *e);
/* One backup, which has just been published. */
int forget_one(const char *base, const struct manifest *m, struct err *e);
#endif
