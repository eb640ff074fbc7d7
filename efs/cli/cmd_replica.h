/* What `qdrant-efs replica` found, for those who tell it: to a person, or as JSON. */
#ifndef EFS_CLI_CMD_REPLICA_H
#define EFS_CLI_CMD_REPLICA_H
#include "aws/efs_replication.h"
#include "efs/cli/cli.h"
#include "efs/replica/replica.h"

struct replica_tree {
    char name[160];
    struct replica_beats beats;
    bool told; /* by a heartbeat that can be read, or by the primary's tree */
};
struct replica_report {
    const struct options *o;
    time_t now;
    struct replica_tree *tree;
    size_t trees;
    struct replica_rows rows;
    bool asked, answered; /* AWS */
    struct efs_replication aws;
    bool broken_promise; /* AWS says that it is here */
    bool good;
};
/* An exit code: 0, or that it could not be printed. */
int replica_say(const struct replica_report *r);
int replica_say_json(const struct replica_report *r);
#endif
