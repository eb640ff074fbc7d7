/* What operators want to know, kept in memory: filled in by whoever does the work, read by the scheduler and
 * rendered as the status document, the one source of /status, the status page, /metrics, /health and the EMF
 * lines. No call touches a file or waits for more than a mutex that is held for microseconds, so that an
 * answer never waits for EFS. Times are UTC; `now` is always given, so that tests can choose it. Thread-safe.
 */
#ifndef REPLICATOR_STATUS_STATE_H
#define REPLICATOR_STATUS_STATE_H
#include "efs/repo/manifest.h"
#include "efs/repo/retention.h"
#include "replicator/status/counts.h"

struct backup;
struct cJSON;
struct status;
struct status_options {
    const char *base; /* {EFS_ROOT}/{TIER}-{CPU_ARCH} */
    const char *node; /* NODE_NAME, may be empty */
    const char *qdrant_url;
    unsigned rpo_seconds;      /* the newest backup of a collection may be this old */
    unsigned interval, offset; /* of the schedule in seconds; interval 0: no schedule */
    const struct retention *retention;
    bool s3;                  /* is there a second target? */
    bool full;                /* FULL_SNAPSHOT: one of the whole storage in each period ... */
    enum frequency full_tier; /* ... of this tier */
};
struct status *status_new(const struct status_options *o, time_t now);
void status_free(struct status *l);

/* Where we run, from ECS; any may be NULL. May come late or never. */
void status_task(struct status *l, const char *task_arn, const char *zone, const char *family);

/* Backups. A folder is one of name_folder's: a collection, one of its shards, or full storage. */
struct status_tier { /* this node's good backups of one tier of one folder, as found on EFS */
    unsigned count;
    time_t newest_slot, newest_taken; /* 0: none */
    uint64_t stored_bytes;            /* of all */
};
void status_found(struct status *l, const struct source *folder,
                  const struct status_tier tiers[FREQUENCY_COUNT]);
/* What the manifest of one that was found says, for the newest one's name and size and for the sizes of the
 * last day. Changes no tier; may come again. */
void status_found_backup(struct status *l, const struct manifest *m);
/* One more now. `delay`: seconds from the finished snapshot to its manifest. */
void status_published(struct status *l, const struct manifest *m, double delay, time_t now);
void status_pruned(struct status *l, const struct backup *b);
/* The collections that Qdrant has and that are to be backed up. Only these are held to the objective: one
 * that was deleted or excluded does not alarm for ever. A new one has rpo_seconds from now. */
void status_collections(struct status *l, const char *const *names, size_t n, time_t now);
/* What COLLECTIONS means of them: `wanted` of `total` that this node has, and `missing`, which it names and
 * which is not there (NULL: all are). True: that is news, and bad. */
bool status_chosen(struct status *l, const char *patterns, size_t wanted, size_t total, const char *missing);
/* When the newest known backup or snapshot of a collection was taken, 0 when none is known. */
time_t status_newest(struct status *l, const char *collection);
/* The size of its newest backup before compression; -1: not known. */
int64_t status_newest_size(struct status *l, const char *collection);
/* Is it held to the objective? 1 or 0; -1: it was not told yet what collections there are. */
int status_wanted(struct status *l, const char *collection);

/* The schedule's runs. */
struct status_run {
    time_t slot, begun, ended; /* `ended` 0 while it runs */
    /* Of a run that is over, made + failed + skipped = collections. Failed: each try was refused. Skipped: it
     * had no turn, or Qdrant is still at its first when the slot ends. */
    unsigned collections, made, failed, skipped;
    uint64_t bytes; /* of the snapshots made */
};
void status_run(struct status *l, const struct status_run *r);
/* What the last run that is over did, and what of it is left to do. */
struct status_pulse {
    struct status_run last; /* `ended` 0: there was none */
    bool running;
    unsigned waiting; /* finished snapshots that are not on EFS */
};
void status_pulse(struct status *l, struct status_pulse *out);
void status_next_run(struct status *l, time_t when); /* 0: none */
void status_slots_missed(struct status *l, unsigned n);
/* No more snapshots of it are made, since so many are not on EFS; empty: of the whole storage. Until one of
 * it is published. */
void status_held(struct status *l, const char *collection, unsigned unpublished);
/* The local disk: what is free there, what is to stay free for Qdrant; finished snapshots there that are not
 * on EFS. */
void status_disk(struct status *l, uint64_t left, uint64_t floor);
void status_unpublished(struct status *l, unsigned n);
/* A snapshot of a collection failed, for the collection's own line. */
void status_snapshot_failed(struct status *l, const char *collection, const char *why, time_t now);

/* Health of what we depend on. */
void status_qdrant(struct status *l, bool reachable, bool recovery_mode, const char *version, time_t now);
/* True: that is news. */
bool status_efs(struct status *l, bool usable, const char *why, time_t now);
/* Is EFS_ROOT on the task's own disk, and not allowed to be? True: that is news. */
bool status_efs_local(struct status *l, bool local);
/* A worker begins (`what` such as "publish docs-1-...") or ends (NULL) a job. The same again, while it works,
 * is its sign of life: give one for each chunk of a long job. A job without one for two minutes is how a hung
 * EFS shows. `worker` from 0. */
