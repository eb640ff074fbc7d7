/* Which file systems outlive the task. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <linux/magic.h>
#include "efs/repo/mount.h"

static const struct {
    const char *what;
    unsigned long type;
    bool with_root, with_snapshots, network;
} table[] = {
    {"EFS, which is NFS", NFS_SUPER_MAGIC, false, false, true},
    {"EFS at SNAPSHOTS_DIR itself", NFS_SUPER_MAGIC, false, true, true},
    {"a root on NFS", NFS_SUPER_MAGIC, true, true, true},
    {"Ceph", CEPH_SUPER_MAGIC, false, false, true},
    {"SMB, its highest bit set", CIFS_SUPER_MAGIC, false, true, true},
    {"SMB 2", SMB2_SUPER_MAGIC, false, false, true},
    {"Lustre", 0x0BD00BD0, false, false, true},
    {"a FUSE mount of its own", FUSE_SUPER_MAGIC, false, false, true},
    {"fuse-overlayfs as the container's root", FUSE_SUPER_MAGIC, true, false, false},
    {"both folders from one host by FUSE", FUSE_SUPER_MAGIC, false, true, false},
    {"9p of its own", V9FS_MAGIC, false, false, true},
    {"gVisor's root", V9FS_MAGIC, true, true, false},
    {"the container's own disk", OVERLAYFS_SUPER_MAGIC, true, true, false},
    {"overlay, another device", OVERLAYFS_SUPER_MAGIC, false, false, false},
    {"a volume of its own on ext4", EXT4_SUPER_MAGIC, false, false, false},
    {"a volume of its own on XFS", XFS_SUPER_MAGIC, false, false, false},
    {"btrfs", BTRFS_SUPER_MAGIC, false, false, false},
    {"memory", TMPFS_MAGIC, false, false, false},
};

static void only_a_network_file_system_outlives_the_task(void **st)
{
    (void)st;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const struct mount_facts f = {(long)table[i].type, table[i].with_root, table[i].with_snapshots};
        if (mount_is_network(&f) != table[i].network)
            fail_msg("%s", table[i].what);
        const struct mount_facts cut = {(int)table[i].type, table[i].with_root, table[i].with_snapshots};
        assert_int_equal(mount_is_network(&cut), table[i].network); /* as 32 bits with a sign have it */
    }
}

static void what_cannot_be_looked_at_is_none(void **st)
{
    (void)st;
    assert_false(mount_on_network("/nowhere/at/all", NULL));
    assert_false(mount_on_network("/proc", NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(only_a_network_file_system_outlives_the_task),
                                       cmocka_unit_test(what_cannot_be_looked_at_is_none)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
