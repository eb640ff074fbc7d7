#include "efs/data/sink.h"
#include "common/base/files.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum {
    START_EVERY =
        8 << 20, /* have the kernel start writing early, so that the sync below finds little to do */
    SYNC_EVERY =
        64 << 20, /* AWS's advice for EFS; bounds dirty pages, which count against the task's memory */
};

/* Written pages go out and leave the page cache behind us: it is Qdrant's. */
static int write_behind(struct sink *s, struct err *e)
{
    if (s->size - s->synced >= SYNC_EVERY) {
        if (fdatasync(s->fd) != 0)
            return err_set(e, errno, "cannot sync", s->path, NULL);
        (void)posix_fadvise(s->fd, 0, 0, POSIX_FADV_DONTNEED); /* advice only */
        s->synced = s->started = s->size;
    } else if (s->size - s->started >= START_EVERY) {
        /* Without a WAIT flag it reports no write error, and so takes none away from the sync. */
        (void)sync_file_range(s->fd, (off_t)s->started, (off_t)(s->size - s->started), SYNC_FILE_RANGE_WRITE);
        s->started = s->size;
    }
    return 0;
}

int sink_write(struct sink *s, const void *data, size_t n, struct err *e)
{
    if (n == 0)
        return 0;
    if (s->hash && !hasher_add(s->hash, data, n))
        return err_set(e, EIO, "cannot hash", s->path, NULL);
    if (files_write_all(s->fd, data, n, s->path, e) != 0)
        return -1;
    if (s->hash && !hasher_wait(s->hash)) /* the caller changes them next */
        return err_set(e, EIO, "cannot hash", s->path, NULL);
    s->size += n;
    return write_behind(s, e);
}
