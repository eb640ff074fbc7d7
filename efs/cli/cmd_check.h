/* `qdrant-efs check`: what has to be right before backups are, each in a line, with one remedy where it is
 * not. Rules are pure; who looks at something tells what was found. */
#ifndef EFS_CLI_CMD_CHECK_H
#define EFS_CLI_CMD_CHECK_H
#include "efs/cli/cli.h"

enum check_state { CHECK_OK, CHECK_OFF, CHECK_WARNING, CHECK_FAILED };
const char *check_state_text(enum check_state s);

/* --- rules: a state, and what to do (NULL: nothing) */

enum {
    CHECK_CLOCK = 60,        /* seconds that clocks may be apart without a word ... */
    CHECK_WRITE_MS = 200,    /* what a small durable write may take */
    CHECK_BEAT = 900,        /* seconds; a replicator leaves a heartbeat each five minutes */
    CHECK_DRILL = 8 * 86400, /* seconds; drills are daily or weekly */
};
struct check_mount {
    bool network, allowed_local, soft, read_only;
};
enum check_state check_mount_rule(const struct check_mount *m, const char **remedy);
enum check_state check_clock_rule(long apart, const char **remedy);
enum check_state check_write_rule(long ms, const char **remedy);
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
