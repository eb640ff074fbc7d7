/* Preloaded into our programs: a file system whose every call takes SLOW_MS milliseconds, as one on the
 * network does. Counts the calls about paths that begin with SLOW_BELOW, and syncs; their number is in the
 * file SLOW_COUNT at the end. Reads, writes and listings go to the real one: most of them the client's cache
 * answers. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static atomic_ulong calls;

static void slow_down(void)
{
    const char *ms = getenv("SLOW_MS");
    long n = ms ? atol(ms) : 0;
    struct timespec t = {n / 1000, n % 1000 * 1000000};
    (void)atomic_fetch_add(&calls, 1);
    (void)nanosleep(&t, NULL);
}

static void slow(const char *path)
{
    const char *below = getenv("SLOW_BELOW");
    if (below && *below && strncmp(path, below, strlen(below)) == 0)
        slow_down();
}

__attribute__((destructor)) static void tell(void)
{
    const char *path = getenv("SLOW_COUNT");
    FILE *f = path ? fopen(path, "w") : NULL;
    if (f) {
        (void)fprintf(f, "%lu\n", atomic_load(&calls));
        (void)fclose(f);
    }
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
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
    slow(path);
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}
int open64(const char *path, int flags, ...)
{
    MODE(flags)
    slow(path);
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}
int __open_2(const char *path, int flags)
{
    slow(path);
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, 0);
}
int __open64_2(const char *path, int flags) { return __open_2(path, flags); }
DIR *opendir(const char *path)
{
    REAL(opendir);
    slow(path);
    return real(path);
}
int stat(const char *path, struct stat *st)
{
    REAL(stat);
    slow(path);
    return real(path, st);
}
int lstat(const char *path, struct stat *st)
{
    REAL(lstat);
    slow(path);
    return real(path, st);
}
int statx(int at, const char *path, int flags, unsigned mask, struct statx *st)
{
    REAL(statx);
    slow(path);
    return real(at, path, flags, mask, st);
}
int link(const char *from, const char *to)
{
    REAL(link);
    slow(to);
    return real(from, to);
}
int rename(const char *from, const char *to)
{
    REAL(rename);
    slow(to);
    return real(from, to);
}
int unlink(const char *path)
{
    REAL(unlink);
    slow(path);
    return real(path);
}
int mkdir(const char *path, mode_t mode)
{
    REAL(mkdir);
    slow(path);
    return real(path, mode);
}
int fsync(int fd)
{
    REAL(fsync);
    slow_down();
    return real(fd);
}
