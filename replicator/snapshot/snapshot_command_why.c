#include "replicator/snapshot/snapshot_command_why.h"
#include "common/json.h"
#include "efs/repo/manifest.h"
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { SILENT_SECONDS = 120 }; /* as the replicator itself takes a job on EFS for one that hangs */

static bool is_one_of(const char *word, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(word, *words) == 0)
            return true;
    return false;
}

/* A line of the replicator's log that tells why. */
static enum why of_line(const cJSON *line, const struct why_question *q)
{
    static const char *const never[] = {"mismatch", "conflict", "upload_refused", "replica_not_active", NULL};
    static const char *const now[] = {"publish_failed", "upload_waits", NULL};
    static const char *const all[] = {"efs_unusable", "no_snapshots_dir", "scan_failed", NULL};
    char since[32];
    const char *event = json_text(line, "event");
    bool ours = strcmp(json_text(line, "collection"), q->collection) == 0;
    utc_text(q->since, since);
    if (strncmp(json_text(line, "time"), since, strlen("2026-11-24T08:00:00")) < 0)
        return WHY_UNKNOWN;
    if (ours && is_one_of(event, never))
        return WHY_NEVER;
    return (ours && is_one_of(event, now)) || is_one_of(event, all) ? WHY_TROUBLE : WHY_UNKNOWN;
}

static bool publishes(const cJSON *efs)
{
    const cJSON *job = NULL;
    cJSON_ArrayForEach(job, json_member(efs, "busy"))
    {
        const cJSON *silent = json_member(job, "silent_seconds");
        if (strncmp(json_text(job, "what"), "publish ", 8) == 0 && cJSON_IsNumber(silent) &&
            silent->valuedouble < SILENT_SECONDS)
            return true;
    }
    return false;
}

/* Whatever the lines say: what holds now. */
static enum why of_efs(const cJSON *efs, const struct why_question *q, char *text, size_t size)
{
    const char *base = json_text(efs, "base");
    if (*base && strcmp(base, q->base) != 0) {
        (void)snprintf(text, size,
                       "the running replicator publishes below %.500s, and this command looks below %.500s; "
                       "give it the same EFS_ROOT, TIER and CPU_ARCH",
                       base, q->base);
        return WHY_NEVER;
    }
    if (json_true(efs, "hangs")) {
        (void)snprintf(text, size,
                       "EFS hangs: a job of the replicator's has shown no sign of life for 2 minutes");
        return WHY_TROUBLE;
    }
    return publishes(efs) ? WHY_PROGRESS : WHY_UNKNOWN;
}

enum why snapshot_command_why(const cJSON *status, const struct why_question *q, char *text, size_t size)
{
    const cJSON *efs = json_member(status, "efs"), *line = NULL;
    (void)snprintf(text, size, "%s", "");
    enum why is = of_efs(efs, q, text, size);
    if (is == WHY_NEVER)
        return is;
    cJSON_ArrayForEach(line, json_member(status, "errors"))
    {
        enum why said = of_line(line, q);
        if (said == WHY_UNKNOWN || (said == WHY_TROUBLE && is != WHY_UNKNOWN))
            continue; /* the newest counts; and a copy that goes on tells that what stood in its way is gone
                       */
        (void)snprintf(text, size, "%s", json_text(line, "message"));
        is = said;
        if (is == WHY_NEVER)
            break;
    }
    if (is != WHY_UNKNOWN || !cJSON_IsFalse(json_member(efs, "usable")))
        return is;
    (void)snprintf(text, size, "%s", json_text(efs, "why"));
    return WHY_TROUBLE;
}
