#include "replicator/options.h"
#include "efs/restore.h"
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { DAY = 86400 };

const struct config_row option_rows[] = {
    {"SNAPSHOT_INTERVAL", "have snapshots made this often, on the UTC clock; 0: never", "15m", false},
    {"SNAPSHOT_OFFSET", "shift the schedule by this, so that nodes do not start together", "0", false},
    {"COLLECTIONS", "which collections: patterns, separated by commas; ! in front excludes", "*", false},
    {"SNAPSHOT_PARALLEL", "snapshots made at once", "1", false},
    {"SNAPSHOT_TIMEOUT", "wait for one snapshot at most this long", "1h", false},
    {"MIN_FREE", "make no snapshot that would leave less of the local disk free", "1g", false},
    {"FULL_SNAPSHOT", "a snapshot of the whole storage once in each: off, hourly, daily or monthly", "off",
     false},
    {"RPO_SECONDS", "recovery point objective: the newest backup may be this old", "1800", false},
    {"STATUS_LISTEN", "address of the status page, /status, /metrics and /health; off", "127.0.0.1:6336",
     false},
    {"EMF", "CloudWatch metrics on stdout: on, off, or auto for on ECS alone", "auto", false},
    {"EMF_NAMESPACE", "their namespace", "Qdrant/Backups", false},
    {"SNAPSHOT_S3_BUCKET_NAME", "copy each published snapshot to this bucket, too", "", false},
    {"SNAPSHOT_S3_STORAGE_CLASS", "such as STANDARD_IA or GLACIER_IR", "the bucket's", false},
    {"SNAPSHOT_S3_KMS_KEY", "id or ARN of a KMS key; aws:kms for AWS's own", "the bucket's", false},
    {"SNAPSHOT_S3_OBJECT_LOCK", "such as GOVERNANCE:30d or COMPLIANCE:1d", "the bucket's", false},
    {"SNAPSHOT_S3_ENDPOINT", "another S3 service", "AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, else AWS", false},
    {"FINGERPRINT", "look at what a snapshot holds before and after it is made: on or off", "on", false},
    {"RESTORE_ON_EMPTY",
     "restore an empty disk at start: never, latest, or a time such as 2026-11-24T08:00Z or 2h", "never",
     false},
    {"RESTORE_FROM", "from another root than EFS_ROOT, such as the replica; or from that tree", "EFS_ROOT",
     false},
    {"DRILL_SCHEDULE", "prove by a restore: never, hourly, daily, weekly, or daily@03:30 (UTC)", "daily",
     false},
};
const size_t option_row_count = sizeof option_rows / sizeof *option_rows;

static int schedule(struct options *o, struct err *e)
{
    static const char *const full[] = {"off", "hourly", "daily", "monthly", NULL};
    unsigned n = 0;
    long parallel = 1;
    if (config_seconds("SNAPSHOT_INTERVAL", "15m", 0, DAY, &o->interval, e) != 0)
        return -1;
    if (o->interval > 0 && DAY % o->interval != 0)
        return config_wrong(e, "SNAPSHOT_INTERVAL", config_env("SNAPSHOT_INTERVAL", ""),
                            "a time that divides a day, such as 5m, 15m, 1h or 6h");
    if (config_seconds("SNAPSHOT_OFFSET", "0", 0, o->interval > 0 ? o->interval - 1 : DAY, &o->offset, e) !=
            0 ||
        config_number("SNAPSHOT_PARALLEL", "1", 1, 16, &parallel, e) != 0 ||
        config_seconds("SNAPSHOT_TIMEOUT", "1h", 1, DAY, &o->timeout, e) != 0 ||
        config_bytes("MIN_FREE", "1g", &o->min_free, e) != 0 ||
        config_choice("FULL_SNAPSHOT", "off", full, &n, e) != 0 ||
        config_text(o->collections, sizeof o->collections, "COLLECTIONS", config_env("COLLECTIONS", "*"),
                    e) != 0)
        return -1;
    o->parallel = (unsigned)parallel;
    o->full = n > 0;
    o->full_tier = (enum tier)(TIER_15MIN + n); /* the words are in the order of the tiers */
    return 0;
}

