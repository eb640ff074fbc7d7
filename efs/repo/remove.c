#include "efs/repo/remove.h"
#include "common/base/files.h"
#include "efs/repo/pin.h"
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

int remove_file(const char *dir, const char *name, const char *suffix, struct err *e)
{
    char full[NAME_MAX + 32], path[PATH_MAX];
    (void)snprintf(full, sizeof full, "%s%s", name, suffix);
    if (files_join(path, sizeof path, dir, full, e) != 0)
        return -1;
    /* ENOENT: done already, maybe by our own retried RPC (no reply cache on EFS). */
    if (unlink(path) != 0 && errno != ENOENT)
        return err_set(e, errno, "cannot delete", path, "check who may write to EFS");
    return 0;
}

int remove_manifest(const struct backup *b, struct err *e)
{
    return remove_file(b->dir, b->stem, ".json", e) != 0 || files_sync_dir(b->dir, e) != 0 ||
                   (b->pinned && remove_file(b->dir, b->stem, PIN_SUFFIX, e) != 0) ||
                   (b->noted && remove_file(b->dir, b->stem, NOTE_SUFFIX, e) != 0)
               ? -1
               : remove_file(b->dir, b->stem, ".json" SIGNATURE_SUFFIX, e);
}

int remove_data_file(const char *dir, const char *name, struct err *e)
{
    return remove_file(dir, name, ".s3", e) != 0 || remove_file(dir, name, ".sha256", e) != 0 ||
                   remove_file(dir, name, "", e) != 0
               ? -1
               : 0;
}

int remove_data(const struct backup *b, struct err *e)
{
    return *b->data ? remove_data_file(b->dir, b->data, e) : 0;
}

int remove_backup(const struct backup *b, struct err *e)
{
    return remove_manifest(b, e) != 0 ? -1 : remove_data(b, e);
}
