#include "replicator/status/prometheus.h"
#include "common/json.h"
#include "efs/repo/frequency.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PATH_STEPS = 3 };

/* What one number of the document is called here. A member that is null or not there has no sample: 0 would
 * be a claim. Booleans are 0 and 1, texts are times. */
struct metric {
    const char *name, *type, *help;
    const char *path[PATH_STEPS + 1];
};

#define GAUGE "gauge"
#define COUNTER "counter"
static const struct metric scalars[] = {
    {"start_time_seconds", GAUGE, "When the replicator started, Unix time.", {"started"}},
    {"rpo_seconds", GAUGE, "RPO_SECONDS: how old the newest backup of a collection may be.", {"rpo_seconds"}},
    {"efs_usable", GAUGE, "1 if EFS was there and writable at the last look.", {"efs", "usable"}},
    {"efs_local", GAUGE, "1 if EFS_ROOT is on the task's own disk: EFS is not mounted.", {"efs", "local"}},
    {"efs_hangs", GAUGE, "1 if a job on EFS shows no sign of life.", {"efs", "hangs"}},
    {"qdrant_reachable", GAUGE, "1 if Qdrant answered the last time.", {"qdrant", "reachable"}},
    {"qdrant_recovery_mode", GAUGE, "1 if Qdrant runs in recovery mode.", {"qdrant", "recovery_mode"}},
    {"schedule_interval_seconds",
     GAUGE,
     "Between two runs; 0 without a schedule.",
     {"schedule", "interval_seconds"}},
    {"next_run_timestamp_seconds", GAUGE, "When the next run is due, Unix time.", {"schedule", "next"}},
    {"last_run_timestamp_seconds",
     GAUGE,
     "When the last run ended, Unix time.",
     {"schedule", "last", "ended"}},
    {"last_run_snapshots_made", GAUGE, "Snapshots that the last run made.", {"schedule", "last", "made"}},
    {"last_run_snapshots_failed",
     GAUGE,
     "Snapshots that failed in the last run.",
     {"schedule", "last", "failed"}},
    {"last_run_snapshots_skipped",
     GAUGE,
     "Collections that the last run left out.",
     {"schedule", "last", "skipped"}},
    {"disk_free_bytes", GAUGE, "Free where Qdrant's snapshots are.", {"disk", "free_bytes"}},
    {"disk_floor_bytes", GAUGE, "What stays free there for Qdrant.", {"disk", "floor_bytes"}},
    {"disk_unpublished", GAUGE, "Finished snapshots there that are not on EFS.", {"disk", "unpublished"}},
    {"disk_held",
     GAUGE,
     "Collections of which no more snapshots are made, since EFS takes none.",
     {"disk", "held"}},
    {"queue_oldest_seconds", GAUGE, "Age of the oldest snapshot in a queue.", {"queue", "oldest_seconds"}},
    {"publish_failing",
     GAUGE,
     "Snapshots in a queue whose last try to be published failed.",
     {"queue", "failing"}},
    {"published_total", COUNTER, "Backups published on EFS.", {"counts", "published"}},
    {"published_bytes_total", COUNTER, "Their bytes before compression.", {"counts", "bytes"}},
    {"stored_bytes_total", COUNTER, "Their bytes on EFS.", {"counts", "stored"}},
    {"already_there_total", COUNTER, "Snapshots found to be on EFS already.", {"counts", "same"}},
    {"expired_total",
     COUNTER,
     "Snapshots not copied since retention would let them go at once.",
     {"counts", "expired"}},
    {"vanished_total", COUNTER, "Snapshots that went away before they were copied.", {"counts", "vanished"}},
    {"mismatches_total",
     COUNTER,
     "Snapshots whose bytes differ from Qdrant's checksum.",
     {"counts", "mismatch"}},
    {"conflicts_total", COUNTER, "Snapshots for whose name EFS has something else.", {"counts", "conflict"}},
    {"refused_total", COUNTER, "Snapshots that are no backup of their collection.", {"counts", "refused"}},
    {"publish_failures_total", COUNTER, "Attempts to publish that EFS refused.", {"counts", "failed"}},
    {"pruned_total", COUNTER, "Backups that retention let go.", {"counts", "pruned"}},
    {"local_deletions_total",
     COUNTER,
     "Published snapshots deleted from the local disk.",
     {"counts", "deleted"}},
    {"runs_total", COUNTER, "Runs of the schedule.", {"counts", "runs"}},
    {"slots_missed_total",
     COUNTER,
     "Slots of the schedule that went by without a run.",
     {"counts", "slots_missed"}},
    {"snapshots_made_total", COUNTER, "Snapshots made on schedule.", {"counts", "snapshots_made"}},
    {"snapshot_failures_total",
     COUNTER,
     "Snapshots that Qdrant failed to make.",
     {"counts", "snapshots_failed"}},
    {"snapshots_skipped_total",
     COUNTER,
     "Collections left out by runs of the schedule.",
     {"counts", "snapshots_skipped"}},
    {"snapshot_bytes_total",
     COUNTER,
     "Bytes of the snapshots made on schedule.",
     {"counts", "snapshot_bytes"}},
    {"s3_ok", GAUGE, "1 if the last upload to S3 was good.", {"s3", "ok"}},
    {"s3_last_upload_timestamp_seconds",
     GAUGE,
     "When the last good upload ended, Unix time.",
     {"s3", "last", "time"}},
    {"s3_uploads_total", COUNTER, "Good uploads to S3.", {"counts", "s3_uploaded"}},
    {"s3_failures_total", COUNTER, "Failed uploads to S3.", {"counts", "s3_failed"}},
    {"heartbeat_timestamp_seconds",
     GAUGE,
     "When the last heartbeat was written on EFS for the second Region, Unix time.",
     {"heartbeat", "time"}},
    {"restore_pending", GAUGE, "1 while an empty disk is not restored.", {"restore", "pending"}},
    {"restore_collections", GAUGE, "Collections of that restore.", {"restore", "total"}},
    {"restore_collections_done", GAUGE, "Of these, dealt with.", {"restore", "done"}},
    {"drill_ok", GAUGE, "1 if the last restore drill was good.", {"drill", "ok"}},
    {"drill_timestamp_seconds", GAUGE, "When the last restore drill ended, Unix time.", {"drill", "time"}},
    {"drill_duration_seconds", GAUGE, "How long it took.", {"drill", "seconds"}},
    {"drills_total", COUNTER, "Restore drills.", {"counts", "drills"}},
    {"drill_failures_total", COUNTER, "Restore drills that failed.", {"counts", "drills_failed"}},
};
/* Of each element of "backups". */
static const struct metric of_backup[] = {
    {"wanted", GAUGE, "1 if the collection is held to the objective.", {"wanted"}},
    {"late", GAUGE, "1 if the newest backup is older than the objective allows.", {"late"}},
    {"age_seconds", GAUGE, "Since the newest good backup was taken.", {"age_seconds"}},
    {"size_bytes", GAUGE, "Size of the newest backup before compression.", {"newest", "size"}},
    {"stored_size_bytes", GAUGE, "Size of the newest backup on EFS.", {"newest", "stored_size"}},
    {"compression_ratio", GAUGE, "Size of the newest backup over its size on EFS.", {"newest", "ratio"}},
    {"last_failure_timestamp_seconds",
     GAUGE,
     "When a snapshot failed last, Unix time.",
     {"last_failure", "time"}},
};
/* Of each of its "tiers". */
static const struct metric of_tier[] = {
    {"tier_age_seconds",
     GAUGE,
     "Since the newest good backup of this frequency or a higher one was taken.",
     {"age_seconds"}},
    {"tier_objective_seconds", GAUGE, "What that may be.", {"objective_seconds"}},
    {"tier_backups", GAUGE, "Good backups of this frequency.", {"count"}},
    {"tier_stored_bytes", GAUGE, "Their bytes on EFS.", {"stored_bytes"}},
};
/* Of each of "counts"."tiers". */
static const struct metric of_sum[] = {
    {"tier_published_total", COUNTER, "Backups published, by frequency.", {"published"}},
    {"tier_published_bytes_total", COUNTER, "Their bytes before compression.", {"bytes"}},
    {"tier_published_stored_bytes_total", COUNTER, "Their bytes on EFS.", {"stored"}},
    {"tier_publish_seconds_total",
     COUNTER,
     "Seconds from finished snapshots to their manifests.",
     {"seconds"}},
};
#define COUNT(a) (sizeof(a) / sizeof *(a))

