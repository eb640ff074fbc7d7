#include "replicator/core/options.h"
#include "common/base/cleanup.h"
#include "common/base/files.h"
#include "common/base/storage_state.h"
#include "efs/restore/restore.h"
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { DAY = 86400 };
#define WAL_MIB "32" /* Qdrant's (1.18.2) */

const struct config_row option_rows[] = {
    {"SNAPSHOT_INTERVAL", "have snapshots made this often, on the UTC clock; 0: never", "15m", NULL, false},
    {"SNAPSHOT_OFFSET", "shift the schedule by this, so that nodes do not start together", "0", NULL, false},
    {"COLLECTIONS", "which collections: patterns, separated by commas; ! in front excludes", "*", NULL,
     false},
    {"SNAPSHOT_PARALLEL", "snapshots made at once", "1", NULL, false},
    {"SNAPSHOT_TIMEOUT", "wait for one snapshot at most this long", "1h", NULL, false},
    {"MIN_FREE", "of the local disk stays free for Qdrant, whatever snapshots and drills want", "1g", NULL,
     false},
    {"FULL_SNAPSHOT", "a snapshot of the whole storage once in each: off, hourly, daily or monthly", "off",
     NULL, false},
    {"RPO_SECONDS", "recovery point objective: the newest backup may be this old", "1800", NULL, false},
    {"STATUS_LISTEN", "address of the status page, /status, /metrics and /health; off", "127.0.0.1:6336",
     NULL, false},
    {"STATUS_TOKEN_FILE", "file with the token that asking from another machine takes", "",
     "none: everybody who reaches it may ask", false},
    {"STATUS_HOSTS", "more host names that the status page answers to: patterns, separated by commas", "",
     NULL, false},
    {"NOTIFY_URL", "tell this address of each good run, and with /fail behind it of failures", "",
     "nobody is told", true},
    {"NOTIFY_URL_FILE", "file that holds it", "", "none is read", false},
    {"EMF", "CloudWatch metrics on stdout: on, off, or auto for on ECS alone", "auto", NULL, false},
    {"EMF_NAMESPACE", "their namespace", "Qdrant/Backups", NULL, false},
    {"SNAPSHOT_S3_BUCKET_NAME", "copy each published snapshot to this bucket, too", "", NULL, false},
    {"SNAPSHOT_S3_DELTAS", "1: copy there what EFS has as a delta, too, each one whole", "0", NULL, false},
    {"SNAPSHOT_S3_STORAGE_CLASS", "such as STANDARD_IA or GLACIER_IR", "", "the bucket's", false},
    {"SNAPSHOT_S3_KMS_KEY", "id or ARN of a KMS key; aws:kms for AWS's own", "", "the bucket's", false},
    {"SNAPSHOT_S3_OBJECT_LOCK", "such as GOVERNANCE:30d or COMPLIANCE:1d", "", "the bucket's", false},
    {"SNAPSHOT_S3_ENDPOINT", "another S3 service", "", "AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, else AWS",
     false},
    {"FINGERPRINT", "look at what a snapshot holds before and after it is made: on or off", "on", NULL,
     false},
    {"RESTORE_ON_EMPTY",
     "restore an empty disk at start: never, latest, or a time such as 2026-11-24T08:00Z or 2h", "never",
     NULL, false},
    {"RESTORE_FROM", "from this root as well as from EFS_ROOT, such as the replica; or from that tree", "",
     NULL, false},
    {"RESTORE_INCOMPLETE",
     "when a collection cannot be restored: wait (Qdrant is not started), or serve without it", "wait", NULL,
     false},
    {"RESTORE_DELETED", "1: restore collections, too, that were deleted on purpose", "0", NULL, false},
    {"HEAL",
     "of a cluster: fill the place of a node that came back without its disk: off, replicate (by copies of "
     "other "
     "nodes), or restore (from backups, too)",
     "off", NULL, false},
    {"HEAL_AFTER", "once its old peer has been silent, or the members the same, for so long", "2m", NULL,
     false},
    {"CONFINE_REPLICATOR", "off: the replicator may open what its user may; on: what it needs", "off", NULL,
     false},
    {"DRILL_SCHEDULE",
     "prove by a restore: never, hourly, daily, weekly; or daily@03:30, weekly@03:30, hourly@:05 (UTC)",
     "daily", NULL, false},
    {"SNAPSHOT_ON_STOP",
     "at a stop, snapshot what was written since the last ones before Qdrant ends: on, off, or auto for on "
     "ECS alone",
     "auto", NULL, false},
    {"STOP_GRACE_SECONDS", "a stop may take this long, to publish what is finished; 0: at once", "0",
     "the entrypoint's, else 0", false},
};
const size_t option_row_count = sizeof option_rows / sizeof *option_rows;

