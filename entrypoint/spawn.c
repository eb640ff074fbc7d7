#include "entrypoint/spawn.h"
#include "common/base/fds.h"
#include "entrypoint/log.h"
#include "entrypoint/out_of_reach.h"
#include "entrypoint/qdrant_files.h"
#include "entrypoint/signals.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    NICER = 10,
    IOPRIO_WHO_PGRP = 2,              /* ioprio_set(2); libc has no header for it */
    BEST_EFFORT_LOWEST = 2 << 13 | 7, /* class 2, level 7 */
};

static const char recovery_message[] =
    "Qdrant was killed during initialization. Most likely it's Out-of-Memory.\n"
    "Please check memory consumption, increase memory limit or remove some collections and restart";

/* The pipe is empty, so that its byte has room; SIGPIPE ends a child whose parent is gone. */
static _Noreturn void become(char **argv, int runs)
{
    signals_give_back();
    (void)execvp(argv[0], argv);
    int code = errno == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
    say(SAY_ERROR, "cannot_run", "cannot run %s: %s", argv[0], strerror(errno));
    ssize_t told = runs >= 0 ? write(runs, "!", 1) : 0;
    _exit(told < 0 ? EXIT_CANNOT_RUN : code);
}

_Noreturn void spawn_become(char **argv) { become(argv, -1); }

pid_t spawn_qdrant(char **argv, bool recovery, bool confine, const struct place *place, int runs)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    say_in_child();
    if (recovery && setenv("QDRANT__STORAGE__RECOVERY_MODE", recovery_message, 1) != 0)
        say(SAY_ERROR, "failed", "cannot set QDRANT__STORAGE__RECOVERY_MODE: %s", strerror(errno));
    if (place && !place_tell(place))
        say(SAY_ERROR, "failed", "cannot tell Qdrant its place in the cluster: %s", strerror(errno));
    if (confine)
        out_of_reach();
    become(argv, runs);
}

/* The kernel's out-of-memory killer takes the process with the highest score, and 1000 is above any other: a
 * replicator can start again, Qdrant would lose what it holds in memory. Raising it needs no privilege. */
static int offer_to_oom_killer(void)
{
    /* What is hidden from others belongs to root in /proc, and another user could not write there. */
    int hidden = prctl(PR_GET_DUMPABLE) == 0 && prctl(PR_SET_DUMPABLE, 1) == 0;
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    int why = errno;
    if (hidden && prctl(PR_SET_DUMPABLE, 0) != 0)
        why = errno;
    if (fd < 0)
        return errno = why, -1;
    ssize_t n = write(fd, "1000", 4);
    int error = errno;
    (void)close(fd); /* procfs takes the value in write */
    errno = error;
    return n == 4 ? 0 : -1;
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
    warn_if(no_stdin() != 0, "/dev/null for stdin");
    warn_if(fds_keep_std() != 0, "close_range");
}

/* The whole group, with every thread of it (setpriority(2) of one process is that of one thread). */
void spawn_step_behind(pid_t group)
{
    int ours = getpriority(PRIO_PROCESS, 0); /* that of the entrypoint, also in its child; it cannot fail */
    warn_if(setpriority(PRIO_PGRP, (id_t)group, ours + NICER) != 0, "nice");
    warn_if(syscall(SYS_ioprio_set, IOPRIO_WHO_PGRP, group, BEST_EFFORT_LOWEST) != 0, "ioprio_set");
}

static void tell_gate(int gate)
{
    char text[16] = "open";
    if (gate >= 0)
        (void)snprintf(text, sizeof text, "%d", gate);
    warn_if(setenv("QDRANT_RESTORE_GATE", text, 1) != 0, "QDRANT_RESTORE_GATE");
    warn_if(gate >= 0 && fcntl(gate, F_SETFD, 0) != 0, "the gate's descriptor");
}

static void tell_stop(const struct spawn_words *words)
{
    char fd[16], seconds[16], restore_pending[24];
    (void)snprintf(restore_pending, sizeof restore_pending, "%lld", (long long)words->hold_ms);
    warn_if(setenv("QDRANT_STOP_HOLD", restore_pending, 1) != 0, "QDRANT_STOP_HOLD");
    (void)snprintf(fd, sizeof fd, "%d", words->publishes);
    (void)snprintf(seconds, sizeof seconds, "%u", words->grace_seconds);
    warn_if(setenv("STOP_GRACE_SECONDS", seconds, 1) != 0, "STOP_GRACE_SECONDS");
    warn_if(setenv("QDRANT_STOP_WORD", fd, 1) != 0, "QDRANT_STOP_WORD");
    warn_if(words->publishes >= 0 && fcntl(words->publishes, F_SETFD, 0) != 0, "the descriptor for the stop");
}

pid_t spawn_finder(char *path, const char *uri, int out)
{
    pid_t parent = getpid(), pid = fork();
    if (pid != 0)
        return pid;
    char word[] = "cluster-start", *argv[] = {path, word, NULL};
    say_in_child();
    warn_if(prctl(PR_SET_PDEATHSIG, SIGKILL) != 0, "PR_SET_PDEATHSIG");
    if (getppid() != parent)
        _exit(EXIT_CANNOT_RUN);
    warn_if(uri && setenv("QDRANT_URI", uri, 1) != 0, "QDRANT_URI");
    warn_if(dup2(out, STDOUT_FILENO) < 0, "the pipe for its word");
    warn_if(no_stdin() != 0, "/dev/null for stdin");
    warn_if(fds_keep_std() != 0, "close_range");
    qdrant_files_tell();
    become(argv, -1);
}

pid_t spawn_replicator(char *path, const struct spawn_words *words, int runs)
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
        if (words->gate < 0)
            spawn_step_behind(getpid());
        tell_gate(words->gate);
        tell_stop(words);
        qdrant_files_tell();
        become(argv, runs);
    }
    /* Here too, so that a signal to the group right after this reaches it. EACCES: it did it itself and is
     * past exec already; ESRCH: it is gone already. */
    if (pid > 0 && setpgid(pid, pid) != 0 && errno != EACCES && errno != ESRCH)
        say(SAY_WARN, "failed", "setpgid for the replicator: %s", strerror(errno));
    return pid;
}
