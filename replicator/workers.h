/* Threads that touch EFS and talk to Qdrant. They may hang with a hung mount; nobody waits for them.
 * Jobs of one folder always run on the same thread, in order: a folder has one writer. */
#ifndef REPLICATOR_WORKERS_H
#define REPLICATOR_WORKERS_H
#include "efs/settings.h"
#include "efs/store.h"

enum job_kind { JOB_PUBLISH, JOB_DELETE_LOCAL, JOB_PRUNE };
struct job {
    enum job_kind kind;
    struct source source;
    char relative[PATH_MAX]; /* of the snapshot, below SNAPSHOTS_DIR */
    char checksum[65];       /* empty for an upload */
    enum publish_outcome outcome; /* out */
    struct job *next;
};
struct workers;
/* `wake_fd` is an eventfd that is written when a finished JOB_PUBLISH can be taken. */
struct workers *workers_start(const struct settings *s, int wake_fd);
void workers_push(struct workers *w, struct job *j); /* takes ownership */
struct job *workers_take_done(struct workers *w);    /* NULL when there is none; caller frees */
bool workers_idle(struct workers *w);                /* nothing queued or running */
/* Ask all to stop at the next chunk and wait for at most `seconds`. False: one hangs; the process may
 * only _exit then. */
bool workers_stop(struct workers *w, unsigned seconds);
#endif
