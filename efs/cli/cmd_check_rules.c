#include "efs/cli/cmd_check.h"
#include <string.h>

const char *check_state_text(enum check_state s)
{
    static const char *const text[] = {"ok", "off", "WARNING", "FAILED"};
    return text[s];
}

static enum check_state say(enum check_state s, const char **remedy, const char *what)
{
    *remedy = what;
    return s;
}

enum check_state check_mount_rule(const struct check_mount *m, const char **remedy)
{
    if (!m->network && !m->allowed_local)
        return say(CHECK_FAILED, remedy,
                   "mount EFS there; EFS_ALLOW_LOCAL=1 allows a local disk, for a laptop or a test");
    if (m->soft)
        return say(CHECK_WARNING, remedy,
                   "mount it with hard: a soft mount makes errors of what only takes long");
    return say(CHECK_OK, remedy, NULL);
}

enum check_state check_clock_rule(long apart, const char **remedy)
{
    long n = apart < 0 ? -apart : apart;
    if (n > BACKUP_AHEAD)
        return say(CHECK_FAILED, remedy, "set this machine's clock: backups get the times of EFS's server");
    return n > CHECK_CLOCK ? say(CHECK_WARNING, remedy, "set this machine's clock, best by NTP or chrony")
                           : say(CHECK_OK, remedy, NULL);
}

enum check_state check_write_rule(long ms, const char **remedy)
{
    return ms > CHECK_WRITE_MS
               ? say(CHECK_WARNING, remedy,
                     "look at the file system's PercentIOLimit and throughput mode; elastic is quickest")
               : say(CHECK_OK, remedy, NULL);
}

enum check_state check_rights_rule(long status, const char **remedy)
{
    if (status == 0)
        return say(CHECK_FAILED, remedy, "try again; Qdrant answered other questions");
    if (status == 401)
        return say(CHECK_FAILED, remedy, "give the key that Qdrant has: QDRANT_API_KEY_FILE or AK_ARN");
    if (status == 403)
        return say(CHECK_FAILED, remedy,
                   "give Qdrant's api_key, not its read_only_api_key: snapshots need all rights");
    return say(CHECK_OK, remedy, NULL);
}

enum check_state check_drill_rule(const char *verdict, time_t age, const char **remedy)
{
    if (strcmp(verdict, "proven") != 0 && strcmp(verdict, "partly_proven") != 0 &&
        strcmp(verdict, "nothing") != 0)
        return say(CHECK_FAILED, remedy, "qdrant-efs drill tells which backup, and why");
    if (age > CHECK_DRILL)
        return say(CHECK_WARNING, remedy, "set DRILL_SCHEDULE, or run qdrant-efs drill --keep-report");
    return say(CHECK_OK, remedy, NULL);
}
