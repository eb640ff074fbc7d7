#include "entrypoint/supervise.h"
#include "entrypoint/say.h"
#include "entrypoint/signals.h"
#include "entrypoint/spawn.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int64_t now_ms(void)
{
    struct timespec t = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail with this clock */
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* From the kernel, not from clock and pid: in containers started together those are the same. */
static uint32_t chance(void)
{
    uint32_t n = 0;
    if (getrandom(&n, sizeof n, GRND_NONBLOCK) != sizeof n)
        n = (uint32_t)now_ms();
    return n;
}

static int code_of(int status)
{
    return WIFSIGNALED(status) ? EXIT_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
}

/* "with code 1", "by signal KILL (code 137)" */
static const char *how(int status, char *text, size_t size)
{
    if (WIFSIGNALED(status))
        (void)snprintf(text, size, "by signal %s (code %d)", signals_name(WTERMSIG(status)), code_of(status));
    else
        (void)snprintf(text, size, "with code %d", code_of(status));
    return text;
}

static void send(pid_t to, int sig, const char *whom)
{
    if (kill(to, sig) != 0 && errno != ESRCH)
        say(SAY_ERROR, "failed", "cannot send %s to %s: %s", signals_name(sig), whom, strerror(errno));
}

static void start_replicator(struct supervisor *sv)
{
    sv->replicator_due = 0;
    pid_t pid = spawn_replicator(sv->settings->replicator);
    if (pid < 0) {
        say(SAY_ERROR, "failed", "cannot start the replicator: %s; trying again", strerror(errno));
        sv->replicator_due = now_ms() + backoff_wait(&sv->backoff, 0, chance());
        return;
    }
    sv->replicator = pid;
    sv->replicator_since = now_ms();
    say(SAY_INFO, "replicator_started", "started the replicator, %s, pid %d", sv->settings->replicator,
        (int)pid);
}

/* What the policy said is to be done. */
static void carry_out(struct supervisor *sv, unsigned todo, int sig)
{
    if ((todo & TODO_PASS_ON) && sv->qdrant > 0)
        send(sv->qdrant, sig, "Qdrant");
    if ((todo & TODO_TERM_REPLICATOR) && sv->replicator > 0)
        send(-sv->replicator, SIGTERM, "the replicator");
    if ((todo & TODO_LAST_CALL) && sv->qdrant > 0) {
        say(SAY_WARN, "last_call", "Qdrant still runs; it is told once more, by TERM, before it is killed");
        send(sv->qdrant, SIGTERM, "Qdrant");
    }
    if ((todo & TODO_KILL_QDRANT) && sv->qdrant > 0) {
        say(SAY_ERROR, "qdrant_killed", "Qdrant did not stop within STOP_GRACE_SECONDS (%u) and is killed",
            sv->settings->grace_seconds);
        send(sv->qdrant, SIGKILL, "Qdrant");
    }
    if ((todo & TODO_KILL_REPLICATOR) && sv->replicator > 0) {
        say(SAY_WARN, "replicator_killed", "the replicator did not stop in time and is killed");
        send(-sv->replicator, SIGKILL, "the replicator");
    }
    if (todo & TODO_LEAVE)
        sv->leave = true;
}

static void replicator_ended(struct supervisor *sv, int status)
{
    char text[64];
    sv->replicator = 0;
    if (sv->stop.phase != STOP_NONE) {
        say(SAY_INFO, "replicator_ended", "the replicator ended %s", how(status, text, sizeof text));
        carry_out(sv, stop_on_replicator_end(&sv->stop), 0);
        return;
    }
    if (code_of(status) == EXIT_SETTING) {
        say(SAY_ERROR, "no_backups",
            "NO BACKUPS ARE MADE: the replicator found a wrong setting (its own line says which) "
            "and is not started again; Qdrant runs on");
        return;
    }
    int64_t now = now_ms(), wait = backoff_wait(&sv->backoff, now - sv->replicator_since, chance());
    say(SAY_ERROR, "replicator_ended", "the replicator ended %s; starting it again in %lld.%lld s",
        how(status, text, sizeof text), (long long)wait / 1000, (long long)wait % 1000 / 100);
    sv->replicator_due = now + wait;
}

/* Qdrant's mark of a finished start, looked at as the official entrypoint does, `[ -f FILE ]`. The one file
 * that is looked at here. It is in Qdrant's own folder, and Qdrant would hang there first. */
static bool initialized(const char *file)
{
    struct stat st;
    return stat(file, &st) == 0 && S_ISREG(st.st_mode);
}

static bool recover(struct supervisor *sv)
{
    struct recovery r = {.allowed = sv->settings->recovery_allowed,
                         .used = sv->recovery_used,
                         .stop_asked = sv->stop.phase != STOP_NONE};
    if (!recovery_wanted(&r, sv->exit_code) || initialized(sv->settings->init_file))
        return false;
    sv->recovery_used = true;
    pid_t pid = spawn_qdrant(sv->settings->qdrant_argv, true);
    if (pid < 0) {
        say(SAY_ERROR, "failed", "cannot start Qdrant in recovery mode: %s", strerror(errno));
        return false;
    }
    sv->qdrant = pid;
    say(SAY_ERROR, "recovery_mode",
        "Qdrant was killed before it finished its start, most likely out of memory; "
        "started it once more in recovery mode, pid %d",
        (int)pid);
    return true;
}

static void qdrant_ended(struct supervisor *sv, int status)
{
    char text[64];
    sv->qdrant = 0;
    sv->exit_code = code_of(status);
    say(sv->exit_code == 0 || sv->stop.phase != STOP_NONE ? SAY_INFO : SAY_ERROR, "qdrant_ended",
        "Qdrant ended %s", how(status, text, sizeof text));
    if (recover(sv))
        return;
    sv->replicator_due = 0;
    carry_out(sv, stop_on_qdrant_end(&sv->stop, sv->replicator > 0, now_ms()), 0);
}

static void reap(struct supervisor *sv)
{
    for (;;) {
        siginfo_t who = {0};
        int status = 0;
        if (waitid(P_ALL, 0, &who, WEXITED | WNOHANG | WNOWAIT) != 0 || who.si_pid == 0)
            return; /* ECHILD, or none has ended */
        /* While its leader is a zombie the group's number cannot be taken by others: the moment to end what a
         * replicator that crashed (or a script around it) left behind, before the next one starts. */
        if (who.si_pid == sv->replicator)
            send(-sv->replicator, SIGKILL, "the replicator's group");
        if (waitpid(who.si_pid, &status, 0) != who.si_pid)
            return;
        if (who.si_pid == sv->qdrant)
            qdrant_ended(sv, status);
        else if (who.si_pid == sv->replicator)
            replicator_ended(sv, status);
        else
            say(SAY_DEBUG, "reaped", "reaped an orphan, pid %d", (int)who.si_pid);
    }
}

static void on_signal(struct supervisor *sv, const struct signalfd_siginfo *info)
{
    int sig = (int)info->ssi_signo;
    if (sig == SIGCHLD) {
        reap(sv);
        return;
    }
    bool first_stop = sv->stop.phase == STOP_NONE && stop_signal(sig);
    unsigned todo = stop_on_signal(&sv->stop, sig, now_ms());
    /* A key of the terminal, which goes to all of the foreground: Qdrant is in our process group and has it.
     */
    if (info->ssi_code == SI_KERNEL)
        todo &= ~(unsigned)TODO_PASS_ON;
    if (first_stop)
        say(SAY_INFO, "stop_asked",
            "stop asked by signal %s from pid %u (0: from outside the container); all is over in %u s at the "
            "latest",
            signals_name(sig), info->ssi_pid, sv->settings->grace_seconds);
    else
        say(SAY_DEBUG, "signal", "signal %s from pid %u %s", signals_name(sig), info->ssi_pid,
            todo & TODO_PASS_ON ? "goes to Qdrant" : "is not passed on");
    carry_out(sv, todo, sig);
}

/* One batch a turn, then back to the clock: whoever floods us with signals cannot hold up the budget. */
static void take_signals(struct supervisor *sv)
{
    struct signalfd_siginfo batch[8]; /* at most one of each of the seven can be pending */
    ssize_t n = read(sv->signals, batch, sizeof batch);
    for (size_t i = 0; n > 0 && i < (size_t)n / sizeof *batch; i++)
        on_signal(sv, &batch[i]);
}

static void take_time(struct supervisor *sv)
{
    int64_t now = now_ms();
    unsigned todo = stop_on_time(&sv->stop, now);
    if ((todo & TODO_LEAVE) && sv->qdrant > 0) {
        say(SAY_ERROR, "left_behind", "Qdrant hangs in the kernel and is left behind");
        sv->exit_code = EXIT_SIGNAL + SIGKILL;
    }
    carry_out(sv, todo, 0);
    if (sv->stop.phase == STOP_NONE && sv->replicator_due > 0 && now >= sv->replicator_due)
        start_replicator(sv);
}

/* The one timer: the next step of the stop, else the replicator's next start, else off. */
static void arm(const struct supervisor *sv)
{
    int64_t at = sv->stop.phase != STOP_NONE ? sv->stop.at : sv->replicator_due;
    struct itimerspec when = {.it_value = {at / 1000, at % 1000 * 1000000}};
    if (timerfd_settime(sv->timer, TFD_TIMER_ABSTIME, &when, NULL) != 0)
        say(SAY_ERROR, "failed", "cannot set the timer: %s", strerror(errno));
}

/* Qdrant before all: when even poll fails, wait for it as a shell would. */
static int wait_blindly(struct supervisor *sv)
{
    int status = 0;
    say(SAY_ERROR, "failed", "cannot supervise any more: %s; only waiting for Qdrant", strerror(errno));
    while (sv->qdrant > 0 && waitpid(sv->qdrant, &status, 0) < 0)
        if (errno != EINTR)
            return EXIT_CANNOT_RUN;
    return code_of(status);
}

int supervisor_open(struct supervisor *sv, struct settings *settings)
{
    sv->settings = settings;
    sv->stop.grace_ms = (int64_t)settings->grace_seconds * 1000;
    sv->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    sv->signals = signals_take();
    if (sv->timer < 0 || sv->signals < 0)
        return -1;
    /* Orphans come to us also when we are not PID 1: under an init (initProcessEnabled), pidMode task. */
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
        say(SAY_WARN, "failed", "cannot become subreaper: %s", strerror(errno));
    return 0;
}

int supervisor_start(struct supervisor *sv)
{
    sv->qdrant = spawn_qdrant(sv->settings->qdrant_argv, false);
    if (sv->qdrant < 0)
        return -1;
    say(SAY_INFO, "qdrant_started", "started Qdrant, %s, pid %d", sv->settings->qdrant_argv[0],
        (int)sv->qdrant);
    if (sv->settings->backups_wanted)
        start_replicator(sv);
    else
        say(SAY_WARN, "no_backups",
            "EFS_ROOT is not set: Qdrant runs alone and NO BACKUPS ARE MADE; "
            "set it to the folder where EFS is mounted");
    return 0;
}

int supervisor_run(struct supervisor *sv)
{
    struct pollfd fds[] = {{.fd = sv->signals, .events = POLLIN}, {.fd = sv->timer, .events = POLLIN}};
    while (!sv->leave) {
        arm(sv);
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return wait_blindly(sv);
        if (fds[0].revents)
            take_signals(sv);
        if (!sv->leave)
            take_time(sv);
    }
    return sv->exit_code;
}
