/* What the ledger holds, as plain data: ledger fills it in, ledger_status renders a copy of it, ledger_health
 * judges it. All of it is bounded: texts are cut, and there are as many folders as LEDGER_FOLDERS. For these
 * three alone. */
#ifndef REPLICATOR_LEDGER_STATE_H
#define REPLICATOR_LEDGER_STATE_H
#include "replicator/ledger.h"
#include <limits.h>

enum {
    LEDGER_FOLDERS = 10000,
    LEDGER_SIZES = 96,         /* a day of quarters */
    LEDGER_PUBLICATIONS = 100, /* as many values as EMF takes for one metric */
    LEDGER_TEXT = 512,
    LEDGER_SILENT_SECONDS = 120, /* a job without a sign of life for so long: EFS hangs ... */
    LEDGER_SLOW_BYTES =
        20 << 20, /* ... and one that never gives any may take a second more for so many bytes */
    LEDGER_FUTURE_SECONDS = 60, /* a backup that was taken further ahead than this says nothing of its age */
};

struct ledger_size {
    time_t slot;
    uint64_t size, stored;
};
struct ledger_backup { /* the newest; `taken` 0: none. After a restart the tiers may know of a newer one. */
    char snapshot[256];
    enum tier tier;
    time_t slot, taken;
    uint64_t size, stored;
};
struct ledger_folder {
    enum kind kind;
    char collection[256], shard[16];
    bool wanted;
    time_t wanted_since;
    struct ledger_tier tier[TIER_COUNT];
    struct ledger_backup newest;
    struct ledger_size size[LEDGER_SIZES]; /* by slot, oldest first */
    unsigned sizes;
    time_t failed; /* the last snapshot that did, 0: none */
    char failure[LEDGER_TEXT];
    time_t drill_failed; /* 0: the last drill, if any, was good */
};
struct ledger_publication {
    enum kind kind;
    enum tier tier;
    char collection[256], shard[16], snapshot[256];
    time_t when;
    uint64_t size, stored;
    double delay;
};
struct ledger_job {
    char what[LEDGER_TEXT];    /* empty: none */
    time_t begun, last_signed; /* of life */
    bool signs;                /* whether it gave any since it began */
};
struct ledger_upload { /* to S3; `when` 0: none */
    time_t when;
    char collection[256], snapshot[256], why[LEDGER_TEXT];
    uint64_t stored;
};
struct ledger_sum {
    unsigned long long published, bytes, stored;
    double seconds;
};
struct ledger_state {
    char base[PATH_MAX], node[128], task_arn[256], zone[64], family[256];
    unsigned rpo_seconds, interval, offset;
    struct retention retention;
    bool has_s3;
    time_t started;

    struct ledger_folder **folder; /* sorted, storage and then collections by name */
    size_t folders;
    unsigned long long untracked; /* times that there was no room for one */
    time_t first_listed;          /* when it was first told what collections there are, 0: not yet */

    char qdrant_url[LEDGER_TEXT], qdrant_version[64];
    bool reachable, recovery_mode;
    time_t qdrant_checked; /* 0: never */

    bool usable;
    char efs_why[LEDGER_TEXT];
    time_t efs_checked; /* 0: never */
    struct ledger_job job[LEDGER_WORKERS];

    struct ledger_run running, last; /* `begun` 0: none */
    time_t next;
    struct ledger_queue queue;

    /* Since the start. */
    struct counts counts;
    struct ledger_run runs; /* sums */
    unsigned long long run_count, slots_missed, snapshot_failures, s3_uploaded, s3_failed, drills,
        drills_failed;
    struct ledger_sum sum[TIER_COUNT];
    struct ledger_publication
        publication[LEDGER_PUBLICATIONS]; /* a ring, the last one before `publications` */
    unsigned long long publications;

    time_t heartbeat;                     /* when the last one was written; 0: none */
    struct ledger_upload s3_good, s3_bad; /* the last of each */
    bool s3_failing;
    struct {
        time_t when; /* 0: none */
        char collection[256], snapshot[256], why[LEDGER_TEXT];
        double seconds;
        bool ok;
    } drill;
    struct {
        enum ledger_restoring state;
        time_t since; /* of this state */
        unsigned done, total;
        char reason[LEDGER_TEXT];
    } restore;
};

/* A copy that nobody else sees, to be rendered without the mutex; NULL without memory. */
struct ledger_state *ledger_copy(struct ledger *l);
void ledger_copy_free(struct ledger_state *s);
#define cleanup_ledger_copy __attribute__((cleanup(cleanup_ledger_copyp)))
static inline void cleanup_ledger_copyp(struct ledger_state **s) { ledger_copy_free(*s); }

/* Sets *out to the newest good backup of a folder, or of those of one tier and higher ones with `from`.
 * False: there is none, or all lie in the future. */
bool ledger_newest_of(const struct ledger_folder *f, enum tier from, time_t now, struct ledger_backup *out);
/* How old the newest backup of a tier, or of a higher one, may be. A snapshot goes to the highest tier whose
 * period has none yet: so this is the length of a period and what may pass until a period's first backup:
 * RPO_SECONDS, and at least an hour for hourly, two for daily, two days for monthly. 15min: RPO_SECONDS. */
time_t ledger_objective(const struct ledger_state *s, enum tier t);
/* Since when a wanted collection's recovery point ages: since its newest backup was taken; since it is
 * wanted, when there is none, or when it turned up in mid-run: a collection made anew may have old backups.
 */
time_t ledger_ages_since(const struct ledger_state *s, const struct ledger_folder *f, time_t now);
/* Wanted, and that is longer ago than RPO_SECONDS. */
bool ledger_late(const struct ledger_state *s, const struct ledger_folder *f, time_t now);
/* For how long a job shows no sign of life; whether that is too long, for one and for any: two minutes, and
 * for a job that never gave one what the largest backup known may take. */
time_t ledger_silence(const struct ledger_job *j, time_t now);
bool ledger_job_hangs(const struct ledger_state *s, const struct ledger_job *j, time_t now);
bool ledger_hangs(const struct ledger_state *s, time_t now);
/* Is a restore at boot neither done nor superfluous? */
bool ledger_restore_pending(const struct ledger_state *s);
/* Its state in a word: never, waiting, restoring, failed, done, not_needed. */
const char *ledger_restore_text(enum ledger_restoring state);
/* {"status","reasons"}; NULL without memory. */
struct cJSON *ledger_judge(const struct ledger_state *s, time_t now);
#endif