/* What the drill's own process reads of our environment, and the restore of an empty disk. */
const struct config_row alone_rows[] = {
    {"QDRANT_BIN", "Qdrant's program, for drills and the restore of an empty disk", "/qdrant/qdrant", NULL,
     false},
    {"CONFINE", "off: the Qdrant of a drill or a restore may open what its user may", "second", NULL, false},
    {"DRILL_DIR", "scratch folder, on a local disk", "", "qdrant-drill beside SNAPSHOTS_DIR, else in TMPDIR",
     false},
    {"QDRANT_CLUSTER_DNS", "for cluster-start: names or addresses of the cluster's nodes", "", NULL, false},
    {"QDRANT_CLUSTER_FOUND", "for cluster-start: an operator's word to found a cluster anew, obeyed once", "",
     NULL, false},
    {"DRILL_TIMEOUT", "how long a drill of one backup may take", "1h", NULL, false},
};
const size_t alone_row_count = sizeof alone_rows / sizeof *alone_rows;

static const char *standard(const char *name) { return config_standard(option_rows, option_row_count, name); }

static int schedule(struct options *o, struct err *e)
{
    static const char *const full[] = {"off", "hourly", "daily", "monthly", NULL};
    unsigned n = 0;
    long parallel = 1;
    if (config_seconds("SNAPSHOT_INTERVAL", standard("SNAPSHOT_INTERVAL"), 0, DAY, &o->interval, e) != 0)
        return -1;
    if (o->interval > 0 && DAY % o->interval != 0)
        return config_wrong(e, "SNAPSHOT_INTERVAL",
                            config_env("SNAPSHOT_INTERVAL", standard("SNAPSHOT_INTERVAL")),
                            "a time that divides a day, such as 5m, 15m, 1h or 6h");
    if (config_seconds("SNAPSHOT_OFFSET", standard("SNAPSHOT_OFFSET"), 0,
                       o->interval > 0 ? o->interval - 1 : DAY, &o->offset, e) != 0 ||
        config_number("SNAPSHOT_PARALLEL", standard("SNAPSHOT_PARALLEL"), 1, 16, &parallel, e) != 0 ||
        config_seconds("SNAPSHOT_TIMEOUT", standard("SNAPSHOT_TIMEOUT"), 1, DAY, &o->timeout, e) != 0 ||
        config_bytes("MIN_FREE", standard("MIN_FREE"), &o->min_free, e) != 0 ||
        config_choice("FULL_SNAPSHOT", standard("FULL_SNAPSHOT"), full, &n, e) != 0 ||
        config_text(o->collections, sizeof o->collections, "COLLECTIONS",
                    config_env("COLLECTIONS", standard("COLLECTIONS")), e) != 0)
        return -1;
    o->parallel = (unsigned)parallel;
    o->full = n > 0;
    o->full_tier = (enum frequency)(FREQUENCY_15MIN + n); /* the words are in the order of the tiers */
    return 0;
}

