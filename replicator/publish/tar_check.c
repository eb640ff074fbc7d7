#include "replicator/publish/tar_check.h"
#include "common/base/cleanup.h"
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

static const char ADVICE[] = "it is not published; upload it again, or delete it";
enum { BLOCK = 512, BUFFER = 1 << 18 };

/* Read, not skipped: libarchive skips by seeking, also past the end of a file that was cut short. */
static int read_data(struct archive *a, const atomic_bool *stop)
{
    const void *data;
    size_t n;
    la_int64_t at;
    int rc;
    do
        rc = stop && atomic_load(stop) ? ARCHIVE_FATAL : archive_read_data_block(a, &data, &n, &at);
    while (rc == ARCHIVE_OK);
    return rc == ARCHIVE_EOF ? 0 : -1;
}

static int read_through(struct archive *a, const char *path, const atomic_bool *stop, struct err *e)
{
    struct archive_entry *entry;
    unsigned long members = 0;
    for (;;) {
        int rc = archive_read_next_header(a, &entry);
        if (rc == ARCHIVE_EOF)
            break;
        bool bad = rc != ARCHIVE_OK || read_data(a, stop) != 0;
        if (bad && stop && atomic_load(stop))
            return err_set(e, ECANCELED, "stopped checking", path, NULL);
        if (bad)
            return err_set(e, 0, "not a whole tar:", path, ADVICE);
        members++;
    }
    return members > 0 ? 0 : err_set(e, 0, "an empty tar:", path, ADVICE);
}

/* Two blocks of zeros end a tar. libarchive does without them, so one that was cut between two members would
 * pass for whole. */
static int end_marker(const char *path, struct err *e)
{
    static const char zero[2 * BLOCK];
    char last[2 * BLOCK];
    struct stat st;
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) != 0)
        return err_set(e, errno, "cannot read", path, NULL);
    if (!S_ISREG(st.st_mode) || st.st_size < (off_t)sizeof last || st.st_size % BLOCK != 0)
        return err_set(e, 0, "not a whole tar:", path, ADVICE);
    ssize_t n = pread(fd, last, sizeof last, st.st_size - (off_t)sizeof last);
    if (n < 0)
        return err_set(e, errno, "cannot read", path, NULL);
    if ((size_t)n != sizeof last || memcmp(last, zero, sizeof last) != 0)
        return err_set(e, 0, "a tar without its end:", path, ADVICE);
    return 0;
}

int tar_check(const char *path, const atomic_bool *stop, struct err *e)
{
    if (end_marker(path, e) != 0)
        return -1;
    struct archive *a = archive_read_new();
    if (!a)
        return err_set(e, ENOMEM, "cannot check", path, NULL);
    int rc = archive_read_support_format_tar(a) == ARCHIVE_OK &&
                     archive_read_open_filename(a, path, BUFFER) == ARCHIVE_OK
                 ? read_through(a, path, stop, e)
                 : err_set(e, 0, "not a tar:", path, ADVICE);
    (void)archive_read_free(a);
    return rc;
}
