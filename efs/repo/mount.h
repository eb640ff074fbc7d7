/* Is a folder on a network file system, so that it outlives this task? EFS that is not mounted leaves its
 * mount point behind, an ordinary folder on the task's own disk: backups there go with the task. Needs no
 * mount table, which a container may not see. The calls but mount_is_network may hang with EFS. */
#ifndef EFS_REPO_MOUNT_H
#define EFS_REPO_MOUNT_H
#include <stdbool.h>
#include <sys/types.h>

struct settings;
struct mount_facts {
    long type;           /* statfs(2)'s f_type */
    bool with_root;      /* on the same device as / ... */
    bool with_snapshots; /* ... as SNAPSHOTS_DIR */
};
/* Pure. NFS and the like are a network's wherever they are. FUSE and 9p may be anything: a container's root
 * is one of them with fuse-overlayfs, gVisor or Kata, so that they count only with a device of their own. */
bool mount_is_network(const struct mount_facts *f);
/* Is `path` on a network file system? `snapshots_dir` may be NULL. False also for a path that cannot be
 * looked at. */
bool mount_on_network(const char *path, const char *snapshots_dir);
/* Is EFS_ROOT (and the tree in it) there, not on a network file system, and not allowed to be
 * (EFS_ALLOW_LOCAL)? */
bool mount_efs_is_local(const struct settings *s);
#endif
