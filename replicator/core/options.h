/* What the replicator alone is told: the schedule, what to report where, and the second target. */
#ifndef REPLICATOR_CORE_OPTIONS_H
#define REPLICATOR_CORE_OPTIONS_H
#include "common/config.h"
#include "efs/repo/frequency.h"
#include "replicator/core/drill_schedule.h"
#include "replicator/core/notify_url.h"
#include <limits.h>
#include <stdint.h>
#include <time.h>
/* HEAL */
enum heal {
    HEAL_OFF,
    HEAL_WITHOUT_BACKUPS, /* by the copies that other nodes have */
    HEAL_WITH_RESTORE,
};
struct options {
    unsigned interval, offset; /* SNAPSHOT_INTERVAL, SNAPSHOT_OFFSET in seconds; interval 0: no schedule */
    char collections[4096];    /* COLLECTIONS: patterns */
    unsigned parallel;         /* SNAPSHOT_PARALLEL */
    unsigned timeout;          /* SNAPSHOT_TIMEOUT in seconds */
    uint64_t min_free;         /* MIN_FREE in bytes */
    bool full;                 /* FULL_SNAPSHOT is not off: once in each period of ... */
    enum frequency full_tier;  /* ... this tier */
    unsigned rpo;              /* RPO_SECONDS */
    char status_listen[128];   /* STATUS_LISTEN; empty: off */
    char status_token[513];    /* what STATUS_TOKEN_FILE holds; empty: none */
    char status_hosts[1024];   /* STATUS_HOSTS: patterns; empty: none */
    char notify_url[NOTIFY_URL_MAX]; /* NOTIFY_URL: a secret; empty: none */
    char notify_url_file[PATH_MAX];  /* NOTIFY_URL_FILE: which holds it, and is read each time; empty: none */
    bool emf;                        /* CloudWatch metrics on stdout */
    char emf_namespace[256];         /* EMF_NAMESPACE */
    char s3_bucket[64];              /* SNAPSHOT_S3_BUCKET_NAME; empty: no second target */
    bool s3_deltas;                  /* SNAPSHOT_S3_DELTAS */
    char s3_class[32];               /* SNAPSHOT_S3_STORAGE_CLASS; empty: the bucket's */
    char s3_kms_key[2048]; /* SNAPSHOT_S3_KMS_KEY: a key id or ARN, "aws:kms" for AWS's own; empty: the
                              bucket's */
    char s3_lock_mode[16]; /* SNAPSHOT_S3_OBJECT_LOCK=GOVERNANCE:30d; empty: none */
    unsigned s3_lock_seconds;
    char s3_endpoint[512];        /* SNAPSHOT_S3_ENDPOINT */
    bool fingerprint;             /* FINGERPRINT: look at what a snapshot holds before and after it is made */
    struct drill_schedule drills; /* DRILL_SCHEDULE */
    unsigned grace;               /* STOP_GRACE_SECONDS; 0: a stop waits for no snapshot */
    bool on_stop;                 /* SNAPSHOT_ON_STOP: a stop makes snapshots of what was written last ... */
    bool restore;                 /* RESTORE_ON_EMPTY is not never ... */
    time_t restore_at;            /* ... the newest at that time or before; 0: the latest */
    char restore_setting[64];     /* as it was given */
    char restore_from[PATH_MAX];  /* RESTORE_FROM; empty: EFS_ROOT */
    bool restore_deleted;         /* RESTORE_DELETED=1: what was deleted on purpose comes back, too */
    bool restore_incomplete; /* RESTORE_INCOMPLETE=serve: let Qdrant in without what cannot be restored */
    char storage[PATH_MAX];  /* Qdrant's storage, QDRANT__STORAGE__STORAGE_PATH */
    char temp[PATH_MAX];     /* QDRANT__STORAGE__TEMP_PATH; empty: none */
    uint64_t wal_mib;        /* QDRANT__STORAGE__WAL__WAL_CAPACITY_MB */
    bool confine;            /* CONFINE is not off: the staging Qdrant opens what it needs */
    bool confine_self;       /* CONFINE_REPLICATOR, and CONFINE is not off: so do we (confinement.h) */
    enum heal heal;
    unsigned heal_after;       /* HEAL_AFTER in seconds */
    char qdrant_bin[PATH_MAX]; /* QDRANT_BIN, for the staging Qdrant of a restore */
};
extern const struct config_row option_rows[];
extern const size_t option_row_count;
/* Those that have no flag. */
extern const struct config_row alone_rows[];
extern const size_t alone_row_count;
int options_read(struct options *o, struct err *e);
/* Qdrant's storage folder alone. */
int options_storage(char out[PATH_MAX], struct err *e);

/* Does a list of patterns such as "docs*,!docs_tmp" mean `collection`? As fnmatch(3), separated by commas;
 * "!" in front excludes, and that wins. Nothing but exclusions means all others. */
bool options_wanted(const char *patterns, const char *collection);
/* The first of `patterns` that is a whole name, not excluded, and not among `names`: most likely mistyped.
 * False: there is none. */
bool options_missing(const char *patterns, const char *const *names, size_t n, char out[256]);
#endif
