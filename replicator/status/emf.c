#include "replicator/status/emf.h"
#include "common/base/text.h"
#include "common/json.h"
#include "efs/repo/frequency.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    LINES = 1 + FREQUENCY_COUNT, /* one of all, one for each tier */
    VALUES_MAX = 100,            /* of one metric in one line, by the specification */
    NAME_SHOWN = 100, /* of a collection: a line stays below PIPE_BUF, so that a pipe takes it as a whole */
    DIMENSION_MAX = 256,
};

/* A line in the making. Whether memory was enough for all is asked once, at the end. */
struct line {
    cJSON *root, *directives, *metrics;
    bool ok;
};

static time_t time_of(const cJSON *o, const char *key)
{
    time_t t = 0;
    return json_time(o, key, &t) ? t : 0;
}

/* By how much a counter grew. A document from before a restart of ours counts for nothing. */
static double grown(const cJSON *now, const cJSON *before, const char *key)
{
    double n = json_number(now, key), b = json_number(before, key);
    return n >= b ? n - b : n;
}

static void property(struct line *l, const char *key, const char *value)
{
    l->ok = l->ok && (!*value || cJSON_AddStringToObject(l->root, key, value));
}

/* The same for a name that may be long. */
static void property_cut(struct line *l, const char *key, const char *value)
{
    char cut[NAME_SHOWN + 1];
    property(l, key, text_printable(value, cut, sizeof cut));
}

/* CloudWatch takes printable ASCII, not empty, not beginning with a colon (PutMetricData's Dimension). */
static void dimension(struct line *l, const char *key, const char *value)
{
    char out[DIMENSION_MAX];
    size_t n = 0;
    for (; *value && n < sizeof out - 1; value++, n++)
        out[n] = *value > ' ' && *value < 0x7f ? *value : '_';
    if (n > 0 && out[0] == ':')
        out[0] = '_';
    out[n] = 0;
    property(l, key, n > 0 ? out : "none");
}

static void adopt(struct line *l, cJSON *parent, const char *key, cJSON *item)
{
    l->ok = l->ok && item &&
            (key ? cJSON_AddItemToObject(parent, key, item) : cJSON_AddItemToArray(parent, item));
    if (!l->ok)
        cJSON_Delete(item);
}

/* What follows has these dimensions. */
static void directive(struct line *l, const struct emf_options *o, bool by_frequency)
{
    static const char *const keys[] = {"Tier", "CpuArch", "Frequency"};
    cJSON *d = cJSON_CreateObject(), *set = cJSON_CreateStringArray(keys, by_frequency ? 3 : 2);
    adopt(l, l->directives, NULL, d);
    if (!l->ok) {
        cJSON_Delete(set);
        return;
    }
    l->ok = cJSON_AddStringToObject(d, "Namespace", o->name_space) != NULL;
    cJSON *sets = l->ok ? cJSON_AddArrayToObject(d, "Dimensions") : NULL;
    l->ok = sets != NULL;
    adopt(l, sets, NULL, set);
    l->metrics = l->ok ? cJSON_AddArrayToObject(d, "Metrics") : NULL;
    l->ok = l->metrics != NULL;
}

static void define(struct line *l, const char *name, const char *unit)
{
    cJSON *m = l->ok ? cJSON_CreateObject() : NULL;
    adopt(l, l->metrics, NULL, m);
    l->ok = l->ok && cJSON_AddStringToObject(m, "Name", name) && cJSON_AddStringToObject(m, "Unit", unit);
}

static void metric(struct line *l, const char *name, const char *unit, double value)
{
    define(l, name, unit);
    l->ok = l->ok && cJSON_AddNumberToObject(l->root, name, value);
}

static void begin(struct line *l, const cJSON *status)
{
    *l = (struct line){.root = cJSON_CreateObject()};
    cJSON *aws = l->root ? cJSON_AddObjectToObject(l->root, "_aws") : NULL;
    time_t now = time_of(status, "now");
    if (aws && cJSON_AddNumberToObject(aws, "Timestamp", (double)now * 1000))
        l->directives = cJSON_AddArrayToObject(aws, "CloudWatchMetrics");
    l->ok = l->directives != NULL;
}

static void describe(struct line *l, const struct emf_options *o, const cJSON *status)
{
    const cJSON *node = json_member(status, "node");
    dimension(l, "Tier", o->tier);
    dimension(l, "CpuArch", o->cpu_arch);
    property(l, "event", "metrics");
    property_cut(l, "Node", json_text(node, "name"));
    property(l, "TaskArn", json_text(node, "task_arn"));
    property(l, "Zone", json_text(node, "zone"));
    property(l, "Version", json_text(status, "version"));
}

static char *end(struct line *l)
{
    char *json = l->ok ? cJSON_PrintUnformatted(l->root) : NULL, *text = NULL;
    cJSON_Delete(l->root);
    if (json && asprintf(&text, "%s\n", json) < 0)
        text = NULL;
    cJSON_free(json);
    return text;
}

/* For how long a wanted collection goes without: since its newest backup, else since it is wanted. */
static double age_of(const cJSON *status, const cJSON *backup, const cJSON *from)
{
    const cJSON *age = json_member(from, "age_seconds");
    if (cJSON_IsNumber(age))
        return age->valuedouble;
    return (double)(time_of(status, "now") - time_of(backup, "wanted_since"));
}

