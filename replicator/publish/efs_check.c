#include "replicator/publish/efs_check.h"
#include "replicator/status/state.h"
#include "common/log.h"
#include "efs/repo/mount.h"
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static int look(const struct settings *s, struct err *e)
{
    struct stat st;
    if (stat(s->efs_root, &st) != 0)
        return err_set(e, errno, "cannot use EFS_ROOT", s->efs_root,
                       "mount EFS there; nothing is backed up until then");
    if (!S_ISDIR(st.st_mode))
        return err_set(e, ENOTDIR, "cannot use EFS_ROOT", s->efs_root,
                       "mount EFS there; nothing is backed up until then");
    if (access(stat(s->base, &st) == 0 ? s->base : s->efs_root, W_OK | X_OK) != 0)
        return err_set(
            e, errno, "cannot write to EFS_ROOT", s->efs_root,
            "check the mount, the access point's user and the file system policy; nothing is backed up");
    return 0;
}

bool efs_check(struct context *x, bool aloud, struct err *e)
{
    bool good = look(&x->settings, e) == 0;
    bool news = status_efs(x->status, good, good ? NULL : e->text, time(NULL));
    if (!good && (news || aloud))
        log_line(LOG_ERROR, "efs_unusable", "%s", e->text);
    return good;
}

void efs_check_works(struct context *x) { (void)status_efs(x->status, true, NULL, time(NULL)); }

bool efs_check_local(struct context *x, bool aloud)
{
    const struct settings *s = &x->settings;
    bool local = mount_efs_is_local(s);
    bool news = status_efs_local(x->status, local);
    atomic_store(&x->efs_local, local);
    if (local && (news || aloud))
        log_line(
            LOG_ERROR, "efs_is_local",
            "EFS_ROOT %s is on this task's own disk and no network file system: backups there go with the "
            "task. Mount EFS there; until then they are made, but count for nothing, and no local snapshot "
            "is deleted. EFS_ALLOW_LOCAL=1 allows it, for a laptop or a test",
            s->efs_root);
    return local;
}
