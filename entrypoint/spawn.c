#include "entrypoint/spawn.h"
#include "entrypoint/say.h"
#include "entrypoint/signals.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    NICER = 10,
    IOPRIO_WHO_PROCESS = 1,           /* ioprio_set(2); libc has no header for it */
    BEST_EFFORT_LOWEST = 2 << 13 | 7, /* class 2, level 7 */
};

static const char recovery_message[] =
    "Qdrant was killed during initialization. Most likely it's Out-of-Memory.\n"
    "Please check memory consumption, increase memory limit or remove some collections and restart";

_Noreturn void spawn_become(char **argv)
{
    signals_give_back();
    (void)execvp(argv[0], argv);
    int code = errno == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
    say(SAY_ERROR, "cannot_run", "cannot run %s: %s", argv[0], strerror(errno));
    _exit(code);
}

pid_t spawn_qdrant(char **argv, bool recovery)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    say_in_child();
    if (recovery && setenv("QDRANT__STORAGE__RECOVERY_MODE", recovery_message, 1) != 0)
        say(SAY_ERROR, "failed", "cannot set QDRANT__STORAGE__RECOVERY_MODE: %s", strerror(errno));
    spawn_become(argv);
}

/* The kernel's out-of-memory killer takes the process with the highest score, and 1000 is above any other: a
 * replicator can start again, Qdrant would lose what it holds in memory. Raising it needs no privilege. */
static int offer_to_oom_killer(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = write(fd, "1000", 4);
    int error = errno;
    (void)close(fd); /* procfs takes the value in write */
    errno = error;
    return n == 4 ? 0 : -1;
}

/* Nothing but 0, 1 and 2 of what whoever started us left open. Kernels before 5.11 do not know the flag. */
static int keep_only_std(void)
{
    if (close_range(3, UINT_MAX, CLOSE_RANGE_CLOEXEC) == 0)
        return 0;
    long limit = sysconf(_SC_OPEN_MAX);
    for (int fd = 3; fd < limit; fd++)
        if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 && errno != EBADF)
            return -1;
    return 0;
}

/* Stdin is Qdrant's. */
static int no_stdin(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int rc = dup2(fd, STDIN_FILENO) < 0 ? -1 : 0;
    (void)close(fd); /* only read from */
    return rc;
}

/* A backup at the wrong priority is better than none: what fails is said, and the start goes on. */
static void warn_if(bool failed, const char *what)
{
    if (failed)
        say(SAY_WARN, "failed", "the replicator starts, but %s failed: %s", what, strerror(errno));
}

static void step_behind_qdrant(void)
{
    warn_if(setpgid(0, 0) != 0, "its own process group");
    warn_if(offer_to_oom_killer() != 0, "oom_score_adj");
    errno = 0;
    warn_if(nice(NICER) == -1 && errno != 0, "nice"); /* -1 can be a niceness, too */
    warn_if(syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, BEST_EFFORT_LOWEST) != 0, "ioprio_set");
    warn_if(no_stdin() != 0, "/dev/null for stdin");
    warn_if(keep_only_std() != 0, "close_range");
}

pid_t spawn_replicator(char *path)
{
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        char *argv[] = {path, NULL};
        say_in_child();
        /* It must not outlive us under an init. A parent that died before prctl sends nothing any more. */
        warn_if(prctl(PR_SET_PDEATHSIG, SIGTERM) != 0, "PR_SET_PDEATHSIG");
        if (getppid() != parent)
            _exit(EXIT_CANNOT_RUN);
        step_behind_qdrant();
        spawn_become(argv);
    }
    /* Here too, so that a signal to the group right after this reaches it. EACCES: it did it itself and is
     * past exec already; ESRCH: it is gone already. */
    if (pid > 0 && setpgid(pid, pid) != 0 && errno != EACCES && errno != ESRCH)
        say(SAY_WARN, "failed", "setpgid for the replicator: %s", strerror(errno));
    return pid;
}