enum { STATUS_WORKERS = 10 };
void status_busy(struct status *l, unsigned worker, const char *what, time_t now);
/* Snapshots that wait to be settled, to be published, to go to S3; how old the oldest of those is, in
 * seconds. */
struct status_queue {
    unsigned waiting, publishing, s3;
    unsigned failing; /* of these: their last try to be published failed ... */
    char why[512];    /* ... the last one for this reason */
    double oldest;
};
void status_queue(struct status *l, const struct status_queue *q);
void status_s3_queue(struct status *l, unsigned n); /* backups that wait for S3; not status_queue's to set */
void status_counts(struct status *l, const struct counts *c);
/* An upload to S3 ended; `why` is NULL when it is there. */
void status_s3(struct status *l, const struct manifest *m, const char *why, time_t now);
/* The last proof that a restore works. `why` is NULL when it did. `collection` empty: it was of the
 * whole storage, or with `snapshot` empty ended before it could say. */
void status_drill(struct status *l, const char *collection, const char *snapshot, double seconds,
                  const char *why, time_t now);
/* The same of one from before this start, which was at `when`: not counted. */
void status_drill_before(struct status *l, const char *collection, const char *snapshot, double seconds,
                         const char *why, time_t when);
/* When the next one is due. */
void status_drill_next(struct status *l, time_t when);
/* Snapshots that are no backups, and why; each is told in /health until it is good or gone. `key` tells one
 * from the others: its path below SNAPSHOTS_DIR, or "" for one that was not even made. True: that is news. */
enum status_doubt {
    STATUS_UPLOAD_REFUSED, /* without Qdrant's checksum, and no snapshot of that collection */
    STATUS_UPLOAD_WAITS,   /* the same, and it cannot be told now */
    STATUS_NOT_ACTIVE,     /* a replica on this node is not Active; until the collection's next good backup */
    STATUS_NOT_HERE, /* Qdrant made a snapshot, and its file is not in SNAPSHOTS_DIR; until the next good
                        backup */
    STATUS_DELETION, /* EFS does not take note of a deletion in Qdrant, which was at `now`; without a key */
};
bool status_doubt(struct status *l, enum status_doubt what, const char *key, const char *collection,
                  const char *why, time_t now);
void status_no_doubt(struct status *l, const char *key, const char *collection);
/* A snapshot of it is in SNAPSHOTS_DIR: an end of STATUS_NOT_HERE. */
void status_here(struct status *l, const char *collection);
/* The deletion number `i` that EFS has not taken note of; false: there are not so many. */
bool status_deletion(struct status *l, unsigned i, char collection[256], time_t *deleted);
/* How the cluster is that Qdrant belongs to: `consensus` says why it has stopped, `peers` which of them,
 * `unreachable` in number, cannot be reached; empty and 0: all is well, or Qdrant is in no cluster. */
void status_cluster(struct status *l, const char *consensus, bool leaderless, unsigned unreachable,
                    const char *peers);
/* What this node does about it (HEAL), in words; empty with STATUS_HEAL_NONE. */
enum status_heal {
    STATUS_HEAL_NONE,
    STATUS_HEAL_RUNS,
    STATUS_HEAL_UNSURE, /* a person has to say, or give more nodes */
    STATUS_HEAL_FAILED,
};
void status_heal(struct status *l, enum status_heal what, const char *text);
/* A heartbeat is on EFS, for the second Region; or EFS did not take it. */
void status_heartbeat(struct status *l, time_t written);
void status_heartbeat_failed(struct status *l, const char *why, time_t now);
/* The restore of an empty disk at boot (RESTORE_ON_EMPTY): how far it is, in collections, and what it does or
 * waits for. Until it is done the node is not healthy. */
enum status_restoring {
    STATUS_RESTORE_NEVER, /* not asked for */
    STATUS_RESTORE_WAITING,
    STATUS_RESTORING,
    STATUS_RESTORE_FAILED,
    STATUS_RESTORE_DONE,
    STATUS_RESTORE_NOT_NEEDED,
};
void status_restore(struct status *l, enum status_restoring state, const char *reason, unsigned done,
                    unsigned total, time_t now);
/* A sign of life of it: bytes were read, Qdrant works. Whoever would replace a task that does not become
 * healthy asks how old the last one is. */
void status_restore_works(struct status *l, time_t now);
/* {"state","done","total","reason","progressing"}; *pending: it is neither done nor superfluous. NULL without
 * memory. */
struct cJSON *status_restored(struct status *l, time_t now, bool *pending);

/* The document, caller frees; NULL without memory. Its shape is in qdrant-replicator(8). Each of its "sizes"
 * is a raw item, which is an array only once it is printed. */
struct cJSON *status_document(struct status *l, time_t now);
/* Its "health" alone: "status" is ok, degraded (somebody should look, /health is 200 all the same) or
 * failing. It costs little however many collections there are. */
struct cJSON *status_health(struct status *l, time_t now);
#endif
