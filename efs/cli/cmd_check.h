/* `qdrant-efs check`: what has to be right before backups are, each in a line, with one remedy where it is
 * not. Rules are pure; who looks at something tells what was found. */
#ifndef EFS_CLI_CMD_CHECK_H
#define EFS_CLI_CMD_CHECK_H
#include "efs/cli/cli.h"
#include "efs/repo/local_check.h"

/* --- rules beside those of efs/repo/local_check.h */

enum {
    CHECK_BEAT = 900,        /* seconds; a replicator leaves a heartbeat each five minutes */
    CHECK_DRILL = 8 * 86400, /* seconds; drills are daily or weekly */
};
/* HTTP status of a request that only a key with all rights may make, and that changes nothing. 0: no answer.
 */
enum check_state check_rights_rule(long status, const char **remedy);
/* Of the newest drill: its verdict and its age. */
enum check_state check_drill_rule(const char *verdict, time_t age, const char **remedy);

/* --- telling */

struct check;
void check_say(struct check *k, enum check_state state, const char *name, const char *remedy, const char *fmt,
               ...) __attribute__((format(printf, 5, 6)));
const struct options *check_options(const struct check *k);
/* What is asked over a network: Qdrant and its key, S3, AWS. */
void check_remote(struct check *k);
#endif
