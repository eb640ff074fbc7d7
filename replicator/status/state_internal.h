/* What the status holds, as plain data: status fills it in, status_document renders a copy of it,
 * status_health judges it. All of it is bounded: texts are cut, and there are as many folders as
 * STATUS_FOLDERS. For these three alone. */
#ifndef REPLICATOR_STATUS_STATE_INTERNAL_H
#define REPLICATOR_STATUS_STATE_INTERNAL_H
#include "replicator/status/state.h"
#include <limits.h>

enum {
    STATUS_FOLDERS = 10000,
    STATUS_SIZES = 96,         /* a day of quarters */
    STATUS_PUBLICATIONS = 100, /* as many values as EMF takes for one metric */
    STATUS_TEXT = 512,
    STATUS_DOUBTS = 64,          /* the first ones; the rest is counted */
    STATUS_SILENT_SECONDS = 120, /* a job without a sign of life for so long: EFS hangs ... */
    STATUS_SLOW_BYTES =
        20 << 20, /* ... and one that never gives any may take a second more for so many bytes */
    STATUS_FUTURE_SECONDS = 60, /* a backup that was taken further ahead than this says nothing of its age */
};

struct status_size {
    time_t slot;
    uint64_t size, stored;
};
struct status_backup { /* the newest; `taken` 0: none. After a restart the tiers may know of a newer one. */
    char snapshot[256];
    enum frequency frequency;
    time_t slot, taken;
    uint64_t size, stored;
};
struct status_folder {
    enum kind kind;
    char collection[256], shard[16];
    bool wanted;
    time_t wanted_since;
    struct status_tier frequency[FREQUENCY_COUNT];
    struct status_backup newest;
    struct status_size size[STATUS_SIZES]; /* by slot, oldest first */
    unsigned sizes;
    unsigned held; /* so many are not on EFS, and no more are made; 0: that is not so */
    time_t failed; /* the last snapshot that did, 0: none */
    char failure[STATUS_TEXT];
    time_t drill_failed; /* 0: the last drill, if any, was good */
};
struct status_publication {
    enum kind kind;
    enum frequency frequency;
    char collection[256], shard[16], snapshot[256];
    time_t when;
    uint64_t size, stored;
    double delay;
};
struct status_job {
    char what[STATUS_TEXT];    /* empty: none */
    time_t begun, last_signed; /* of life */
    bool signs;                /* whether it gave any since it began */
};
struct status_upload { /* to S3; `when` 0: none */
    time_t when;
    char collection[256], snapshot[256], why[STATUS_TEXT];
    uint64_t stored;
};
struct status_doubt_of {
    enum status_doubt what;
    char key[300], collection[256], why[STATUS_TEXT];
    time_t since;
};
struct status_sum {
    unsigned long long published, bytes, stored;
    double seconds;
};
struct status_state {
    char base[PATH_MAX], node[128], task_arn[256], zone[64], family[256];
    unsigned rpo_seconds, interval, offset;
    struct retention retention;
    bool has_s3;
    bool full; /* FULL_SNAPSHOT */
    enum frequency full_tier;
    struct {
        size_t wanted, total; /* of Qdrant's collections */
        char patterns[STATUS_TEXT], missing[256];
    } chosen;
    time_t started;

    struct status_folder **folder; /* sorted, storage and then collections by name */
    size_t folders;
    unsigned long long untracked; /* times that there was no room for one */
    time_t first_listed;          /* when it was first told what collections there are, 0: not yet */

    char qdrant_url[STATUS_TEXT], qdrant_version[64];
    bool reachable, recovery_mode;
    time_t qdrant_checked; /* 0: never */

    bool usable;
    char efs_why[STATUS_TEXT];
    time_t efs_checked;      /* 0: never */
    bool local_known, local; /* EFS_ROOT is on the task's own disk */
    struct status_job job[STATUS_WORKERS];

    struct status_run running, last; /* `begun` 0: none */
    time_t next;
    struct status_queue queue;

