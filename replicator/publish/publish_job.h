/* What the workers do: one call a job, on whatever thread. Each may hang with EFS. Reports what it did in
 * the log and in the counts; decides nothing about when and what. */
#ifndef REPLICATOR_PUBLISH_PUBLISH_JOB_H
#define REPLICATOR_PUBLISH_PUBLISH_JOB_H
#include "replicator/core/context.h"
#include "replicator/publish/jobs.h"

/* What Qdrant said when it was last asked whether it makes a snapshot. Of the thread for the local disk
 * alone. */
struct making {
    bool known, running;
    unsigned events;    /* as counted before it was asked */
    int64_t asked, end; /* monotonic milliseconds; not to be relied on after `end` */
};
struct publish_job {
    struct context *context;
    const atomic_bool *stop;     /* set: give up at the next chunk */
    atomic_uint failures;        /* in a row, of whichever snapshots */
    _Atomic int64_t ask_after;   /* Qdrant did not answer: monotonic second before which not to ask again */
    atomic_bool readme;          /* of the tree was looked at, or is being looked at */
    atomic_bool swept;           /* so was the top of the tree */
    atomic_bool index_failed;    /* and that was said */
    atomic_bool hurry;           /* a stop is near: nothing is done that can wait */
    atomic_uint snapshot_events; /* on the local disk, so far */
    struct making making;
};
/* Check (an upload), copy, compare, publish; then prune its folder. Sets j->outcome and j->sha256. */
void publish_job_publish(struct publish_job *p, struct job *j, struct counts *c);
/* Delete a published snapshot from the local disk, if it still is the one that j->stamp says. Sets
 * j->postponed when Qdrant is making a snapshot: it may be a full-storage one, which needs this file. With
 * j->urgent at once, without asking Qdrant, whose listing is that of the folder. */
void local_delete(struct publish_job *p, struct job *j, struct counts *c);
/* Apply retention to one folder on EFS, sweep it, and tell the status what is there. */
void folder_refresh(struct publish_job *p, const char *folder, struct counts *c);
/* Somebody has deleted a collection in Qdrant: leave a tombstone, if there are backups that it concerns. */
void publish_job_tombstone(struct publish_job *p, const struct job *j);
/* Remove this node's tombstones that nobody needs: of a collection that is there again (`present`, NULL: not
 * known), and those without a backup that they cover. */
void publish_job_tombstones(struct publish_job *p, const struct qdrant_names *present);
/* Is EFS there and may we write to it? Says so when not, if that is news or `aloud`. Also lists the folders
 * of our tree. */
bool efs_look(struct publish_job *p, bool aloud, char ***folders, size_t *n);
#endif
