/* What `verify` does with one backup, for `verify --set`, too. */
#ifndef EFS_CLI_CMD_VERIFY_H
#define EFS_CLI_CMD_VERIFY_H
#include "efs/cli/cli.h"

/* With a bar on a terminal; sets its state and reason. */
void verify_one(const struct options *o, struct backup *b);
/* Each defect in a line on standard error. */
void verify_complain(const struct backup *b);
#endif
