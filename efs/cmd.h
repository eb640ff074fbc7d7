/* What the commands of qdrant-efs share: options and the selection of backups. */
#ifndef EFS_CMD_H
#define EFS_CMD_H
#include "efs/settings.h"
#include "efs/store.h"
enum { EXIT_DEFECT = 1 };
struct options {
    struct settings settings;
    char root[PATH_MAX];
    const char *collection; /* NULL for all */
    int tier;               /* -1 for all */
    time_t newer, older;    /* slots; 0 for no limit */
    bool json, dry_run, any_tree;
    const char *operand;
};
/* One tree {TIER}-{CPU_ARCH} below the root after the other, and each folder in it. */
typedef int folder_visit(const struct options *o, const char *base, const char *folder, void *arg, struct err *e);
int cmd_each_folder(const struct options *o, folder_visit *visit, void *arg, struct err *e);
/* Does the backup pass the filters? */
bool cmd_wanted(const struct options *o, const struct backup *b);
int cmd_ls(const struct options *o);
int cmd_show(const struct options *o);
int cmd_verify(const struct options *o);
int cmd_prune(const struct options *o);
/* One backup as JSON, for `--json`. Owned by the caller; NULL without memory. */
struct cJSON *cmd_json(const struct backup *b);
/* Text from EFS may hold control bytes; they must not reach a terminal. Returns `out`. */
const char *cmd_safe(const char *text, char *out, size_t size);
#endif
