#include "efs/cli/cmd_check.h"
#include <string.h>

static enum check_state say(enum check_state s, const char **remedy, const char *what)
{
    *remedy = what;
    return s;
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
