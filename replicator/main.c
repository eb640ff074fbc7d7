/* qdrant-replicator: watches SNAPSHOTS_DIR and puts every finished snapshot on EFS. The main thread waits
 * for signals only; a second one watches; the workers touch EFS. */
#include "common/log.h"
#include "common/version.h"
#include "efs/settings.h"
#include "replicator/watch.h"
#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Qdrant may be gone at once, and the entrypoint gives us two seconds then. */
enum { STOP_SECONDS = 1 };

struct program {
    struct settings settings;
    struct workers *workers;
    int wake_fd;
    atomic_bool stop;
    bool once;
    bool scanned, waiting_said; /* a scan found SNAPSHOTS_DIR; it was said that it is not there */
    bool housekept;             /* EFS was looked at */
    bool through;               /* --once came to its end */
    int exit_code;
};

static int64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail with this clock */
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int until(int64_t a, int64_t b, int64_t now)
{
    int64_t at = a < 0 || (b >= 0 && b < a) ? b : a;
    return at < 0 ? -1 : at <= now ? 0 : at - now > 3600000 ? 3600000 : (int)(at - now);
}

static void drain(int fd)
{
    uint64_t n;
    if (read(fd, &n, sizeof n) < 0 && errno != EAGAIN)
        log_line(LOG_ERROR, "internal", "eventfd: %s", strerror(errno));
}

static void summary(struct workers *w, const char *event)
{
    struct counts c = workers_counts(w);
    log_line(
        LOG_INFO, event,
        "since the start: %llu published (%llu bytes, stored as %llu), %llu there already, %llu expired, "
        "%llu vanished, %llu mismatched, %llu in conflict, %llu failed tries, %llu pruned, %llu deleted "
        "locally",
        c.published, c.bytes, c.stored, c.same, c.expired, c.vanished, c.mismatch, c.conflict, c.failed,
        c.pruned, c.deleted);
}

/* Look at SNAPSHOTS_DIR, and hourly at EFS too. */
static void scan(struct program *p, struct watch *w, int64_t now)
{
    bool hourly, there = watch_scan(w, now, &hourly);
    if (!there && !watch_incomplete(w) && !p->waiting_said)
        log_line(p->once ? LOG_ERROR : LOG_WARN, "no_snapshots_dir", "%s is not there%s",
                 p->settings.snapshots_dir,
                 p->once ? "; set SNAPSHOTS_DIR to Qdrant's snapshots" : " yet; waiting for it");
    p->waiting_said = !there;
    if (!hourly || (!there && p->housekept))
        return;
    struct job *j = job_new(JOB_HOUSEKEEP, NULL, "");
    if (j)
        workers_push(p->workers, j);
    if (p->scanned)
        summary(p->workers, "summary");
    p->housekept = true;
    p->scanned = p->scanned || there;
}

static void loop(struct program *p, struct watch *w, struct intake *in)
{
    while (!atomic_load(&p->stop)) {
        int64_t now = now_ms();
        if (now >= watch_scan_due(w))
            scan(p, w, now);
        int64_t due = intake_step(in, now);
        if (p->once && !intake_busy(in) && workers_idle(p->workers)) {
            p->through = true;
            return;
        }
        struct pollfd fds[] = {{.fd = p->wake_fd, .events = POLLIN}, {.fd = watch_fd(w), .events = POLLIN}};
        if (poll(fds, 2, until(due, p->once ? -1 : watch_scan_due(w), now)) < 0 && errno != EINTR) {
            log_line(LOG_ERROR, "internal", "poll: %s", strerror(errno));
            return;
        }
        if (fds[0].revents)
            drain(p->wake_fd);
        if (fds[1].revents)
            watch_read(w, now_ms());
    }
}

static void *watcher(void *arg)
{
    struct program *p = arg;
    struct intake *in = intake_new(&p->settings, p->workers, p->once);
    struct watch *w = in ? watch_new(&p->settings, in, !p->once) : NULL;
    if (w) {
        loop(p, w, in);
        unsigned unsafe = p->once ? intake_unsafe(in) : 0;
        if (unsafe > 0)
            log_line(LOG_ERROR, "not_safe", "%u snapshots are not safely on EFS; see above", unsafe);
        bool good =
            p->through && unsafe == 0 && p->scanned && !watch_incomplete(w) && !workers_efs_bad(p->workers);
        p->exit_code = p->once ? !good : !atomic_load(&p->stop);
    }
    watch_free(w);
    intake_free(in);
    (void)kill(getpid(), SIGTERM); /* wakes the main thread: --once is through, or the watcher cannot go on */
    return NULL;
}

