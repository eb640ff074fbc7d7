/* Threads that touch EFS and talk to Qdrant. They may hang with a hung mount; nobody waits for them.
 * Jobs of one folder run one at a time and in order: a folder has one writer. */
#ifndef REPLICATOR_WORKERS_H
#define REPLICATOR_WORKERS_H
#include "efs/settings.h"
#include "efs/store.h"
#include <sys/stat.h>

enum job_kind {
    JOB_PUBLISH,      /* come back as done, with an outcome */
    JOB_DELETE_LOCAL, /* come back as done */
    JOB_PRUNE,        /* of one folder; and look at what it holds */
    JOB_HOUSEKEEP,    /* look at EFS itself, then prune every folder that is there */
    JOB_HEARTBEAT,    /* see pulse.h */
};
struct job {
    enum job_kind kind;
    struct source source;
    char checksum[65]; /* Qdrant's, empty for an upload */
    char sha256[65];   /* in: of an upload, as it was read before, or empty; out: of what is on EFS now */
    struct stamp stamp;
    enum publish_outcome outcome; /* out */
    bool postponed;               /* out, of JOB_DELETE_LOCAL */
    unsigned worker;              /* who has it, and what it is called in the ledger */
    char busy[300];
    struct job *next;
    char *folder;    /* on EFS; jobs of one folder exclude each other */
    char relative[]; /* of the snapshot, below SNAPSHOTS_DIR */
};
/* NULL without memory. `source` may be NULL. */
struct job *job_new(enum job_kind kind, const struct source *source, const char *relative);
void job_free(struct job *j);

struct counts { /* since the start */
    unsigned long long published, bytes, stored, same, expired, vanished, mismatch, conflict, failed, pruned,
        deleted;
};
struct workers;
/* `wake_fd` is an eventfd that is written when a finished job can be taken. */
struct context;
struct workers *workers_start(struct context *x, int wake_fd);
void workers_push(struct workers *w, struct job *j); /* takes ownership */
struct job *workers_take_done(struct workers *w);    /* NULL when there is none; job_free it */
bool workers_idle(struct workers *w);                /* nothing queued, running or to be taken */
bool workers_surveying(struct workers *w); /* the last JOB_HOUSEKEEP, or a folder of it, is still open */
bool workers_efs_bad(struct workers *w);   /* the last JOB_HOUSEKEEP found EFS unusable */
struct counts workers_counts(struct workers *w);
/* Ask all to stop at the next chunk and wait until the monotonic millisecond `end`. False: one hangs; the
 * process may only _exit then. */
bool workers_stop(struct workers *w, int64_t end);
void workers_free(struct workers *w); /* only after workers_stop was true */
#endif