static int reports(struct options *o, struct err *e)
{
    static const char *const when[] = {"auto", "on", "off", NULL};
    unsigned n = 0;
    long rpo = 0;
    const char *listen = config_env("STATUS_LISTEN", "127.0.0.1:6336");
    if (config_number("RPO_SECONDS", "1800", 1, 366L * DAY, &rpo, e) != 0 ||
        config_choice("EMF", "auto", when, &n, e) != 0 ||
        config_text(o->emf_namespace, sizeof o->emf_namespace, "EMF_NAMESPACE",
                    config_env("EMF_NAMESPACE", "Qdrant/Backups"), e) != 0 ||
        config_text(o->status_listen, sizeof o->status_listen, "STATUS_LISTEN",
                    strcmp(listen, "off") == 0 ? "" : listen, e) != 0)
        return -1;
    if (strlen(o->emf_namespace) !=
        strspn(o->emf_namespace, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_/#:"))
        return config_wrong(e, "EMF_NAMESPACE", o->emf_namespace, "letters, digits and . - _ / # :");
    o->rpo = (unsigned)rpo;
    o->emf = n == 1 || (n == 0 && *config_env("ECS_CONTAINER_METADATA_URI_V4", ""));
    return 0;
}

static int object_lock(struct options *o, struct err *e)
{
    static const char allowed[] = "GOVERNANCE or COMPLIANCE, a colon, and a time such as 30d";
    const char *v = config_env("SNAPSHOT_S3_OBJECT_LOCK", ""), *colon = strchr(v, ':');
    char *end = NULL;
    if (!*v)
        return 0;
    size_t n = colon ? (size_t)(colon - v) : 0;
    if ((n != 10) || (strncmp(v, "GOVERNANCE", n) != 0 && strncmp(v, "COMPLIANCE", n) != 0))
        return config_wrong(e, "SNAPSHOT_S3_OBJECT_LOCK", v, allowed);
    unsigned long days = colon[1] >= '1' && colon[1] <= '9' ? strtoul(colon + 1, &end, 10) : 0UL;
    if (days < 1 || days > 36500 || strcmp(end, "d") != 0)
        return config_wrong(e, "SNAPSHOT_S3_OBJECT_LOCK", v, allowed);
    (void)snprintf(o->s3_lock_mode, sizeof o->s3_lock_mode, "%.*s", (int)n, v);
    o->s3_lock_seconds = (unsigned)(days * DAY);
    return 0;
}

static int second_target(struct options *o, struct err *e)
{
    const char *endpoint = config_env("SNAPSHOT_S3_ENDPOINT",
                                      config_env("AWS_ENDPOINT_URL_S3", config_env("AWS_ENDPOINT_URL", "")));
    if (config_text(o->s3_bucket, sizeof o->s3_bucket, "SNAPSHOT_S3_BUCKET_NAME",
                    config_env("SNAPSHOT_S3_BUCKET_NAME", ""), e) != 0 ||
        config_text(o->s3_class, sizeof o->s3_class, "SNAPSHOT_S3_STORAGE_CLASS",
                    config_env("SNAPSHOT_S3_STORAGE_CLASS", ""), e) != 0 ||
        config_text(o->s3_kms_key, sizeof o->s3_kms_key, "SNAPSHOT_S3_KMS_KEY",
                    config_env("SNAPSHOT_S3_KMS_KEY", ""), e) != 0 ||
        config_text(o->s3_endpoint, sizeof o->s3_endpoint, "SNAPSHOT_S3_ENDPOINT", endpoint, e) != 0 ||
        object_lock(o, e) != 0)
        return -1;
    if (o->s3_bucket[0] &&
        (strlen(o->s3_bucket) < 3 ||
         strspn(o->s3_bucket, "abcdefghijklmnopqrstuvwxyz0123456789.-") != strlen(o->s3_bucket)))
        return config_wrong(e, "SNAPSHOT_S3_BUCKET_NAME", o->s3_bucket,
                            "a bucket's name: 3 to 63 small letters, digits, '.' and '-'");
    if (strspn(o->s3_class, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") != strlen(o->s3_class))
        return config_wrong(e, "SNAPSHOT_S3_STORAGE_CLASS", o->s3_class, "a class such as STANDARD_IA");
    if (strpbrk(o->s3_kms_key, " \t\r\n"))
        return config_wrong(e, "SNAPSHOT_S3_KMS_KEY", o->s3_kms_key, "a key's id or ARN, or aws:kms");
    if (o->s3_endpoint[0] && strncmp(o->s3_endpoint, "http://", 7) != 0 &&
        strncmp(o->s3_endpoint, "https://", 8) != 0)
        return config_wrong(e, "SNAPSHOT_S3_ENDPOINT", o->s3_endpoint, "an http:// or https:// address");
    return 0;
}

static int proof(struct options *o, struct err *e)
{
    static const char *const when[] = {"on", "off", NULL};
    unsigned n = 0;
    const char *plan = config_env("DRILL_SCHEDULE", "daily");
    if (config_choice("FINGERPRINT", "on", when, &n, e) != 0)
        return -1;
    o->fingerprint = n == 0;
    return drill_plan_parse(plan, &o->drills)
               ? 0
               : config_wrong(e, "DRILL_SCHEDULE", plan,
                              "never, hourly, daily, weekly, or a time of day (UTC) such as daily@03:30");
}

static int at_boot(struct options *o, struct err *e)
{
    const char *when = config_env("RESTORE_ON_EMPTY", "never");
    if (config_text(o->restore_setting, sizeof o->restore_setting, "RESTORE_ON_EMPTY", when, e) != 0 ||
        config_path(o->restore_from, sizeof o->restore_from, "RESTORE_FROM", config_env("RESTORE_FROM", ""),
                    e) != 0)
        return -1;
    o->restore = strcmp(when, "never") != 0;
    if (!o->restore || strcmp(when, "latest") == 0 || restore_when(when, time(NULL), &o->restore_at))
        return 0;
    return config_wrong(e, "RESTORE_ON_EMPTY", when,
                        "never, latest, a time (UTC) such as 2026-11-24T08:00Z, or an age such as 2h");
}

int options_read(struct options *o, struct err *e)
{
    memset(o, 0, sizeof *o);
    return at_boot(o, e) || proof(o, e) || schedule(o, e) || reports(o, e) || second_target(o, e) ? -1 : 0;
}

bool options_wanted(const char *patterns, const char *collection)
{
    bool any = false, wanted = false;
    for (const char *p = patterns; *p;) {
        char pattern[512];
        size_t n = strcspn(p, ",");
        const char *from = p + strspn(p, " ");
        bool out = *from == '!';
        size_t skip = out ? 1 : 0;
        size_t length = n > (size_t)(from - p) ? n - (size_t)(from - p) : 0;
        while (length > 0 && from[length - 1] == ' ')
            length--;
        (void)snprintf(pattern, sizeof pattern, "%.*s", (int)(length > skip ? length - skip : 0),
                       from + skip);
        p += n + (p[n] == ',');
        if (!*pattern)
            continue;
        any = any || !out;
        bool match = fnmatch(pattern, collection, 0) == 0;
        if (match && out)
            return false;
        wanted = wanted || match;
    }
    return wanted || !any;
}
