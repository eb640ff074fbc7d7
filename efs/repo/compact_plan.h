/* Which deltas of one folder are worth to be made wholes, as a pure rule over a list that was read: those for
 * whose sake backups stay that retention lets go. One goes only when all that are made of it are wholes, so
 * that the deltas of one whole stand or fall together: a group. */
#ifndef EFS_REPO_COMPACT_PLAN_H
#define EFS_REPO_COMPACT_PLAN_H
#include "efs/repo/backup.h"

enum compact_role {
    COMPACT_STAYS, /* as it is */
    COMPACT_GOES,  /* retention lets it go, and nothing keeps it */
    COMPACT_KEPT,  /* retention lets it go, and it stays for others alone */
};
struct compact_group {
    size_t deltas, bases;  /* how many wholes would be made, and how many backups could go then */
    uint64_t costs, frees; /* bytes: what the wholes take more than the deltas, about; what goes */
    size_t made;           /* whoever makes them counts here, and ... */
    bool stuck;            /* ... notes that one stays a delta */
};
struct compact_plan {
    struct compact_group *group;
    size_t n_groups;
    size_t *of; /* for each entry of the list its group + 1, as a delta to be made whole; 0: none */
};
/* Is it worth while? Pure. */
bool compact_pays(const struct compact_group *g);
/* `role`: of each entry of `list`, which are all read, and of one folder. -1: no memory. Free what comes back
 * with compact_plan_free. */
int compact_plan_make(const struct backup_list *list, const enum compact_role *role,
                      struct compact_plan *out);
void compact_plan_free(struct compact_plan *p);
#define cleanup_compact_plan __attribute__((cleanup(compact_plan_free)))
#endif
