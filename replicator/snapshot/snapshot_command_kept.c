#include "common/base/utc.h"
#include "replicator/snapshot/snapshot_command_kept.h"
#include "common/base/utc.h"
#include "common/json.h"
#include "efs/repo/manifest.h"
#include <limits.h>
#include <stdio.h>

enum { COUNT_MAX = 100000 }; /* as retention_parse takes */

/* Of a document that is as it should be, or not at all. */
void snapshot_command_policy(const struct cJSON *status, struct retention *out)
{
    const cJSON *all = json_member(status, "retention");
    struct retention r = {0};
    for (int t = 0; t < FREQUENCY_COUNT; t++) {
        const cJSON *keep = json_member(all, frequency_text((enum frequency)t)),
                    *count = json_member(keep, "count"), *seconds = json_member(keep, "seconds");
        if (!cJSON_IsNumber(count) || !cJSON_IsNumber(seconds) || count->valuedouble < 0 ||
            count->valuedouble > COUNT_MAX || seconds->valuedouble < 0 || seconds->valuedouble > INT_MAX)
            return;
        r.keep[t].count = (unsigned)count->valuedouble;
        r.keep[t].age = (time_t)seconds->valuedouble;
    }
    *out = r;
}

void snapshot_command_kept(const struct retention *r, enum frequency frequency, unsigned n, time_t slot,
                           char out[SNAPSHOT_COMMAND_KEPT])
{
    char policy[RETENTION_TEXT], until[32];
    retention_one_text(r, frequency, policy);
    utc_text(retention_until(r, frequency, slot), until);
    (void)snprintf(out, SNAPSHOT_COMMAND_KEPT, "%u in %s, kept until %s: then RETENTION lets it go (%s)%s", n,
                   frequency_text(frequency), until, policy,
                   frequency == FREQUENCY_15MIN ? ". To keep one for longer: qdrant-efs pin SNAPSHOT" : "");
}
