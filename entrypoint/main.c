/* qdrant-entrypoint: PID 1 of the container. Starts Qdrant and the replicator, forwards signals, reaps,
 * restarts the replicator, ends with Qdrant's exit code. libc only, and no system call on EFS ever: a hung
 * mount must not hang the process that Qdrant's life depends on. Nothing here polls. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BACKOFF_FIRST = 1, BACKOFF_MAX = 60, STABLE_SECONDS = 300, GRACE_STANDARD = 25, LAST_WORDS = 2 };
enum { EXIT_SETTING = 64, EXIT_OOM = 137, CANNOT_RUN = 126, NOT_FOUND = 127 };

struct entrypoint {
    char **qdrant_argv;
    char replicator[PATH_MAX];
    pid_t qdrant, replicator_pid;
    bool wants_replicator, stopping, recovery_used;
    int exit_code; /* Qdrant's, once it is gone */
    unsigned grace, backoff;
    time_t replicator_started;
    int signals, restart_timer, kill_timer;
    sigset_t inherited;
};

static const int forwarded[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2};

/* One line on stderr, in one write so that it does not mix with Qdrant's. Messages are ours alone but for
 * names from the environment, which are escaped. */
static void say(const char *level, const char *event, const char *format, const char *value)
{
    char clean[512], message[1024], line[1400], when[32] = "?";
    const char *style = getenv("LOG_FORMAT");
    size_t n = 0;
    time_t now = time(NULL);
    struct tm tm;
    for (const char *p = value; *p && n + 2 < sizeof clean; p++)
        clean[n++] = (unsigned char)*p < 0x20 || *p == '"' || *p == '\\' ? '?' : *p;
    clean[n] = 0;
    if (gmtime_r(&now, &tm))
        (void)strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
    (void)snprintf(message, sizeof message, "%s%s", format, clean);
    int len = style && strcmp(style, "text") == 0
        ? snprintf(line, sizeof line, "%s %-5s %s: %s\n", when, level, event, message)
        : snprintf(line, sizeof line, "{\"time\":\"%s\",\"level\":\"%s\",\"program\":\"qdrant-entrypoint\",\"event\":\"%s\",\"message\":\"%s\"}\n",
                   when, level, event, message);
    if (len > 0 && write(STDERR_FILENO, line, (size_t)len) < 0)
        return; /* nobody reads: there is no other place to say so */
}

static void say_errno(const char *what, const char *path)
{
    char text[600];
    (void)snprintf(text, sizeof text, "%s: %s", path, strerror(errno));
    say("error", "failed", what, text);
}

static time_t monotonic(void)
{
    struct timespec t;
    return clock_gettime(CLOCK_MONOTONIC, &t) == 0 ? t.tv_sec : 0;
}

static void arm(int timer, double seconds)
{
    struct itimerspec at = {.it_value = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9) + 1}};
    if (timerfd_settime(timer, 0, &at, NULL) != 0)
        say_errno("cannot set a timer", "");
}

/* In the child: signals as we were given them, then the program. */
static void become(const struct entrypoint *ep, char **argv)
{
    for (size_t i = 0; i < sizeof forwarded / sizeof *forwarded; i++)
        (void)signal(forwarded[i], SIG_DFL); /* valid signals cannot fail */
    (void)sigprocmask(SIG_SETMASK, &ep->inherited, NULL);
    (void)execvp(argv[0], argv);
    int code = errno == ENOENT ? NOT_FOUND : CANNOT_RUN;
    say_errno("cannot run ", argv[0]);
    _exit(code);
}

static pid_t start_qdrant(const struct entrypoint *ep)
{
    pid_t pid = fork();
    if (pid == 0)
        become(ep, ep->qdrant_argv);
    if (pid < 0)
        say_errno("cannot start Qdrant", "");
    return pid;
}

/* Behind Qdrant in everything: its own process group (a terminal's ^C is ours to forward), nice 10, and the
 * lowest best-effort I/O priority (ioprio_set(2): class 2, level 7). */
