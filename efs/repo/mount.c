#include "efs/repo/mount.h"
#include "efs/repo/settings.h"
#include <linux/magic.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/vfs.h>

/* Of file systems for which linux/magic.h has no name on every machine. */
enum { LUSTRE = 0x0BD00BD0, GPFS = 0x47504653, GFS2 = 0x01161970 };

static bool is_always_network(unsigned long type)
{
    static const unsigned long types[] = {NFS_SUPER_MAGIC,
                                          CEPH_SUPER_MAGIC,
                                          SMB_SUPER_MAGIC,
                                          CIFS_SUPER_MAGIC,
                                          SMB2_SUPER_MAGIC,
                                          AFS_SUPER_MAGIC,
                                          AFS_FS_MAGIC,
                                          OCFS2_SUPER_MAGIC,
                                          LUSTRE,
                                          GPFS,
                                          GFS2};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (type == types[i])
            return true;
    return false;
}

bool mount_is_network(const struct mount_facts *f)
{
    unsigned long type = (unsigned long)f->type & 0xffffffffUL; /* CIFS's has its highest bit set */
    if (is_always_network(type))
        return true;
    return (type == FUSE_SUPER_MAGIC || type == V9FS_MAGIC) && !f->with_root && !f->with_snapshots;
}

static bool is_beside(const struct stat *st, const char *path)
{
    struct stat other;
    return path && stat(path, &other) == 0 && other.st_dev == st->st_dev;
}

bool mount_on_network(const char *path, const char *snapshots_dir)
{
    struct statfs fs;
    struct stat st;
    if (statfs(path, &fs) != 0 || stat(path, &st) != 0)
        return false;
    const struct mount_facts f = {.type = (long)fs.f_type,
                                  .with_root = is_beside(&st, "/"),
                                  .with_snapshots = is_beside(&st, snapshots_dir)};
    return mount_is_network(&f);
}

bool mount_efs_is_local(const struct settings *s)
{
    struct stat st;
    if (s->allow_local || !s->efs_root[0] || stat(s->efs_root, &st) != 0 || !S_ISDIR(st.st_mode))
        return false; /* what is not there is told otherwise */
    const char *path = stat(s->base, &st) == 0 ? s->base : s->efs_root;
    return !mount_on_network(path, s->snapshots_dir);
}
