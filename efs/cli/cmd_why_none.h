/* Why no backup is left: which of the filters rules all of them out, and what there is in its place. */
#ifndef EFS_CLI_CMD_WHY_NONE_H
#define EFS_CLI_CMD_WHY_NONE_H
#include "efs/cli/cli.h"
#include "efs/restore/restore.h"

struct filters {             /* what was asked for */
    const struct options *o; /* its collections, frequency, newer and older */
    bool any_kind;
    enum kind kind;
    const char *shard, *node, *snapshot; /* NULL: any */
    bool is_ours;                        /* `node` is NODE_NAME's */
    bool is_named;                       /* the list has only what has the name `snapshot` */
    bool in_s3;                          /* `ls` shows nothing of it */
    time_t at, now;                      /* `at` 0: any */
};
/* Those of a restore or a drill of *collection (NULL: of any). `o` is the caller's own copy of the options,
 * whose collections become that one. */
struct filters filters_of(const struct restore_selector *wish, struct options *o, const char **collection);
/* The filters are applied one after the other to `list`, which has all that there is: false when something
 * is left, else `e` names the one that rules out the rest, and what that has. Pure. */
bool why_none(const struct filters *w, const struct backup_list *list, const char *place, struct err *e);
/* The same of all below the root. */
bool why_none_on_efs(const struct filters *w, struct err *e);
/* The same, as a line on stderr. */
void tell_why_none(const struct filters *w);
/* Do TIER and CPU_ARCH name a tree that is not there, while others are? */
bool why_no_tree(const struct options *o, struct err *e);
#endif
