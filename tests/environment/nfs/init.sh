#!/bin/sh
# First program of the guest. Its root is the host's root, read-only; all it writes goes to memory, and to the
# one folder that the host gives it in $nfs_work (from the kernel's command line).
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/run/tmp TMPDIR=/run/tmp PYTHONDONTWRITEBYTECODE=1

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs -o size=90% run /run
mkdir -p /run/tmp /run/work /run/lab /run/nfs/v4recovery /run/modules/lib/modules
mount -t hostfs work /run/work -o "$nfs_work"
. /run/work/parameters # NFS_TESTS, NFS_PYTHON, NFS_SECONDS, NFS_SHELL, BUILD_DIR
ln -s /proc/self/fd /dev/fd

off() { "$NFS_PYTHON" -c 'import ctypes; ctypes.CDLL(None).reboot(0x4321fedc)'; } # no sync: EFS may hang
(sleep "$NFS_SECONDS"; echo "the guest is out of time"; off) & # also when nobody is left to kill it

ip link set lo up
ln -s "/usr/lib/uml/modules/$(uname -r)" /run/modules/lib/modules/
for module in nfsv4 nfsd; do
    modprobe -d /run/modules $module || echo "cannot load $module"
done
touch /run/nfs/etab /run/nfs/rmtab
mount --bind /run/nfs /var/lib/nfs
mount -t nfsd nfsd /proc/fs/nfsd
echo 1048576 >/proc/fs/nfsd/max_block_size # else wsize comes out as 128 KiB in so small a machine
echo 0 >/proc/sys/fs/leases-enable         # no delegations, as on EFS
rpc.mountd -N 2 -N 3

if [ "$NFS_SHELL" = 1 ]; then
    cd "$NFS_TESTS/environment/nfs" && "$NFS_PYTHON" guest.py --shell
else
    "$NFS_PYTHON" "$NFS_TESTS/environment/nfs/guest.py"
fi
off
