/* How long the backups of a tree are kept, for commands that go by it: RETENTION where it is given, else as
 * the tree's replicators say in their heartbeats. */
#ifndef EFS_CLI_CMD_POLICY_H
#define EFS_CLI_CMD_POLICY_H
#include "efs/cli/cli.h"

struct policy {
    const struct options *o;
    const char *nothing; /* what is not done where it is not known: "nothing is pruned" */
    char tree[PATH_MAX]; /* the one that `own` is of */
    const char *refused; /* why it is not known, or NULL */
    struct retention own;
    bool failed; /* it was not known of some tree, and that was told */
};
/* NULL: it is not known, for a wrong one deletes for ever what the tasks would keep. Told once for each tree.
 */
const struct retention *policy_of(struct policy *p, const char *base);
#endif
