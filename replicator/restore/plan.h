/* What there is to restore at boot: the trees it comes from, and the collections in them. May hang with EFS.
 * With RESTORE_FROM set there are two, its own and that of EFS_ROOT, so that nobody has to change anything
 * once this node has backups of its own: of each collection the newest backup counts, wherever it is. Nobody
 * can tell which one that is unless both can be read: one that is not mounted is waited for. */
#ifndef REPLICATOR_RESTORE_PLAN_H
#define REPLICATOR_RESTORE_PLAN_H
#include "efs/repo/settings.h"
#include "replicator/restore/marker.h"

enum plan_outcome {
    PLAN_FOUND,
    PLAN_EMPTY, /* EFS is there and has no backup: the first start ever */
    PLAN_LATER, /* not mounted, not readable, not arrived yet; `e` says what to do */
    PLAN_NEVER, /* there are backups, but none that can be restored at boot; `e` says why */
};
struct restore_roots { /* that have backups, the one of RESTORE_FROM first */
    char base[2][PATH_MAX];
    size_t n;
    char note[PATH_MAX * 2 + 100]; /* what a person should know: RESTORE_FROM is left out; PLAN_EMPTY, and
                                      there are other trees. Else empty */
};
/* `from`: RESTORE_FROM, or empty for EFS_ROOT alone. The collections are added to `out` (NULL: only the trees
 * are looked for), that with the newest backup first. */
enum plan_outcome restore_plan(const struct settings *s, const char *from, struct restore_roots *trees,
                               struct marker *out, struct err *e);
/* An error that comes of a person's slip (rights, a file in a folder's place), not of EFS. */
bool restore_plan_is_slip(const struct err *e);
/* Is Qdrant's storage on EFS, which Qdrant does not support, and where it is not lost with the task? */
bool restore_plan_on_efs(const struct settings *s, const char *storage);
#endif