static int usage(FILE *to)
{
    (void)fprintf(
        to, "Usage: qdrant-replicator [--once] [SETTINGS]\n"
            "       qdrant-replicator --help | --version\n"
            "Watches SNAPSHOTS_DIR and puts every finished Qdrant snapshot on EFS, checked and compressed.\n"
            "  --once   publish what is there, prune, and exit; 0 only if all of it is safely on EFS\n");
    settings_help(to);
    return fprintf(to, "Exit codes: 0 stopped as asked; 1 failed; 64 a setting or argument is wrong.\n") < 0;
}

/* Before the first thread starts: each inherits the mask, and one without it would die of a SIGTERM that
 * was meant for the main thread. SIGUSR1/2 and HUP belong to Qdrant; the entrypoint does not send them here.
 */
static bool block_signals(sigset_t *stops)
{
    sigset_t all;
    return sigemptyset(stops) == 0 && sigaddset(stops, SIGTERM) == 0 && sigaddset(stops, SIGINT) == 0 &&
           (all = *stops, sigaddset(&all, SIGPIPE)) == 0 && sigprocmask(SIG_BLOCK, &all, NULL) == 0;
}

static int start(struct program *p, const sigset_t *stops)
{
    pthread_t thread;
    int sig;
    p->exit_code = 1;
    p->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (p->wake_fd < 0 || !(p->workers = workers_start(&p->settings, p->wake_fd)) ||
        pthread_create(&thread, NULL, watcher, p) != 0) {
        log_line(LOG_ERROR, "internal", "cannot start: %s", strerror(errno));
        return 1;
    }
    log_line(LOG_INFO, "started", "watching %s, publishing to %s", p->settings.snapshots_dir,
             p->settings.base);
    while (sigwait(stops, &sig) != 0)
        ;
    atomic_store(&p->stop, true);
    uint64_t one = 1;
    if (write(p->wake_fd, &one, sizeof one) < 0)
        log_line(LOG_ERROR, "internal", "eventfd: %s", strerror(errno));
    struct timespec end;
    (void)clock_gettime(CLOCK_REALTIME, &end); /* cannot fail with this clock */
    end.tv_sec += STOP_SECONDS;
    bool clean = pthread_timedjoin_np(thread, NULL, &end) == 0;
    clean = workers_stop(p->workers, STOP_SECONDS) && clean;
    int code = clean ? p->exit_code : 1;
    summary(p->workers, "stopped");
    if (!clean)
        log_line(LOG_WARN, "hangs",
                 "a thread hangs in the kernel, on a mount that does not answer; it is left behind");
    log_close();
    if (!clean)
        _exit(1); /* not exit(): that thread must not be waited for, nor what it holds be freed */
    workers_free(p->workers);
    (void)close(p->wake_fd);
    curl_global_cleanup();
    return code;
}

static int wrong_use(const char *text)
{
    log_line(LOG_ERROR, "wrong_setting", "%s", text);
    log_close();
    return EXIT_SETTING;
}

/* -1 to go on, else the exit code. */
static int arguments(struct program *p, int argc, char **argv)
{
    char text[256];
    for (int i = 1; i < argc; i++) {
        bool took_next;
        if (strcmp(argv[i], "--help") == 0)
            return usage(stdout);
        if (strcmp(argv[i], "--version") == 0)
            return puts("qdrant-replicator " VERSION) < 0;
        if (strcmp(argv[i], "--once") == 0) {
            p->once = true;
            continue;
        }
        int rc = settings_flag(argv[i], argv[i + 1], &took_next);
        if (rc <= 0) {
            int n = (int)strcspn(argv[i], "="); /* what follows may be a secret */
            (void)snprintf(text, sizeof text, "%s %.*s; see qdrant-replicator --help",
                           rc < 0 ? "a value is missing after" : "no such argument:", n < 100 ? n : 100,
                           argv[i]);
            return wrong_use(text);
        }
        i += took_next;
    }
    return -1;
}

int main(int argc, char **argv)
{
    static struct program p; /* threads may outlive main */
    struct err e = {0};
    sigset_t stops;
#ifndef __SANITIZE_ADDRESS__            /* the leak checker must be able to look */
    if (prctl(PR_SET_DUMPABLE, 0) != 0) /* no API key in a core dump */
        perror("prctl");
#endif
    int rc = arguments(&p, argc, argv);
    if (rc >= 0)
        return rc;
    if (!block_signals(&stops))
        return 1;
    rc = settings_read(&p.settings, &e);
    log_open("qdrant-replicator", p.settings.log_level, p.settings.log_text);
    if (rc != 0)
        return wrong_use(e.text);
    if (!p.settings.efs_root[0])
        return wrong_use("EFS_ROOT is not set; use the folder where EFS is mounted");
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0) {
        log_line(LOG_ERROR, "internal", "libcurl does not start");
        log_close();
        return 1;
    }
    return start(&p, &stops);
}
