/* Preloaded into qdrant-efs: a mount that gives errors or hangs, without one. A path that has the text of
 * FAULT_EIO in it cannot be opened (EIO); reads of one that has the text of FAULT_HANG never return, and no
 * signal but one that kills wakes the thread, as on a hard NFS mount whose server is gone: its signals are
 * blocked, so that they stay pending. The FAULT_AT-th opening of a path that ends with FAULT_WAIT takes until
 * the file FAULT_GO is there. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int has(const char *path, const char *variable)
{
    const char *part = getenv(variable);
    return part && *part && strstr(path, part) != NULL;
}

static void hang(void)
{
    sigset_t all;
    const char *mark = getenv("FAULT_MARK"); /* a file that says that it hangs */
    int fd = mark ? (int)syscall(SYS_openat, AT_FDCWD, mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) : -1;
    sigfillset(&all);
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, NULL, 8);
    if (fd >= 0)
        close(fd);
    for (;;)
        pause();
}

static void wait_for_go(const char *path)
{
    static int seen;
    const char *end = getenv("FAULT_WAIT"), *number = getenv("FAULT_AT"), *go = getenv("FAULT_GO");
    size_t n = strlen(path);
    if (!end || !go || n < strlen(end) || strcmp(path + n - strlen(end), end) != 0 ||
        __atomic_add_fetch(&seen, 1, __ATOMIC_SEQ_CST) != (number ? atoi(number) : 1))
        return;
    const char *mark = getenv("FAULT_MARK");
    int fd = mark ? (int)syscall(SYS_openat, AT_FDCWD, mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (fd >= 0)
        close(fd);
    while (access(go, F_OK) != 0)
        usleep(1000);
}

static int open_path(int at, const char *path, int flags, mode_t mode)
{
    if (has(path, "FAULT_EIO")) {
        errno = EIO;
        return -1;
    }
    wait_for_go(path);
    return (int)syscall(SYS_openat, at, path, flags, mode);
}

#define MODE(flags)                                                                                          \
    mode_t mode = 0;                                                                                         \
    if (flags & O_CREAT) {                                                                                   \
        va_list ap;                                                                                          \
        va_start(ap, flags);                                                                                 \
        mode = (mode_t)va_arg(ap, int);                                                                      \
        va_end(ap);                                                                                          \
    }

int open(const char *path, int flags, ...)
{
    MODE(flags)
    return open_path(AT_FDCWD, path, flags, mode);
}
int open64(const char *path, int flags, ...)
{
    MODE(flags)
    return open_path(AT_FDCWD, path, flags, mode);
}
int openat(int at, const char *path, int flags, ...)
{
    MODE(flags)
    return open_path(at, path, flags, mode);
}
int __open_2(const char *path, int flags) { return open_path(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return open_path(AT_FDCWD, path, flags, 0); }

DIR *opendir(const char *path)
{
    DIR *(*real)(const char *) = (DIR * (*)(const char *)) dlsym(RTLD_NEXT, "opendir");
    if (has(path, "FAULT_EIO")) {
        errno = EIO;
        return NULL;
    }
    return real(path);
}

ssize_t read(int fd, void *out, size_t n)
{
    char link[64] = "/proc/self/fd/", path[4096];
    if (getenv("FAULT_HANG")) {
        char digits[16];
        int k = 0, rest = fd;
        do
            digits[k++] = (char)('0' + rest % 10);
        while (rest /= 10);
        size_t at = strlen(link);
        while (k > 0)
            link[at++] = digits[--k];
        link[at] = 0;
        ssize_t size = readlink(link, path, sizeof path - 1);
        path[size > 0 ? size : 0] = 0;
        if (has(path, "FAULT_HANG"))
            hang();
    }
    return syscall(SYS_read, fd, out, n);
}
ssize_t __read_chk(int fd, void *out, size_t n, size_t size)
{
    (void)size;
    return read(fd, out, n);
}
