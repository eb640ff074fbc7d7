/* Preloaded into a test's processes: the wall clock is as far off the real one as a file says, eight bytes of
 * seconds that may change at any time. Monotonic clocks and file times stay real. Not libfaketime: that one
 * allocates memory on the way (0.9.10), and so ends in a recursion with Qdrant, whose jemalloc asks for the
 * time while it starts. Nothing here allocates, and the real time comes from the kernel by syscall(2), not by
 * dlsym(3). */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *_Atomic offset;
static const volatile int64_t none;

static int64_t off(void)
{
    const volatile int64_t *p = offset;
    if (p)
        return *p;
    const char *name = getenv("WALL_CLOCK");
    int fd = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    void *mapped = fd >= 0 ? mmap(NULL, sizeof *p, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (fd >= 0)
        close(fd);
    offset = p = mapped != MAP_FAILED ? mapped : &none;
    return *p;
}

int clock_gettime(clockid_t clock, struct timespec *t)
{
    int rc = (int)syscall(SYS_clock_gettime, clock, t);
    if (rc == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        t->tv_sec += off();
    return rc;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone)
{
    int rc = (int)syscall(SYS_gettimeofday, t, zone);
    if (rc == 0)
        t->tv_sec += off();
    return rc;
}

time_t time(time_t *out)
{
    struct timespec t = {0};
    (void)clock_gettime(CLOCK_REALTIME, &t);
    if (out)
        *out = t.tv_sec;
    return t.tv_sec;
}
