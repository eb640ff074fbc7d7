/* What operators want to know, kept in memory: filled in by whoever does the work, read by the scheduler and
 * rendered as the status document, the one source of /status, the status page, /metrics, /health and the EMF
 * lines. No call touches a file or waits for more than a mutex that is held for microseconds, so that an
 * answer never waits for EFS. Times are UTC; `now` is always given, so that tests can choose it. Thread-safe.
 */
#ifndef REPLICATOR_LEDGER_H
#define REPLICATOR_LEDGER_H
#include "efs/manifest.h"
#include "replicator/workers.h"

struct cJSON;
struct ledger;
struct ledger_options {
    const char *base; /* {EFS_ROOT}/{TIER}-{CPU_ARCH} */
    const char *node; /* NODE_NAME, may be empty */
    const char *qdrant_url;
    unsigned rpo_seconds;      /* the newest backup of a collection may be this old */
    unsigned interval, offset; /* of the schedule in seconds; interval 0: no schedule */
    const struct retention *retention;
    bool s3; /* is there a second target? */
};
struct ledger *ledger_new(const struct ledger_options *o, time_t now);
void ledger_free(struct ledger *l);

/* Where we run, from ECS; any may be NULL. May come late or never. */
void ledger_task(struct ledger *l, const char *task_arn, const char *zone, const char *family);

/* Backups. A folder is one of name_folder's: a collection, one of its shards, or full storage. */
struct ledger_tier { /* this node's good backups of one tier of one folder, as found on EFS */
    unsigned count;
    time_t newest_slot, newest_taken; /* 0: none */
    uint64_t stored_bytes;            /* of all */
};
void ledger_found(struct ledger *l, const struct source *folder, const struct ledger_tier tiers[TIER_COUNT]);
/* What the manifest of one that was found says, for the newest one's name and size and for the sizes of the
 * last day. Changes no tier; may come again. */
void ledger_found_backup(struct ledger *l, const struct manifest *m);
/* One more now. `delay`: seconds from the finished snapshot to its manifest. */
void ledger_published(struct ledger *l, const struct manifest *m, double delay, time_t now);
void ledger_pruned(struct ledger *l, const struct backup *b);
/* The collections that Qdrant has and that are to be backed up. Only these are held to the objective: one
 * that was deleted or excluded does not alarm for ever. A new one has rpo_seconds from now. */
void ledger_collections(struct ledger *l, const char *const *names, size_t n, time_t now);
/* When the newest known backup or snapshot of a collection was taken, 0 when none is known. */
time_t ledger_newest(struct ledger *l, const char *collection);
/* Is it held to the objective? 1 or 0; -1: it was not told yet what collections there are. */
int ledger_wanted(struct ledger *l, const char *collection);

/* The schedule's runs. */
struct ledger_run {
    time_t slot, begun, ended; /* `ended` 0 while it runs */
    unsigned collections, made, failed, skipped;
    uint64_t bytes; /* of the snapshots made */
};
void ledger_run(struct ledger *l, const struct ledger_run *r);
void ledger_next_run(struct ledger *l, time_t when); /* 0: none */
void ledger_slots_missed(struct ledger *l, unsigned n);
/* A snapshot of a collection failed, for the collection's own line. */
void ledger_snapshot_failed(struct ledger *l, const char *collection, const char *why, time_t now);

/* Health of what we depend on. */
void ledger_qdrant(struct ledger *l, bool reachable, bool recovery_mode, const char *version, time_t now);
void ledger_efs(struct ledger *l, bool usable, const char *why, time_t now);
/* A worker begins (`what` such as "publish docs-1-...") or ends (NULL) a job. The same again, while it works,
 * is its sign of life: give one for each chunk of a long job. A job without one for two minutes is how a hung
 * EFS shows. `worker` from 0. */
enum { LEDGER_WORKERS = 8 };
void ledger_busy(struct ledger *l, unsigned worker, const char *what, time_t now);
/* Snapshots that wait to be settled, to be published, to go to S3; how old the oldest of those is, in
 * seconds. */
struct ledger_queue {
    unsigned waiting, publishing, s3;
    double oldest;
};
void ledger_queue(struct ledger *l, const struct ledger_queue *q);
void ledger_s3_queue(struct ledger *l, unsigned n); /* backups that wait for S3; not ledger_queue's to set */
void ledger_counts(struct ledger *l, const struct counts *c);
/* An upload to S3 ended; `why` is NULL when it is there. */
void ledger_s3(struct ledger *l, const struct manifest *m, const char *why, time_t now);
/* The last proof that a restore works. `why` is NULL when it did. `collection` empty: it was of the
 * whole storage, or with `snapshot` empty ended before it could say. */
void ledger_drill(struct ledger *l, const char *collection, const char *snapshot, double seconds,
                  const char *why, time_t now);
/* A heartbeat is on EFS, for the second Region. */
void ledger_heartbeat(struct ledger *l, time_t written);
/* The restore of an empty disk at boot (RESTORE_ON_EMPTY): how far it is, in collections, and what it does or
 * waits for. Until it is done the node is not healthy. */
enum ledger_restoring {
    LEDGER_RESTORE_NEVER, /* not asked for */
    LEDGER_RESTORE_WAITING,
    LEDGER_RESTORING,
    LEDGER_RESTORE_FAILED,
    LEDGER_RESTORE_DONE,
    LEDGER_RESTORE_NOT_NEEDED,
};
void ledger_restore(struct ledger *l, enum ledger_restoring state, const char *reason, unsigned done,
                    unsigned total, time_t now);
/* {"state","done","total","reason"}; *pending: it is neither done nor superfluous. NULL without memory. */
struct cJSON *ledger_restored(struct ledger *l, bool *pending);

/* The document, caller frees; NULL without memory. Its shape is in qdrant-replicator(8). Each of its "sizes"
 * is a raw item, which is an array only once it is printed. */
struct cJSON *ledger_status(struct ledger *l, time_t now);
/* Its "health" alone, which costs little however many collections there are. */
struct cJSON *ledger_health(struct ledger *l, time_t now);
#endif
