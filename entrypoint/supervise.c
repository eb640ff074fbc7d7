#include "entrypoint/supervise.h"
#include "common/base/storage_state.h"
#include "entrypoint/log.h"
#include "entrypoint/signals.h"
#include "entrypoint/spawn.h"
#include <errno.h>
#include <fcntl.h>
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

static void close_end(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd); /* only read from, or not written to */
    *fd = -1;
}

/* `*ours` is the end to read from, `*theirs` the replicator's. */
static int open_words(int *ours, int *theirs)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
        return -1;
    *ours = ends[0];
    *theirs = ends[1];
    return 0;
}

/* For whom is started next; returns the child's end. Without one (-1) its start is not told. */
static int open_runs(int *ours)
{
    int theirs = -1;
    close_end(ours);
    (void)open_words(ours, &theirs);
    return theirs;
}

static int64_t hold_of(const struct supervisor *sv)
{
    return sv->settings->snapshot_on_stop ? stop_hold(sv->stop.grace_ms) : 0;
}

/* With descriptors of its own for each replicator, one that died cannot let Qdrant in any more. */
static pid_t spawn_with_words(struct supervisor *sv)
{
    struct spawn_words words = {
        .gate = -1, .publishes = -1, .hold_ms = hold_of(sv), .grace_seconds = sv->settings->grace_seconds};
    close_end(&sv->gate);
    close_end(&sv->word);
    int runs = open_runs(&sv->replicator_runs);
    pid_t pid = -1;
    if ((!sv->held || open_words(&sv->gate, &words.gate) == 0) &&
        open_words(&sv->word, &words.publishes) == 0)
        pid = spawn_replicator(sv->settings->replicator, &words, runs);
    int why = errno;
    close_end(&runs);
    close_end(&words.gate);
    close_end(&words.publishes);
    if (pid < 0) {
        close_end(&sv->gate);
        close_end(&sv->word);
        close_end(&sv->replicator_runs);
    }
    errno = why;
    return pid;
}

static void start_replicator(struct supervisor *sv)
{
    sv->replicator_due = 0;
    pid_t pid = spawn_with_words(sv);
    if (pid < 0) {
        say(SAY_ERROR, "failed", "cannot start the replicator: %s; trying again", strerror(errno));
        sv->replicator_due = now_ms() + backoff_wait(&sv->backoff, 0, chance());
        return;
    }
    sv->replicator = pid;
    sv->replicator_since = now_ms();
}

/* The replicator says itself what a stop loses, unless it is gone before. Once. */
static void say_lost(struct supervisor *sv, const char *why)
{
    if (sv->stop.owed)
        say(SAY_ERROR, "stop_not_snapshotted",
            "the last snapshots were not made, or not all of them: %s. What was written since the last "
            "backups is on this disk alone, and is lost with it",
            why);
    else if (sv->stop.publishing)
        say(SAY_ERROR, "left_unpublished",
            "finished snapshots may not be on EFS: %s while it put them there. What is not there is on this "
            "disk alone",
            why);
    sv->stop.owed = sv->stop.publishing = false;
}

/* What the policy said is to be done. */
static void carry_out(struct supervisor *sv, unsigned todo)
{
    if ((todo & TODO_PASS_ON) && sv->qdrant > 0)
        send(sv->qdrant, sv->stop.sig, "Qdrant");
    if ((todo & TODO_TERM_REPLICATOR) && sv->replicator > 0)
        send(-sv->replicator, SIGTERM, "the replicator");
    if ((todo & TODO_SECOND_TERM) && sv->qdrant > 0) {
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
        say_lost(sv, "the replicator hung and was killed");
        send(-sv->replicator, SIGKILL, "the replicator");
    }
    if (todo & TODO_LEAVE)
        sv->leave = true;
}

/* Qdrant, which was held back, is told to stop. */
static void let_go(struct supervisor *sv, unsigned todo, const char *why)
{
    if (todo & TODO_PASS_ON)
        say(SAY_INFO, "qdrant_told", "Qdrant is told to stop: %s", why);
    carry_out(sv, todo);
}

static void take_word(struct supervisor *sv);

/* Its last words come first: they may lie there unread. */
static void ended_in_stop(struct supervisor *sv, int status)
{
    char text[64], why[100];
    if (sv->word >= 0)
        take_word(sv);
    say(SAY_INFO, "replicator_ended", "the replicator ended %s", how(status, text, sizeof text));
    (void)snprintf(why, sizeof why, "the replicator ended %s", text);
    if (sv->stop.owed || WIFSIGNALED(status))
        say_lost(sv, why);
}

