/* Is what is around this process as it must be: the mount of EFS, writing to it, the clock, the local disk.
 * For `qdrant-efs check`, and for the replicator at its start. Rules are pure; who looks tells what it found.
 * What looks at EFS may hang with it. */
#ifndef EFS_REPO_LOCAL_CHECK_H
#define EFS_REPO_LOCAL_CHECK_H
#include "efs/repo/settings.h"

enum check_state { CHECK_OK, CHECK_OFF, CHECK_WARNING, CHECK_FAILED };
const char *check_state_text(enum check_state s);

/* --- rules: a state, and what to do (NULL: nothing) */

enum {
    CHECK_CLOCK = 60,     /* seconds that clocks may be apart without a word */
    CHECK_WRITE_MS = 200, /* what a small durable write may take */
};
struct check_mount {
    bool network, allowed_local, soft, read_only;
};
enum check_state check_mount_rule(const struct check_mount *m, const char **remedy);
enum check_state check_clock_rule(long apart, const char **remedy);
enum check_state check_write_rule(long ms, const char **remedy);

/* --- looking */

struct local_check {
    const struct settings *settings;
    const char *root; /* where EFS is, as a person named it */
    int rounds; /* of the write test, up to LOCAL_CHECK_ROUNDS; the one in the middle counts; 0: nothing is
                   written, and the clock is not asked for */
    /* `remedy` is one line, NULL where there is nothing to do. */
    void (*say)(void *arg, enum check_state state, const char *name, const char *remedy, const char *text);
    void *arg;
};
enum { LOCAL_CHECK_ROUNDS = 5 };
/* Mount, writing and clock. The write test leaves nothing. */
void local_check_efs(const struct local_check *c);
/* SNAPSHOTS_DIR, beside MIN_FREE in bytes. */
void local_check_disk(const struct local_check *c, uint64_t min_free);
#endif
