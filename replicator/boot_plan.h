/* What there is to restore at boot: the tree it comes from, and the collections in it. May hang with EFS. */
#ifndef REPLICATOR_BOOT_PLAN_H
#define REPLICATOR_BOOT_PLAN_H
#include "efs/settings.h"
#include "replicator/boot_marker.h"

enum plan_outcome {
    PLAN_FOUND,
    PLAN_EMPTY, /* EFS is there and has no backup: the first start ever */
    PLAN_LATER, /* not mounted, not readable, not arrived yet; `e` says what to do */
    PLAN_NEVER, /* there are backups, but none that can be restored at boot; `e` says why */
};
/* `from`: RESTORE_FROM, or empty for EFS_ROOT. `base` becomes the tree, and the collections are added to
 * `out` (NULL: only the tree is looked for), that with the newest backup first. */
enum plan_outcome boot_plan(const struct settings *s, const char *from, char base[PATH_MAX],
                            struct marker *out, struct err *e);
/* Is SNAPSHOTS_DIR on EFS, where a marker would outlive the disk? */
bool boot_plan_on_efs(const struct settings *s);
#endif