static void replicator_ended(struct supervisor *sv, int status)
{
    char text[64];
    sv->replicator = 0;
    if (sv->stop.phase != STOP_NONE) {
        ended_in_stop(sv, status);
        let_go(sv, stop_on_replicator_end(&sv->stop), "the replicator is gone");
        return;
    }
    if (code_of(status) == EXIT_SETTING && sv->held) {
        say(SAY_ERROR, "restore_refused",
            "the replicator found a wrong setting (its own line says which), and this node's empty disk "
            "cannot be "
            "restored: Qdrant is not started. Correct the setting; RESTORE_ON_EMPTY=never starts Qdrant "
            "without a restore");
        sv->exit_code = EXIT_SETTING;
        sv->leave = true;
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

/* --- the place in a cluster */

static void start_finder(struct supervisor *sv)
{
    int theirs = -1;
    sv->finder_due = 0;
    sv->finder_since = now_ms();
    pid_t pid = open_words(&sv->finder_word, &theirs) == 0
                    ? spawn_finder(sv->settings->replicator, sv->settings->uri, theirs)
                    : -1;
    int why = errno;
    close_end(&theirs);
    if (pid > 0) {
        sv->finder = pid;
        return;
    }
    close_end(&sv->finder_word);
    say(SAY_ERROR, "failed", "cannot look for the cluster: %s; trying again", strerror(why));
    sv->finder_due = now_ms() + backoff_wait(&sv->finder_backoff, 0, chance());
}

/* After its word it stays for a while, and nobody waits for it. */
static void finder_ended(struct supervisor *sv, int status)
{
    char text[64];
    sv->finder = 0;
    close_end(&sv->finder_word);
    if (!sv->unplaced || sv->stop.phase != STOP_NONE)
        return;
    if (code_of(status) == EXIT_SETTING) {
        say(SAY_ERROR, "cluster_refused",
            "a setting of the cluster is wrong (the replicator's own line says which): Qdrant is not "
            "started");
        sv->exit_code = EXIT_SETTING;
        sv->leave = true;
        return;
    }
    int64_t now = now_ms(), wait = backoff_wait(&sv->finder_backoff, now - sv->finder_since, chance());
    say(SAY_ERROR, "cluster_start_failed",
        "whoever looks for the cluster ended %s; that is begun again in %lld.%lld s",
        how(status, text, sizeof text), (long long)wait / 1000, (long long)wait % 1000 / 100);
    sv->finder_due = now + wait;
}

/* Qdrant's mark of a finished start, looked at as the official entrypoint does, `[ -f FILE ]`. The one file
 * that is looked at here. It is in Qdrant's own folder, and Qdrant would hang there first. */
static bool initialized(const char *file)
{
    struct stat st;
    return stat(file, &st) == 0 && S_ISREG(st.st_mode);
}

static pid_t fork_qdrant(struct supervisor *sv, bool recovery)
{
    int runs = open_runs(&sv->qdrant_runs);
    pid_t pid = spawn_qdrant(sv->settings->qdrant_argv, recovery, sv->settings->confine,
                             sv->settings->finds_cluster ? &sv->place : NULL, runs);
    int why = errno;
    close_end(&runs);
    if (pid < 0)
        close_end(&sv->qdrant_runs);
    errno = why;
    return pid;
}

static bool recover(struct supervisor *sv)
{
    struct recovery r = {.allowed = sv->settings->recovery_allowed,
                         .used = sv->recovery_used,
                         .stop_asked = sv->stop.phase != STOP_NONE};
    if (!recovery_wanted(&r, sv->exit_code) || initialized(sv->settings->init_file))
        return false;
    sv->recovery_used = true;
    pid_t pid = fork_qdrant(sv, true);
    if (pid < 0) {
        say(SAY_ERROR, "failed", "cannot start Qdrant in recovery mode: %s", strerror(errno));
        return false;
    }
    sv->qdrant = pid;
    say(SAY_ERROR, "recovery_mode",
        "Qdrant was killed before it finished its start, most likely out of memory; "
        "it is started once more in recovery mode, pid %d",
        (int)pid);
    return true;
}

/* It did not come to take its place in the cluster. */
static bool look_again(struct supervisor *sv)
{
    int64_t now = now_ms(), ran = now - sv->placed_at;
    if (!sv->settings->finds_cluster ||
        !place_wanted_again(sv->stop.phase != STOP_NONE, sv->exit_code, ran, sv->place_tries))
        return false;
    sv->place_tries++;
    sv->unplaced = true;
    sv->finder_due = now + backoff_wait(&sv->finder_backoff, 0, chance());
    say(SAY_WARN, "cluster_start_failed",
        "Qdrant did not take its place in the cluster (its own lines say why); it is looked for again");
    if (sv->finder > 0) /* the one that found it waits for a leader that does not come */
        send(sv->finder, SIGTERM, "whoever looks for the cluster");
    sv->finder = 0; /* an orphan from now on */
    return true;
}

static void qdrant_ended(struct supervisor *sv, int status)
{
    char text[64];
    sv->qdrant = 0;
    sv->exit_code = code_of(status);
    say(sv->exit_code == 0 || sv->stop.phase != STOP_NONE ? SAY_INFO : SAY_ERROR, "qdrant_ended",
        "Qdrant ended %s", how(status, text, sizeof text));
    if (recover(sv) || look_again(sv))
        return;
    sv->replicator_due = 0;
    carry_out(sv, stop_on_qdrant_end(&sv->stop, sv->replicator > 0, now_ms()));
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
        else if (who.si_pid == sv->finder)
            finder_ended(sv, status);
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
    /* A key of the terminal, which goes to all of the foreground: Qdrant is in our process group and has it.
     */
    bool has_it = info->ssi_code == SI_KERNEL;
    if (first_stop)
        sv->stop.hold_ms = !has_it && sv->qdrant > 0 && sv->replicator > 0 ? hold_of(sv) : 0;
    unsigned todo = stop_on_signal(&sv->stop, sig, now_ms());
    if (has_it)
        todo &= ~(unsigned)TODO_PASS_ON;
    if (first_stop)
        say(SAY_INFO, "stop_asked",
            "stop asked by signal %s from pid %u (0: from outside the container); all is over in %u s at the "
            "latest",
            signals_name(sig), info->ssi_pid, sv->settings->grace_seconds);
    else if (todo & TODO_PASS_ON)
        say(SAY_INFO, "qdrant_told", "Qdrant is told to stop: a second signal came, %s", signals_name(sig));
    else
        say(SAY_DEBUG, "signal", "signal %s from pid %u is not passed on", signals_name(sig), info->ssi_pid);
    if (first_stop && sv->qdrant > 0 && sv->replicator == 0 && hold_of(sv) > 0)
        sv->stop.owed = true, say_lost(sv, "the replicator does not run");
    carry_out(sv, todo);
    if (first_stop && sv->finder > 0)
        send(sv->finder, SIGTERM, "whoever looks for the cluster");
    if (first_stop && (sv->held || sv->unplaced)) { /* there is no Qdrant to wait for */
        sv->exit_code = EXIT_STOPPED;
        carry_out(sv, stop_on_qdrant_end(&sv->stop, sv->replicator > 0, now_ms()));
    }
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
    if (todo & TODO_PASS_ON)
        say(SAY_WARN, "qdrant_told",
            "Qdrant is told to stop: the time for snapshots is over, or the replicator hangs");
    if ((todo & TODO_LEAVE) && sv->qdrant > 0) {
        say(SAY_ERROR, "left_behind", "Qdrant hangs in the kernel and is left behind");
        sv->exit_code = EXIT_SIGNAL + SIGKILL;
    }
    carry_out(sv, todo);
    if (sv->stop.phase == STOP_NONE && sv->replicator_due > 0 && now >= sv->replicator_due)
        start_replicator(sv);
    if (sv->stop.phase == STOP_NONE && sv->finder_due > 0 && now >= sv->finder_due)
        start_finder(sv);
}

/* The one timer: the next step of the stop, else the next start of a child that is to start again, else off.
 */
static void arm(const struct supervisor *sv)
{
    int64_t at = sv->stop.phase != STOP_NONE ? sv->stop.at : sv->replicator_due;
    if (sv->stop.phase == STOP_NONE && sv->finder_due > 0 && (at == 0 || sv->finder_due < at))
        at = sv->finder_due;
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
    sv->gate = sv->word = sv->qdrant_runs = sv->replicator_runs = sv->finder_word = -1;
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

static int start_qdrant(struct supervisor *sv)
{
    pid_t pid = fork_qdrant(sv, false);
    if (pid < 0)
        return -1;
    sv->qdrant = pid;
    return 0;
}

/* Does the program run? A byte: it cannot, and the child has said why. */
static bool runs_now(int *runs)
{
    char byte;
    ssize_t n = read(*runs, &byte, 1);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    close_end(runs);
    return n == 0;
}

/* A child that is killed on its way ends its pipe, too: at a stop nothing is said of a start. */
static void take_starts(struct supervisor *sv, bool qdrant, bool replicator)
{
    if (sv->stop.phase != STOP_NONE) {
        close_end(&sv->qdrant_runs);
        close_end(&sv->replicator_runs);
    }
    if (qdrant && sv->qdrant_runs >= 0 && runs_now(&sv->qdrant_runs))
        say(SAY_INFO, "qdrant_started", "started Qdrant, %s, pid %d", sv->settings->qdrant_argv[0],
            (int)sv->qdrant);
    if (replicator && sv->replicator_runs >= 0 && runs_now(&sv->replicator_runs))
        say(SAY_INFO, "replicator_started", "started the replicator, %s, pid %d", sv->settings->replicator,
            (int)sv->replicator);
}

static void start_waiting_qdrant(struct supervisor *sv)
{
    if (start_qdrant(sv) == 0)
        return;
    say(SAY_ERROR, "failed", "cannot start Qdrant: %s", strerror(errno));
    sv->exit_code = EXIT_CANNOT_RUN;
    sv->leave = true;
}

/* The replicator writes one line when all is restored. Its end without one is seen by reap. */
static void take_gate(struct supervisor *sv)
{
    char line[16];
    ssize_t n = read(sv->gate, line, sizeof line);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    close_end(&sv->gate);
    if (n < 5 || strncmp(line, "open\n", 5) != 0 || sv->stop.phase != STOP_NONE)
        return;
    sv->held = false;
    if (sv->replicator > 0)
        spawn_step_behind(sv->replicator);
    start_waiting_qdrant(sv);
}

/* The finder's one line comes as a whole. Its end without one is seen by reap. */
static void take_place(struct supervisor *sv)
{
    char line[PLACE_LINE];
    ssize_t n = read(sv->finder_word, line, sizeof line - 1);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    close_end(&sv->finder_word);
    if (n <= 0 || sv->stop.phase != STOP_NONE)
        return;
    line[n] = 0;
    line[strcspn(line, "\n")] = 0;
    if (!place_parse(line, &sv->place)) {
        say(SAY_ERROR, "cluster_start_failed",
            "%s cluster-start says \"%.100s\", which is not understood: are the programs of one version?",
            sv->settings->replicator, line);
        if (sv->finder > 0)
            send(sv->finder, SIGTERM, "whoever looks for the cluster");
        return;
    }
    sv->unplaced = false;
    sv->placed_at = now_ms();
    start_waiting_qdrant(sv);
    if (!sv->leave && sv->settings->backups_wanted && sv->replicator == 0 && sv->replicator_due == 0)
        start_replicator(sv);
}

static void on_word(struct supervisor *sv, const char *word)
{
    if (strcmp(word, "snapshots") == 0) {
        carry_out(sv, stop_on_snapshots(&sv->stop, false));
        if (sv->stop.phase == STOP_HELD)
            say(SAY_INFO, "qdrant_waits",
                "what was written since the last snapshots is snapshotted first; Qdrant is told to stop "
                "after that, within %lld s",
                (long long)(sv->stop.hold_ms / 1000));
    } else if (strcmp(word, "snapshotted") == 0) {
        let_go(sv, stop_on_snapshots(&sv->stop, true), "there are no more snapshots to be made");
    } else if (strcmp(word, "publishing") == 0) {
        stop_on_publishing(&sv->stop);
        say(SAY_INFO, "replicator_publishes",
            "the replicator has finished snapshots to put on EFS, and what is left of STOP_GRACE_SECONDS "
            "(%u) to do it in",
            sv->settings->grace_seconds);
    }
}

/* At a stop the replicator writes a line for each thing that it does. It has few words, which come as a
 * whole. */
static void take_word(struct supervisor *sv)
{
    char text[128], *save = NULL;
    ssize_t n = read(sv->word, text, sizeof text - 1);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        close_end(&sv->word);
        return;
    }
    text[n] = 0;
    for (char *word = strtok_r(text, "\n", &save); word && sv->stop.phase != STOP_NONE;
         word = strtok_r(NULL, "\n", &save))
        on_word(sv, word);
}

/* False: Qdrant must not start, and `sv` has the exit code. The storage is on the task's own disk: looking at
 * it does not hang with EFS. */
static bool look_at_storage(struct supervisor *sv)
{
    static const char *const refused[] = {
        [GATE_NO_EFS] =
            "RESTORE_ON_EMPTY is set and EFS_ROOT is not: there is nothing to restore this empty disk from; "
            "set EFS_ROOT, or RESTORE_ON_EMPTY=never",
        [GATE_NO_CLUSTER] = "RESTORE_ON_EMPTY is set, and Qdrant is to be a node of a cluster: one node's "
                            "backup restored by itself is "
                            "a part of the collections that looks like all. Unset RESTORE_ON_EMPTY; "
                            "docker/RUNBOOK.md tells how it comes back: \"A node of a cluster is lost\", "
                            "\"All nodes lost\""};
    const struct settings *s = sv->settings;
    enum storage_state state = storage_look(s->storage);
    struct gate_facts facts = {.restore = s->restore_wanted,
                               .efs = s->backups_wanted,
                               .clustered = s->clustered,
                               .empty = state != STORAGE_DATA && state != STORAGE_SETTLED};
    enum gate gate = gate_decide(&facts);
    if (gate == GATE_NO_EFS || gate == GATE_NO_CLUSTER) {
        say(SAY_ERROR, "restore_refused", "%s. Qdrant is not started", refused[gate]);
        sv->exit_code = EXIT_SETTING;
        return false;
    }
    sv->held = gate == GATE_CLOSED;
    if (sv->held)
        say(SAY_INFO, "qdrant_held",
            "Qdrant's storage %s is %s: Qdrant is held back until the replicator has restored it", s->storage,
            state == STORAGE_EMPTY       ? "empty"
            : state == STORAGE_RESTORING ? "being restored"
                                         : "not to be read");
    else if (s->restore_wanted && s->clustered)
        say(SAY_ERROR, "restore_refused",
            "RESTORE_ON_EMPTY has no effect on a node of a cluster, and keeps one with an empty disk from "
            "starting: unset it");
    return true;
}

int supervisor_start(struct supervisor *sv)
{
    if (!look_at_storage(sv)) {
        sv->leave = true;
        return 0;
    }
    sv->unplaced = !sv->held && sv->settings->finds_cluster;
    if (sv->unplaced)
        start_finder(sv);
    else if (!sv->held && start_qdrant(sv) != 0)
        return -1;
    if (sv->settings->snapshot_on_stop && hold_of(sv) == 0)
        say(SAY_WARN, "stop_too_short",
            "a stop makes no snapshots of what was written last: STOP_GRACE_SECONDS=%u leaves Qdrant no time "
            "for "
            "it; use 10 or more (50, with stopTimeout 60), or SNAPSHOT_ON_STOP=off",
            sv->settings->grace_seconds);
    if (sv->settings->backups_wanted && !sv->unplaced) /* before that there is nothing to look after */
        start_replicator(sv);
    else if (!sv->settings->backups_wanted)
        say(SAY_WARN, "no_backups",
            "EFS_ROOT is not set: Qdrant runs alone and NO BACKUPS ARE MADE; "
            "set it to the folder where EFS is mounted");
    return 0;
}

int supervisor_run(struct supervisor *sv)
{
    struct pollfd fds[] = {{.fd = sv->signals, .events = POLLIN},
                           {.fd = sv->timer, .events = POLLIN},
                           {.events = POLLIN},
                           {.events = POLLIN},
                           {.events = POLLIN},
                           {.events = POLLIN},
                           {.events = POLLIN}};
    while (!sv->leave) {
        arm(sv);
        fds[2].fd = sv->gate; /* -1 is none, to poll too */
        fds[3].fd = sv->word;
        fds[4].fd = sv->qdrant_runs;
        fds[5].fd = sv->replicator_runs;
        fds[6].fd = sv->finder_word;
        if (poll(fds, sizeof fds / sizeof *fds, -1) < 0 && errno != EINTR)
            return wait_blindly(sv);
        take_starts(sv, fds[4].revents, fds[5].revents); /* before a child's end, and before a stop */
        if (fds[2].revents && sv->gate >= 0)
            take_gate(sv); /* before a child's end is looked at: its last word was said before it */
        if (fds[6].revents && sv->finder_word >= 0 && !sv->leave)
            take_place(sv); /* likewise */
        if (fds[0].revents && !sv->leave)
            take_signals(sv);
        if (fds[3].revents && sv->word >= 0 && !sv->leave)
            take_word(sv); /* after the signal that it is an answer to */
        if (!sv->leave)
            take_time(sv);
    }
    return sv->exit_code;
}