    /* Since the start. */
    struct counts counts;
    struct status_run runs; /* sums */
    unsigned long long run_count, slots_missed, snapshot_failures, s3_uploaded, s3_failed, drills,
        drills_failed;
    struct status_sum sum[FREQUENCY_COUNT];
    struct status_publication
        publication[STATUS_PUBLICATIONS]; /* a ring, the last one before `publications` */
    unsigned long long publications;

    struct {
        bool known;
        uint64_t left, floor;
        unsigned unpublished;
    } disk;
    time_t heartbeat;        /* when the last one was written; 0: none */
    time_t heartbeat_failed; /* since when EFS takes none; 0: it took the last one */
    char heartbeat_why[STATUS_TEXT];
    struct status_upload s3_good, s3_bad; /* the last of each */
    bool s3_failing;
    struct {
        time_t when; /* 0: none */
        char collection[256], snapshot[256], why[STATUS_TEXT];
        double seconds;
        bool ok;
    } drill;
    time_t drill_next;                           /* 0: none is due ever, or it is not known */
    struct status_doubt_of doubt[STATUS_DOUBTS]; /* in the order they came */
    unsigned doubts;
    unsigned long long doubts_untold; /* times that there was no room for one */
    struct {
        char consensus[STATUS_TEXT], peers[STATUS_TEXT];
        bool leaderless;
        unsigned unreachable;
    } cluster;
    struct {
        enum status_heal what;
        char text[STATUS_TEXT * 2];
    } heal;
    struct {
        enum status_restoring state;
        time_t since; /* of this state */
        time_t works; /* the last sign of life */
        unsigned done, total;
        char reason[STATUS_TEXT];
    } restore;
};

/* A copy that nobody else sees, to be rendered without the mutex; NULL without memory. */
struct status_state *status_copy(struct status *l);
void status_copy_free(struct status_state *s);
#define cleanup_status_copy __attribute__((cleanup(cleanup_status_copyp)))
static inline void cleanup_status_copyp(struct status_state **s) { status_copy_free(*s); }

/* Sets *out to the newest good backup of a folder, or of those of one tier and higher ones with `from`.
 * False: there is none, or all lie in the future. */
bool status_newest_of(const struct status_folder *f, enum frequency from, time_t now,
                      struct status_backup *out);
/* How old the newest backup of a tier, or of a higher one, may be. A snapshot goes to the highest tier whose
 * period has none yet: so this is the length of a period and what may pass until a period's first backup:
 * RPO_SECONDS, and at least an hour for hourly, two for daily, two days for monthly. 15min: RPO_SECONDS. */
time_t status_objective(const struct status_state *s, enum frequency t);
/* Since when a wanted collection's recovery point ages: since its newest backup was taken; since it is
 * wanted, when there is none, or when it turned up in mid-run: a collection made anew may have old backups.
 */
time_t status_ages_since(const struct status_state *s, const struct status_folder *f, time_t now);
/* Wanted, and that is longer ago than RPO_SECONDS. */
bool status_late(const struct status_state *s, const struct status_folder *f, time_t now);
/* For how long a job shows no sign of life; whether that is too long, for one and for any: two minutes, and
 * for a job that never gave one what the largest backup known may take. */
time_t status_silence(const struct status_job *j, time_t now);
bool status_job_hangs(const struct status_state *s, const struct status_job *j, time_t now);
bool status_hangs(const struct status_state *s, time_t now);
/* Is a restore at boot neither done nor superfluous? */
bool status_restore_pending(const struct status_state *s);
/* Is it under way, and was there a sign of life of late? */
bool status_restore_works_on(const struct status_state *s, time_t now);
/* Its state in a word: never, waiting, restoring, failed, done, not_needed. */
const char *status_restore_text(enum status_restoring state);
/* {"status","reasons"}; NULL without memory. */
struct cJSON *status_judge(const struct status_state *s, time_t now);
#endif
