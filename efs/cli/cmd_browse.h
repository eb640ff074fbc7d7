/* What the page of all backups has in it beside the backups: what drills found. */
#ifndef EFS_CLI_CMD_BROWSE_H
#define EFS_CLI_CMD_BROWSE_H
#include "efs/cli/cli.h"

struct cJSON;
/* JSON as it may stand in a page. NULL is no memory. */
int browse_put(const struct cJSON *json, struct err *e);
/* The drills of the newest records of each tree, each as a list that browse.html reads, with commas between.
 * A record that cannot be read is told and left out. */
int browse_drills(const struct options *o, struct err *e);
#endif
