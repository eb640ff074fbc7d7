/* What there is to restore at boot: the trees it comes from, and the collections in them. May hang with EFS.
 * With RESTORE_FROM set there are two, its own and that of EFS_ROOT, so that nobody has to change anything
 * once this node has backups of its own: of each collection the newest backup counts, wherever it is. Nobody
 * can tell which one that is unless both can be read: one that is not mounted is waited for. */
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
struct boot_trees { /* that have backups, the one of RESTORE_FROM first */
    char base[2][PATH_MAX];
    size_t n;
    char note[PATH_MAX * 2 + 100]; /* RESTORE_FROM is left out, and why; else empty */
};
/* `from`: RESTORE_FROM, or empty for EFS_ROOT alone. The collections are added to `out` (NULL: only the trees
 * are looked for), that with the newest backup first. */
enum plan_outcome boot_plan(const struct settings *s, const char *from, struct boot_trees *trees,
                            struct marker *out, struct err *e);
/* Is SNAPSHOTS_DIR on EFS, where a marker would outlive the disk? */
bool boot_plan_on_efs(const struct settings *s);
#endif
