/* Threads that touch EFS and talk to Qdrant. They may hang with a hung mount; nobody waits for them.
 * Jobs of one folder run one at a time and in order: a folder has one writer. What frees the local disk has a
 * thread of its own, which never touches EFS. */
#ifndef REPLICATOR_PUBLISH_JOBS_H
#define REPLICATOR_PUBLISH_JOBS_H
#include "efs/repo/settings.h"
#include "efs/repo/backup.h"
#include "qdrant/client.h"
#include "replicator/status/counts.h"
#include <sys/stat.h>

enum job_kind {
    JOB_PUBLISH,        /* come back as done, with an outcome */
    JOB_DELETE_LOCAL,   /* come back as done */
    JOB_REFRESH_FOLDER, /* of one folder; and look at what it holds */
    JOB_SCAN_EFS,       /* look at EFS itself, then prune every folder that is there */
    JOB_HEARTBEAT,      /* see heartbeat_writer.h */
    JOB_TOMBSTONE,      /* a collection was deleted */
    JOB_TOMBSTONES,     /* see to the tombstones: those of `present` go */
};
struct job {
    enum job_kind kind;
    struct source source;
    char checksum[65]; /* Qdrant's, empty for an upload */
    char sha256[65];   /* in: of an upload, as it was read before, or empty; out: of what is on EFS now */
    struct stamp stamp;
    bool efs_bad; /* out, of JOB_PUBLISH: EFS cannot be used, so that it is looked at again soon */
    enum publish_outcome outcome; /* out */
    bool urgent;                  /* of JOB_DELETE_LOCAL: Qdrant needs the room; waits for nobody */
    bool given_up;                /* likewise: it is not on EFS */
    int64_t chosen;               /* likewise: when, by the monotonic clock, in milliseconds */
    bool postponed;               /* out, of JOB_DELETE_LOCAL */
    bool local;                   /* out: EFS is not mounted, so that no outcome makes it safe */
    bool aloud;                   /* of JOB_SCAN_EFS: say what is wrong also when that is known */
    bool first;                   /* likewise: it is the start, see start_check.h */
    char why[512];                /* out: of PUBLISH_FAILED */
    unsigned worker;              /* who has it, and what it is called in the status */
    char busy[300];
    time_t seen, deleted;        /* of JOB_TOMBSTONE */
    struct qdrant_names present; /* of JOB_TOMBSTONES: all collections that Qdrant has */
    int64_t pushed;              /* when, by the monotonic clock, in milliseconds */
    struct job *next;
    char *folder;    /* on EFS; jobs of one folder exclude each other */
    char relative[]; /* of the snapshot, below SNAPSHOTS_DIR */
};
/* NULL without memory. `source` may be NULL. */
struct job *job_new(enum job_kind kind, const struct source *source, const char *relative);
void job_free(struct job *j);

struct jobs;
/* `wake_fd` is an eventfd that is written when a finished job can be taken. */
struct context;
struct jobs *jobs_start(struct context *x, int wake_fd);
void jobs_push(struct jobs *w, struct job *j); /* takes ownership */
struct job *jobs_take_done(struct jobs *w);    /* NULL when there is none; job_free it */
/* Take a JOB_PUBLISH back that nobody has begun. False: somebody has. */
bool jobs_take_back(struct jobs *w, const char *relative);
/* Something has happened to a snapshot on the local disk: what Qdrant said before of those it makes is old.
 */
void jobs_snapshot_event(struct jobs *w);
bool jobs_idle(struct jobs *w);      /* nothing queued, running or to be taken */
bool jobs_surveying(struct jobs *w); /* the last JOB_SCAN_EFS, or a folder of it, is still open */
bool jobs_efs_bad(struct jobs *w);   /* the last JOB_SCAN_EFS found EFS unusable */
struct counts jobs_counts(struct jobs *w);
/* A stop is near: from now on nothing but JOB_PUBLISH is begun. */
void jobs_hurry(struct jobs *w);
/* Ask all to stop at the next chunk and wait until the monotonic millisecond `end`. False: one hangs; the
 * process may only _exit then. */
bool jobs_stop(struct jobs *w, int64_t end);
void jobs_free(struct jobs *w); /* only after jobs_stop was true */
#endif