static bool value_of(const cJSON *o, const char *const *path, double *out)
{
    time_t t;
    for (; *path; path++)
        o = json_member(o, *path);
    if (cJSON_IsNumber(o))
        *out = o->valuedouble;
    else if (cJSON_IsBool(o))
        *out = cJSON_IsTrue(o);
    else if (cJSON_IsString(o) && utc_parse(o->valuestring, &t))
        *out = (double)t;
    else
        return false;
    return true;
}

static void head(FILE *to, const struct metric *m)
{
    (void)fprintf(to, "# HELP qdrant_backup_%s %s\n# TYPE qdrant_backup_%s %s\n", m->name, m->help, m->name,
                  m->type);
}

static void label(FILE *to, const char *key, const char *value, bool first)
{
    (void)fprintf(to, "%s%s=\"", first ? "" : ",", key);
    for (; *value; value++)
        if (*value == '\n')
            (void)fputs("\\n", to);
        else
            (void)fprintf(to, "%s%c", *value == '"' || *value == '\\' ? "\\" : "", *value);
    (void)fputc('"', to);
}

static void sample(FILE *to, double v) { (void)fprintf(to, " %.15g\n", v); }

static void folder_labels(FILE *to, const cJSON *b)
{
    label(to, "collection", json_text(b, "collection"), true);
    label(to, "kind", json_text(b, "kind"), false);
    label(to, "shard", json_text(b, "shard"), false);
}