/* Read once: a new one takes a new start. */
static int status_token(struct options *o, struct err *e)
{
    const char *path = config_env("STATUS_TOKEN_FILE", standard("STATUS_TOKEN_FILE"));
    struct err ignored;
    if (!*path)
        return 0;
    cleanup_free char *text = files_get(path, sizeof o->status_token, &ignored);
    size_t n = text ? strcspn(text, "\r\n") : 0;
    if (text && strspn(text + n, "\r\n") == strlen(text + n))
        text[n] = 0;
    bool good = n >= 16 && n < sizeof o->status_token && strlen(text) == n;
    for (size_t i = 0; good && i < n; i++)
        good = text[i] > ' ' && text[i] < 0x7f;
    if (good)
        (void)snprintf(o->status_token, sizeof o->status_token, "%s", text);
    if (text)
        explicit_bzero(text, strlen(text));
    return good ? 0
                : config_wrong(e, "STATUS_TOKEN_FILE", path,
                               "a readable file of one line, 16 to 512 characters of ASCII without spaces");
}

/* The value is a secret, and not shown. */
static int notify(struct options *o, struct err *e)
{
    const char *url = config_env("NOTIFY_URL", standard("NOTIFY_URL")),
               *file = config_env("NOTIFY_URL_FILE", standard("NOTIFY_URL_FILE"));
    char now[NOTIFY_URL_MAX];
    if (*url && !notify_url_fits(url))
        return config_wrong(e, "NOTIFY_URL", "(not shown)", "https://HOST/PATH or http://HOST/PATH");
    if (*file && !notify_url_read(file, now))
        return config_wrong(e, "NOTIFY_URL_FILE", file,
                            "a readable file of one line, https://HOST/PATH or http://HOST/PATH");
    explicit_bzero(now, sizeof now);
    (void)snprintf(o->notify_url, sizeof o->notify_url, "%s", url);
    return config_path(o->notify_url_file, sizeof o->notify_url_file, "NOTIFY_URL_FILE", file, e);
}

