/* What is on EFS of one folder, tier by tier, for those who watch its age and size. Reads as few manifests as
 * it can: on EFS each costs round trips. */
#ifndef EFS_REPO_INVENTORY_H
#define EFS_REPO_INVENTORY_H
#include "efs/repo/backup.h"

struct inventory {
    struct inventory_frequency {
        unsigned count;         /* backups with a manifest */
        uint64_t stored_bytes;  /* of their data, as the listing tells */
        bool any;               /* `newest` is set */
        struct manifest newest; /* the newest complete one */
    } frequency[FREQUENCY_COUNT];
};
/* `list` is all of one folder, from backup_list_folder; what is looked at is loaded. `node`: only backups of
 * that NODE_NAME are looked at for `newest`; empty: of any. */
int inventory_take(struct backup_list *list, const char *node, struct inventory *out, struct err *e);
#endif