/* The worst over all wanted collections, of a tier or (NULL) of the newest backup; -1 when none is wanted. */
static double worst_age(const cJSON *status, const char *tier, const cJSON **of)
{
    double worst = -1;
    const cJSON *b;
    cJSON_ArrayForEach(b, json_member(status, "backups"))
    {
        if (!json_true(b, "wanted"))
            continue;
        const cJSON *exposed = tier ? NULL : json_member(b, "exposed_seconds"); /* what /health judges by */
        double age = exposed && cJSON_IsNumber(exposed)
                         ? exposed->valuedouble
                         : age_of(status, b, tier ? json_member(json_member(b, "tiers"), tier) : b);
        if (age > worst) {
            worst = age;
            *of = b;
        }
    }
    return worst;
}

static void add_drill(struct line *l, const cJSON *status, const cJSON *counts, const cJSON *was)
{
    double drills = grown(counts, was, "drills");
    if (drills == 0)
        return; /* no sample: DrillFailed 0 says that one was made, and was good */
    metric(l, "DrillFailed", "Count", grown(counts, was, "drills_failed"));
    metric(l, "DrillSeconds", "Seconds", json_number(json_member(status, "drill"), "seconds"));
    property_cut(l, "DrillCollection", json_text(json_member(status, "drill"), "collection"));
}

static char *line_of_all(const struct emf_options *o, const cJSON *status, const cJSON *before)
{
    const cJSON *counts = json_member(status, "counts"), *was = json_member(before, "counts"), *oldest = NULL;
    const cJSON *queue = json_member(status, "queue"), *health = json_member(status, "health");
    struct line l;
    begin(&l, status);
    directive(&l, o, false);
    describe(&l, o, status);
    metric(&l, "SnapshotsCreated", "Count", grown(counts, was, "published"));
    metric(&l, "TotalSnapshotSize", "Bytes", grown(counts, was, "bytes"));
    metric(&l, "SnapshotError", "Count",
           grown(counts, was, "snapshots_failed") + grown(counts, was, "failed") +
               grown(counts, was, "mismatch") + grown(counts, was, "conflict") +
               grown(counts, was, "refused"));
    double age = worst_age(status, NULL, &oldest);
    if (age >= 0) {
        metric(&l, "OldestBackupAgeSeconds", "Seconds", age);
        property_cut(&l, "OldestBackupCollection", json_text(oldest, "collection"));
    }
    metric(&l, "QueueDepth", "Count",
           json_number(queue, "waiting") + json_number(queue, "publishing") + json_number(queue, "s3"));
    metric(&l, "Pruned", "Count", grown(counts, was, "pruned"));
    metric(&l, "SlotsMissed", "Count", grown(counts, was, "slots_missed"));
    metric(&l, "Unhealthy", "Count",
           strcmp(json_text(health, "status"), "ok") != 0 &&
               strcmp(json_text(health, "status"), "degraded") != 0);
    property(&l, "Reason", json_text(cJSON_GetArrayItem(json_member(health, "reasons"), 0), "code"));
    if (cJSON_IsObject(json_member(status, "s3")))
        metric(&l, "S3Errors", "Count", grown(counts, was, "s3_failed"));
    add_drill(&l, status, counts, was);
    return end(&l);
}

/* The newest of what was published since, as values of one metric: CloudWatch makes percentiles of them. */
static void add_publish_seconds(struct line *l, const cJSON *status, const cJSON *before, const char *tier)
{
    double values[VALUES_MAX],
        seen = json_number(cJSON_GetArrayItem(json_member(before, "published"), 0), "n");
    int n = 0;
    const cJSON *p, *list = json_member(status, "published");
    if (json_number(cJSON_GetArrayItem(list, 0), "n") < seen)
        seen = 0; /* counted anew */
    cJSON_ArrayForEach(p, list)
    {
        if (json_number(p, "n") > seen && strcmp(json_text(p, "frequency"), tier) == 0 && n < VALUES_MAX)
            values[n++] = json_number(p, "seconds");
    }
    if (n == 0)
        return;
    define(l, "PublishSeconds", "Seconds");
    adopt(l, l->root, "PublishSeconds", cJSON_CreateDoubleArray(values, n));
}

static char *line_of_tier(const struct emf_options *o, const cJSON *status, const cJSON *before,
                          const char *tier)
{
    const cJSON *sum = json_member(json_member(json_member(status, "counts"), "tiers"), tier), *oldest = NULL;
    const cJSON *was = json_member(json_member(json_member(before, "counts"), "tiers"), tier);
    double stored = grown(sum, was, "stored");
    struct line l;
    begin(&l, status);
    directive(&l, o, true);
    describe(&l, o, status);
    dimension(&l, "Frequency", tier);
    double age = worst_age(status, tier, &oldest);
    if (age >= 0) {
        metric(&l, "BackupAgeSeconds", "Seconds", age);
        property_cut(&l, "OldestBackupCollection", json_text(oldest, "collection"));
    }
    metric(&l, "BytesStored", "Bytes", stored);
    if (stored > 0)
        metric(&l, "CompressionRatio", "None", grown(sum, was, "bytes") / stored);
    add_publish_seconds(&l, status, before, tier);
    return end(&l);
}

char **emf_lines(const struct emf_options *o, const cJSON *status, const cJSON *before)
{
    char **lines = calloc(LINES + 1, sizeof *lines);
    if (!lines)
        return NULL;
    bool ok = (lines[0] = line_of_all(o, status, before)) != NULL;
    for (int t = 0; ok && t < FREQUENCY_COUNT; t++)
        ok = (lines[1 + t] = line_of_tier(o, status, before, frequency_text((enum frequency)t))) != NULL;
    if (ok)
        return lines;
    emf_lines_free(lines);
    return NULL;
}

void emf_lines_free(char **lines)
{
    for (char **at = lines; at && *at; at++)
        free(*at);
    free(lines);
}