static int reports(struct options *o, struct err *e)
{
    static const char *const when[] = {"auto", "on", "off", NULL};
    unsigned n = 0;
    long rpo = 0;
    const char *listen = config_env("STATUS_LISTEN", standard("STATUS_LISTEN"));
    if (config_number("RPO_SECONDS", standard("RPO_SECONDS"), 1, 366L * DAY, &rpo, e) != 0 ||
        config_choice("EMF", standard("EMF"), when, &n, e) != 0 || status_token(o, e) != 0 ||
        config_text(o->status_hosts, sizeof o->status_hosts, "STATUS_HOSTS",
                    config_env("STATUS_HOSTS", standard("STATUS_HOSTS")), e) != 0 ||
        config_text(o->emf_namespace, sizeof o->emf_namespace, "EMF_NAMESPACE",
                    config_env("EMF_NAMESPACE", standard("EMF_NAMESPACE")), e) != 0 ||
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
    const char *v = config_env("SNAPSHOT_S3_OBJECT_LOCK", standard("SNAPSHOT_S3_OBJECT_LOCK")),
               *colon = strchr(v, ':');
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
    static const char *const off_on[] = {"0", "1", NULL};
    unsigned n = 0;
    const char *endpoint = config_env("SNAPSHOT_S3_ENDPOINT",
                                      config_env("AWS_ENDPOINT_URL_S3", config_env("AWS_ENDPOINT_URL", "")));
    if (config_bucket(o->s3_bucket, sizeof o->s3_bucket, "SNAPSHOT_S3_BUCKET_NAME",
                      config_env("SNAPSHOT_S3_BUCKET_NAME", standard("SNAPSHOT_S3_BUCKET_NAME")), e) != 0 ||
        config_text(o->s3_class, sizeof o->s3_class, "SNAPSHOT_S3_STORAGE_CLASS",
                    config_env("SNAPSHOT_S3_STORAGE_CLASS", standard("SNAPSHOT_S3_STORAGE_CLASS")), e) != 0 ||
        config_text(o->s3_kms_key, sizeof o->s3_kms_key, "SNAPSHOT_S3_KMS_KEY",
                    config_env("SNAPSHOT_S3_KMS_KEY", standard("SNAPSHOT_S3_KMS_KEY")), e) != 0 ||
        config_text(o->s3_endpoint, sizeof o->s3_endpoint, "SNAPSHOT_S3_ENDPOINT", endpoint, e) != 0 ||
        config_choice("SNAPSHOT_S3_DELTAS", standard("SNAPSHOT_S3_DELTAS"), off_on, &n, e) != 0 ||
        object_lock(o, e) != 0)
        return -1;
    o->s3_deltas = n == 1;
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
    const char *plan = config_env("DRILL_SCHEDULE", standard("DRILL_SCHEDULE"));
    if (config_choice("FINGERPRINT", standard("FINGERPRINT"), when, &n, e) != 0)
        return -1;
    o->fingerprint = n == 0;
    return drill_schedule_parse(plan, &o->drills)
               ? 0
               : config_wrong(
                     e, "DRILL_SCHEDULE", plan,
                     "never, hourly, daily, weekly, or a time (UTC) such as daily@03:30, weekly@03:30, "
                     "hourly@:05");
}

/* Qdrant takes a relative path as below its working folder, which is ours. */
static int qdrants_path(char out[PATH_MAX], const char *name, const char *standard, struct err *e)
{
    const char *path = config_env(name, standard);
    char folder[PATH_MAX];
    if (*path == '/' || !*path)
        return config_path(out, PATH_MAX, name, path, e);
    if (!getcwd(folder, sizeof folder))
        return err_set(e, errno, "cannot tell the working folder", NULL, NULL);
    return files_join(out, PATH_MAX, strcmp(folder, "/") == 0 ? "" : folder,
                      strncmp(path, "./", 2) == 0 ? path + 2 : path, e);
}

int options_storage(char out[PATH_MAX], struct err *e)
{
    return qdrants_path(out, "QDRANT__STORAGE__STORAGE_PATH", STORAGE_STANDARD, e);
}

/* What Qdrant does not understand it says itself. */
static int storage(struct options *o, struct err *e)
{
    const char *wal = config_env("QDRANT__STORAGE__WAL__WAL_CAPACITY_MB", WAL_MIB);
    o->wal_mib = strtoull(*wal >= '0' && *wal <= '9' ? wal : WAL_MIB, NULL, 10);
    return options_storage(o->storage, e) != 0 ? -1
                                               : qdrants_path(o->temp, "QDRANT__STORAGE__TEMP_PATH", "", e);
}

static int at_boot(struct options *o, struct err *e)
{
    static const char *const incomplete[] = {"wait", "serve", NULL}, *const off_on[] = {"0", "1", NULL},
                             *const confine[] = {"off", "second", "all", NULL},
                             *const self[] = {"off", "on", NULL};
    unsigned n = 0, deleted = 0, confined = 0, also = 0;
    const char *when = config_env("RESTORE_ON_EMPTY", standard("RESTORE_ON_EMPTY"));
    if (config_text(o->restore_setting, sizeof o->restore_setting, "RESTORE_ON_EMPTY", when, e) != 0 ||
        config_path(o->restore_from, sizeof o->restore_from, "RESTORE_FROM",
                    config_env("RESTORE_FROM", standard("RESTORE_FROM")), e) != 0 ||
        config_choice("RESTORE_INCOMPLETE", standard("RESTORE_INCOMPLETE"), incomplete, &n, e) != 0 ||
        config_choice("RESTORE_DELETED", standard("RESTORE_DELETED"), off_on, &deleted, e) != 0 ||
        config_choice("CONFINE_REPLICATOR", standard("CONFINE_REPLICATOR"), self, &also, e) != 0 ||
        config_choice("CONFINE", config_standard(alone_rows, alone_row_count, "CONFINE"), confine, &confined,
                      e) != 0 ||
        config_text(o->qdrant_bin, sizeof o->qdrant_bin, "QDRANT_BIN",
                    config_env("QDRANT_BIN", config_standard(alone_rows, alone_row_count, "QDRANT_BIN")),
                    e) != 0 ||
        storage(o, e) != 0)
        return -1;
    o->restore_incomplete = n == 1;
    o->restore_deleted = deleted == 1;
    o->confine = confined > 0;
    o->confine_self = o->confine && also > 0; /* a Qdrant that may open anything is our child */
    o->restore = strcmp(when, "never") != 0;
    if (!o->restore || strcmp(when, "latest") == 0 || time_parse(when, time(NULL), &o->restore_at))
        return 0;
    char use[160];
    (void)snprintf(use, sizeof use, "never, latest, or %s", restore_when_use(when, time(NULL)));
    return config_wrong(e, "RESTORE_ON_EMPTY", when, use);
}

static int at_stop(struct options *o, struct err *e)
{
    static const char *const when[] = {"auto", "on", "off", NULL};
    long seconds = 0;
    unsigned n = 0;
    if (config_number("STOP_GRACE_SECONDS", standard("STOP_GRACE_SECONDS"), 0, 3600, &seconds, e) != 0 ||
        config_choice("SNAPSHOT_ON_STOP", standard("SNAPSHOT_ON_STOP"), when, &n, e) != 0)
        return -1;
    o->grace = (unsigned)seconds;
    /* With SNAPSHOT_INTERVAL=0 somebody else has the snapshots made. */
    o->on_stop = n == 1 || (n == 0 && o->interval > 0 && *config_env("ECS_CONTAINER_METADATA_URI_V4", ""));
    return 0;
}

/* Which node a peer was is known by its name alone. */
static int of_cluster(struct options *o, struct err *e)
{
    static const char *const words[] = {"off", "replicate", "restore", NULL};
    unsigned n = 0;
    if (config_choice("HEAL", standard("HEAL"), words, &n, e) != 0 ||
        config_seconds("HEAL_AFTER", standard("HEAL_AFTER"), 1, DAY, &o->heal_after, e) != 0)
        return -1;
    o->heal = (enum heal)n;
    return n == 0 || *config_env("NODE_NAME", "")
               ? 0
               : config_wrong(e, "HEAL", words[n], "off, or give each node a NODE_NAME of its own");
}

int options_read(struct options *o, struct err *e)
{
    memset(o, 0, sizeof *o);
    return at_boot(o, e) || proof(o, e) || schedule(o, e) || reports(o, e) || notify(o, e) ||
                   second_target(o, e) || at_stop(o, e) || of_cluster(o, e)
               ? -1
               : 0;
}

/* The next pattern of the list at *p, without the "!" that `*out_of` tells of; false at the end. */
static bool next_pattern(const char **p, char pattern[512], bool *out_of)
{
    if (!**p)
        return false;
    size_t n = strcspn(*p, ",");
    const char *from = *p + strspn(*p, " ");
    *out_of = *from == '!';
    size_t skip = *out_of ? 1 : 0;
    size_t length = n > (size_t)(from - *p) ? n - (size_t)(from - *p) : 0;
    while (length > 0 && from[length - 1] == ' ')
        length--;
    (void)snprintf(pattern, 512, "%.*s", (int)(length > skip ? length - skip : 0), from + skip);
    *p += n + ((*p)[n] == ',');
    return true;
}

bool options_wanted(const char *patterns, const char *collection)
{
    bool any = false, wanted = false, out;
    char pattern[512];
    for (const char *p = patterns; next_pattern(&p, pattern, &out);) {
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

bool options_missing(const char *patterns, const char *const *names, size_t n, char out[256])
{
    char pattern[512];
    bool excluded;
    for (const char *p = patterns; next_pattern(&p, pattern, &excluded);) {
        bool there = false;
        if (!*pattern || excluded || strpbrk(pattern, "*?[\\") || strlen(pattern) > 255)
            continue;
        for (size_t i = 0; i < n && !there; i++)
            there = strcmp(names[i], pattern) == 0;
        if (!there) {
            (void)snprintf(out, 256, "%.255s", pattern);
            return true;
        }
    }
    return false;
}