static void start_replicator(struct entrypoint *ep)
{
    char *argv[] = {ep->replicator, NULL};
    pid_t pid = fork();
    if (pid == 0) {
        (void)setpgid(0, 0);
        (void)setpriority(PRIO_PROCESS, 0, 10);
        (void)syscall(SYS_ioprio_set, 1, 0, (2 << 13) | 7);
        become(ep, argv);
    }
    ep->replicator_pid = pid > 0 ? pid : 0;
    ep->replicator_started = monotonic();
    if (pid < 0) {
        say_errno("cannot start the replicator", "");
        arm(ep->restart_timer, BACKOFF_MAX);
    } else if (setpgid(pid, pid) != 0 && errno != EACCES && errno != ESRCH) {
        say_errno("setpgid", ""); /* EACCES: it did so itself and runs already */
    }
}

static int code_of(int status) { return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status); }

static void replicator_ended(struct entrypoint *ep, int status)
{
    char text[80];
    int code = code_of(status);
    ep->replicator_pid = 0;
    if (ep->stopping)
        return;
    if (code == EXIT_SETTING) {
        ep->wants_replicator = false;
        say("error", "no_backups", "NO BACKUPS ARE MADE: the replicator found a wrong setting (see its line above); Qdrant runs on", "");
        return;
    }
    if (monotonic() - ep->replicator_started >= STABLE_SECONDS)
        ep->backoff = BACKOFF_FIRST;
    /* Jitter, so that the tasks of a service do not all come back to one EFS at once. */
    double wait = (double)ep->backoff * (0.75 + (double)(random() % 1000) / 2000.0);
    (void)snprintf(text, sizeof text, "%d, starting it again in %.1f s", code, wait);
    say("error", "replicator_ended", "the replicator ended with ", text);
    ep->backoff = ep->backoff * 2 > BACKOFF_MAX ? BACKOFF_MAX : ep->backoff * 2;
    arm(ep->restart_timer, wait);
}

/* The official image's recovery mode: killed for memory before it ever finished starting, Qdrant is started
 * once more with its collections closed, so that an operator can look (its tools/entrypoint.sh). */
static bool recover(struct entrypoint *ep)
{
    const char *allow = getenv("QDRANT_ALLOW_RECOVERY_MODE"), *init = getenv("QDRANT_INIT_FILE_PATH");
    if (ep->stopping || ep->recovery_used || ep->exit_code != EXIT_OOM || !allow || strcmp(allow, "true") != 0 ||
        access(init && *init ? init : ".qdrant-initialized", F_OK) == 0)
        return false;
    ep->recovery_used = true;
    say("error", "recovery_mode", "Qdrant was killed (137) before it was initialized, likely out of memory; starting it in recovery mode", "");
    if (setenv("QDRANT__STORAGE__RECOVERY_MODE",
               "Qdrant was killed during initialization. Most likely it's Out-of-Memory.", 1) != 0)
        return false;
    ep->qdrant = start_qdrant(ep);
    return ep->qdrant > 0;
}

static void kill_group(const struct entrypoint *ep, int sig)
{
    if (ep->replicator_pid > 0 && kill(-ep->replicator_pid, sig) != 0)
        (void)kill(ep->replicator_pid, sig);
}

static void qdrant_ended(struct entrypoint *ep, int status)
{
    ep->qdrant = 0;
    ep->exit_code = code_of(status);
    if (recover(ep))
        return;
    /* One that hangs in the kernel on a dead mount cannot be killed and is not waited for. */
    ep->stopping = true;
    kill_group(ep, SIGTERM);
    arm(ep->kill_timer, LAST_WORDS);
}

static void reap(struct entrypoint *ep)
{
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
        if (pid == ep->qdrant)
            qdrant_ended(ep, status);
        else if (pid == ep->replicator_pid)
            replicator_ended(ep, status);
    } /* anything else was an orphan */
}

static void on_signal(struct entrypoint *ep, int sig)
{
    if (sig == SIGCHLD) {
        reap(ep);
        return;
    }
    if (ep->qdrant > 0 && kill(ep->qdrant, sig) != 0 && errno != ESRCH)
        say_errno("cannot signal Qdrant", "");
    if (sig != SIGTERM && sig != SIGINT && sig != SIGQUIT)
        return;
    kill_group(ep, SIGTERM);
    if (!ep->stopping) /* a second one neither shortens nor extends the budget */
        arm(ep->kill_timer, ep->grace);
    ep->stopping = true;
}

/* The budget is used up. True when there is nobody left that is worth waiting for. */
static bool out_of_time(struct entrypoint *ep)
{
    kill_group(ep, SIGKILL);
    if (ep->qdrant <= 0)
        return true;
    say("error", "killed", "Qdrant did not stop within STOP_GRACE_SECONDS and is killed", "");
    if (kill(ep->qdrant, SIGKILL) != 0 && errno != ESRCH)
        say_errno("cannot kill Qdrant", "");
    return false;
}