static void print_scalar(FILE *to, const cJSON *status, const struct metric *m)
{
    double v;
    if (!value_of(status, m->path, &v))
        return;
    head(to, m);
    (void)fprintf(to, "qdrant_backup_%s", m->name);
    sample(to, v);
}

static void print_backup(FILE *to, const cJSON *backups, const struct metric *m)
{
    const cJSON *b;
    double v;
    head(to, m);
    cJSON_ArrayForEach(b, backups)
    {
        if (!value_of(b, m->path, &v))
            continue;
        (void)fprintf(to, "qdrant_backup_%s{", m->name);
        folder_labels(to, b);
        (void)fputc('}', to);
        sample(to, v);
    }
}

/* `folder` NULL: not of one, but of all. */
static void print_frequencies(FILE *to, const cJSON *tiers, const cJSON *folder, const struct metric *m)
{
    double v;
    for (int t = 0; t < FREQUENCY_COUNT; t++) {
        if (!value_of(json_member(tiers, frequency_text((enum frequency)t)), m->path, &v))
            continue;
        (void)fprintf(to, "qdrant_backup_%s{", m->name);
        if (folder)
            folder_labels(to, folder);
        label(to, "frequency", frequency_text((enum frequency)t), !folder);
        (void)fputc('}', to);
        sample(to, v);
    }
}

static void print_folders(FILE *to, const cJSON *backups)
{
    const cJSON *b;
    for (size_t i = 0; i < COUNT(of_backup); i++)
        print_backup(to, backups, &of_backup[i]);
    for (size_t i = 0; i < COUNT(of_tier); i++) {
        head(to, &of_tier[i]);
        cJSON_ArrayForEach(b, backups) { print_frequencies(to, json_member(b, "tiers"), b, &of_tier[i]); }
    }
}

static void print_queue(FILE *to, const cJSON *queue)
{
    static const char *const names[] = {"waiting", "publishing", "s3"};
    static const struct metric m = {"queue_length", GAUGE, "Snapshots that wait, by what for.", {NULL}};
    head(to, &m);
    for (size_t i = 0; i < COUNT(names); i++) {
        const cJSON *n = json_member(queue, names[i]);
        (void)fprintf(to, "qdrant_backup_queue_length{queue=\"%s\"}", names[i]);
        sample(to, cJSON_IsNumber(n) ? n->valuedouble : 0);
    }
}

static void print_health(FILE *to, const cJSON *health)
{
    static const struct metric healthy = {"healthy", GAUGE, "1 if /health answers 200.", {NULL}};
    static const struct metric reasons = {
        "health_reasons", GAUGE, "What is wrong, by severity; /health names each.", {NULL}};
    unsigned failing = 0, warning = 0;
    const cJSON *r;
    cJSON_ArrayForEach(r, json_member(health, "reasons"))
    {
        bool bad = strcmp(json_text(r, "severity"), "failing") == 0;
        failing += bad;
        warning += !bad;
    }
    head(to, &healthy);
    (void)fprintf(to, "qdrant_backup_healthy %d\n",
                  strcmp(json_text(health, "status"), "ok") == 0 ||
                      strcmp(json_text(health, "status"), "degraded") == 0);
    head(to, &reasons);
    (void)fprintf(to, "qdrant_backup_health_reasons{severity=\"failing\"} %u\n", failing);
    (void)fprintf(to, "qdrant_backup_health_reasons{severity=\"warning\"} %u\n", warning);
}

static void print_build(FILE *to, const cJSON *status)
{
    static const struct metric m = {"build_info", GAUGE, "Always 1; the versions are labels.", {NULL}};
    head(to, &m);
    (void)fputs("qdrant_backup_build_info{", to);
    label(to, "version", json_text(status, "version"), true);
    label(to, "qdrant_version", json_text(json_member(status, "qdrant"), "version"), false);
    (void)fputs("} 1\n", to);
}

char *prometheus_write(const cJSON *status, size_t *size)
{
    char *text = NULL;
    const cJSON *sums = json_member(json_member(status, "counts"), "tiers");
    FILE *to = open_memstream(&text, size);
    if (!to)
        return NULL;
    print_build(to, status);
    print_health(to, json_member(status, "health"));
    for (size_t i = 0; i < COUNT(scalars); i++)
        print_scalar(to, status, &scalars[i]);
    print_queue(to, json_member(status, "queue"));
    print_folders(to, json_member(status, "backups"));
    for (size_t i = 0; i < COUNT(of_sum); i++) {
        head(to, &of_sum[i]);
        print_frequencies(to, sums, NULL, &of_sum[i]);
    }
    bool bad = ferror(to) != 0; /* without memory */
    if (fclose(to) == 0 && !bad)
        return text;
    free(text);
    return NULL;
}
