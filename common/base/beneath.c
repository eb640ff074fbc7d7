#include "common/base/beneath.h"
#include "common/base/cleanup.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static const char ADVICE[] = "look who made it; links and other file systems are not followed there";

/* One folder further, which is not of another file system. */
static int step(int at, const char *name, dev_t of)
{
    struct stat st;
    int fd = openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || (fstat(fd, &st) == 0 && st.st_dev == of))
        return fd;
    (void)close(fd); /* only named something */
    return errno = EXDEV, -1;
}

static int walk(int root, const char *relative, int flags)
{
    char path[PATH_MAX];
    struct stat st;
    if (fstat(root, &st) != 0)
        return -1;
    if ((size_t)snprintf(path, sizeof path, "%s", relative) >= sizeof path)
        return errno = ENAMETOOLONG, -1;
    int at = root, next;
    char *name = path;
    for (char *slash; (slash = strchr(name, '/')); name = slash + 1, at = next) {
        *slash = 0;
        next = strcmp(name, "..") == 0 ? (errno = EXDEV, -1) : step(at, name, st.st_dev);
        if (at != root)
            (void)close(at); /* only named something */
        if (next < 0)
            return -1;
    }
    next = strcmp(name, "..") == 0 ? (errno = EXDEV, -1) : openat(at, name, flags | O_NOFOLLOW | O_CLOEXEC);
    int why = errno;
    if (at != root)
        (void)close(at);
    errno = why;
    return next;
}

static int open_beneath(const char *root, const char *relative, int flags)
{
    struct open_how how = {.flags = (unsigned)flags | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV};
    cleanup_close int dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return -1;
    int fd = (int)syscall(SYS_openat2, dir, relative, &how, sizeof how);
    /* ENOSYS before 5.6; EPERM from filters of seccomp(2) that do not know it; EAGAIN for what moves just
     * now. */
    return fd < 0 && (errno == ENOSYS || errno == EPERM || errno == EAGAIN) ? walk(dir, relative, flags) : fd;
}

static int failed(const char *what, const char *root, const char *relative, int why, struct err *e)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%.2000s/%.2000s", root, relative);
    bool strange = why == ELOOP || why == EXDEV || why == ENOTDIR || why == ENXIO;
    return strange ? err_set(e, 0, "a link, or no part of this file system, is on the way to", path, ADVICE)
                   : err_set(e, why, what, path, NULL);
}

int beneath_open(const char *root, const char *relative, struct err *e)
{
    struct stat st;
    int fd = open_beneath(root, relative, O_RDONLY | O_NONBLOCK);
    if (fd < 0)
        return failed("cannot read", root, relative, errno, e);
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        return fd;
    (void)close(fd); /* nothing was read */
    return failed("", root, relative, ENXIO, e);
}

int beneath_folder(const char *root, const char *relative, struct err *e)
{
    cleanup_close int fd = open_beneath(root, relative, O_PATH | O_DIRECTORY);
    return fd >= 0 ? 0 : failed("cannot look at", root, relative, errno, e);
}