static bool expired(int timer)
{
    uint64_t n;
    return read(timer, &n, sizeof n) == sizeof n;
}

static int supervise(struct entrypoint *ep)
{
    struct pollfd fds[] = {{.fd = ep->signals, .events = POLLIN}, {.fd = ep->restart_timer, .events = POLLIN},
                           {.fd = ep->kill_timer, .events = POLLIN}};
    while (ep->qdrant > 0 || ep->replicator_pid > 0) {
        struct signalfd_siginfo info;
        if (poll(fds, 3, -1) < 0 && errno != EINTR) {
            say_errno("poll", "");
            return CANNOT_RUN;
        }
        while (read(ep->signals, &info, sizeof info) == sizeof info)
            on_signal(ep, (int)info.ssi_signo);
        if (expired(ep->restart_timer) && !ep->stopping && ep->wants_replicator && ep->replicator_pid == 0)
            start_replicator(ep);
        if (expired(ep->kill_timer) && out_of_time(ep))
            break;
    }
    return ep->exit_code;
}

static void find_replicator(struct entrypoint *ep)
{
    const char *given = getenv("REPLICATOR_BIN");
    char self[PATH_MAX - 32];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash = NULL;
    if (n > 0) {
        self[n] = 0;
        slash = strrchr(self, '/');
    }
    if (slash)
        *slash = 0;
    if (given && *given)
        (void)snprintf(ep->replicator, sizeof ep->replicator, "%s", given);
    else
        (void)snprintf(ep->replicator, sizeof ep->replicator, "%s%sqdrant-replicator", slash ? self : "", slash ? "/" : "");
}

static unsigned read_grace(void)
{
    const char *v = getenv("STOP_GRACE_SECONDS");
    char *end = NULL;
    if (!v || !*v)
        return GRACE_STANDARD;
    long n = strtol(v, &end, 10);
    if (*v >= '0' && *v <= '9' && !*end && n >= 1 && n <= 3600)
        return (unsigned)n;
    say("error", "wrong_setting", "STOP_GRACE_SECONDS is not a whole number from 1 to 3600 (25 is used instead): ", v);
    return GRACE_STANDARD;
}

static bool set_up(struct entrypoint *ep)
{
    sigset_t set;
    (void)sigemptyset(&set); /* valid sets and signals cannot fail */
    (void)sigaddset(&set, SIGCHLD);
    for (size_t i = 0; i < sizeof forwarded / sizeof *forwarded; i++)
        (void)sigaddset(&set, forwarded[i]);
    if (sigprocmask(SIG_BLOCK, &set, &ep->inherited) != 0)
        return false;
    (void)sigemptyset(&ep->inherited); /* a container's parent may have blocked some: Qdrant wants them all */
    /* Orphans come to us also when we are not PID 1: docker --init, pidMode task. */
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
        say_errno("cannot become subreaper", "");
    ep->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    ep->restart_timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    ep->kill_timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    return ep->signals >= 0 && ep->restart_timer >= 0 && ep->kill_timer >= 0;
}

int main(int argc, char **argv)
{
    static char standard[] = "/qdrant/qdrant";
    struct entrypoint ep = {.backoff = BACKOFF_FIRST};
    const char *efs = getenv("EFS_ROOT");
    if (argc > 2 && strcmp(argv[1], "--") == 0) {
        ep.qdrant_argv = argv + 2;
    } else {
        char *given = getenv("QDRANT_BIN");
        argv[0] = given && *given ? given : standard;
        ep.qdrant_argv = argv;
    }
    ep.grace = read_grace();
    srandom((unsigned)time(NULL) ^ (unsigned)getpid());
    if (!set_up(&ep)) {
        say_errno("cannot supervise, running Qdrant alone", "");
        become(&ep, ep.qdrant_argv);
    }
    find_replicator(&ep);
    ep.qdrant = start_qdrant(&ep);
    if (ep.qdrant < 0)
        return CANNOT_RUN;
    ep.wants_replicator = efs && *efs;
    if (ep.wants_replicator)
        start_replicator(&ep);
    else
        say("warn", "no_backups", "EFS_ROOT is not set: Qdrant runs alone and NO BACKUPS ARE MADE; set it to the folder where EFS is mounted", "");
    return supervise(&ep);
}
