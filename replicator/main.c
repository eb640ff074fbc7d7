/* qdrant-replicator: watches SNAPSHOTS_DIR and puts every finished snapshot on EFS. The main thread waits
 * for signals only; a second one watches; the workers touch EFS. */
#include "common/log.h"
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

enum { STOP_SECONDS = 3 };

struct program {
    struct settings settings;
    struct workers *workers;
    int wake_fd;
    atomic_bool stop;
    bool once;
    pthread_t main_thread;
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

static void loop(struct program *p, struct watch *w, struct intake *in)
{
    bool said = false;
    while (!atomic_load(&p->stop)) {
        int64_t now = now_ms();
        if (now >= watch_scan_due(w)) {
            if (!watch_scan(w, now) && !said) {
                log_line(LOG_WARN, "no_snapshots_dir", "%s is not there yet; waiting for it", p->settings.snapshots_dir);
                said = true;
            }
        }
        int64_t due = intake_step(in, now);
        if (p->once && !intake_busy(in) && workers_idle(p->workers))
            return;
        struct pollfd fds[] = {{.fd = p->wake_fd, .events = POLLIN}, {.fd = watch_fd(w), .events = POLLIN}};
        if (poll(fds, 2, until(due, watch_scan_due(w), now)) < 0 && errno != EINTR) {
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
    struct watch *w = in ? watch_new(&p->settings, in) : NULL;
    if (w) {
        loop(p, w, in);
        if (p->once && intake_unsafe(in) > 0) {
            log_line(LOG_ERROR, "not_safe", "%u snapshots are not safely on EFS; see above", intake_unsafe(in));
            p->exit_code = 1;
        } else {
            p->exit_code = 0;
        }
    }
    (void)pthread_kill(p->main_thread, SIGTERM); /* --once is through, or the watcher cannot go on */
    return NULL;
}

static int usage(FILE *to)
{
    return fprintf(to,
        "Usage: qdrant-replicator [--once | --help | --version]\n"
        "Watches SNAPSHOTS_DIR and puts every finished Qdrant snapshot on EFS, checked and compressed.\n"
        "  --once   publish what is there and exit; 0 only if all of it is safely on EFS\n"
        "Settings (environment):\n"
        "  EFS_ROOT             where EFS is mounted (required)\n"
        "  SNAPSHOTS_DIR        Qdrant's snapshots (QDRANT__STORAGE__SNAPSHOTS_PATH, else /qdrant/snapshots)\n"
        "  TIER, CPU_ARCH       name the tree {EFS_ROOT}/{TIER}-{CPU_ARCH} (default, the machine's)\n"
        "  NODE_NAME            a name of this node that outlives the task (the peer id)\n"
        "  COMPRESSION          none, zstd:1 ... zstd:19 (zstd:1)\n"
        "  COMPRESSION_THREADS  0 to 64 (2)\n"
        "  RETENTION            15min=24h,hourly=7d,daily=35d,monthly=13 (counts or ages)\n"
        "  LOCAL_KEEP           published snapshots that stay on the local disk (1)\n"
        "  QDRANT_URL           http://127.0.0.1:6333, or http://QDRANT_FQDN:6333\n"
        "  QDRANT_API_KEY, QDRANT_API_KEY_FILE (QDRANT__SERVICE__API_KEY)\n"
        "  LOG_LEVEL            debug, info, warn, error (info);  LOG_FORMAT  json, text (json)\n"
        "Exit codes: 0 stopped as asked; 1 failed; 64 a setting or argument is wrong.\n") < 0;
}

static int start(struct program *p)
{
    sigset_t set;
    pthread_t thread;
    int sig;
    /* SIGUSR1/2 and HUP belong to Qdrant; the entrypoint does not send them here. */
    if (sigemptyset(&set) != 0 || sigaddset(&set, SIGTERM) != 0 || sigaddset(&set, SIGINT) != 0 ||
        sigaddset(&set, SIGPIPE) != 0 || pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
        return 1;
    (void)sigdelset(&set, SIGPIPE);
    p->main_thread = pthread_self();
    p->exit_code = 1;
    p->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (p->wake_fd < 0 || !(p->workers = workers_start(&p->settings, p->wake_fd)) ||
        pthread_create(&thread, NULL, watcher, p) != 0) {
        log_line(LOG_ERROR, "internal", "cannot start: %s", strerror(errno));
        return 1;
    }
    log_line(LOG_INFO, "started", "watching %s, publishing to %s", p->settings.snapshots_dir, p->settings.base);
    while (sigwait(&set, &sig) != 0)
        ;
    atomic_store(&p->stop, true);
    uint64_t one = 1;
    if (write(p->wake_fd, &one, sizeof one) < 0)
        log_line(LOG_ERROR, "internal", "eventfd: %s", strerror(errno));
    struct timespec end;
    (void)clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += STOP_SECONDS;
    bool clean = pthread_timedjoin_np(thread, NULL, &end) == 0;
    clean = workers_stop(p->workers, STOP_SECONDS) && clean;
    int code = p->once || !clean ? p->exit_code : 0;
    log_line(LOG_INFO, "stopped", clean ? "stopped" : "stopped; a thread still hangs on a mount");
    log_close();
    _exit(clean ? code : 1); /* not exit(): a thread that hangs on EFS must not be waited for */
}

int main(int argc, char **argv)
{
    static struct program p; /* threads may outlive main */
    struct err e = {0};
    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return usage(stdout);
    if (argc == 2 && strcmp(argv[1], "--version") == 0)
        return puts("qdrant-replicator 0.1.0") < 0;
    p.once = argc == 2 && strcmp(argv[1], "--once") == 0;
    if (argc > 1 && !p.once) {
        (void)usage(stderr);
        return EXIT_SETTING;
    }
    if (prctl(PR_SET_DUMPABLE, 0) != 0) /* no API key in a core dump */
        perror("prctl");
    if (log_open("qdrant-replicator") != 0)
        (void)err_set(&e, 0, "LOG_LEVEL or LOG_FORMAT is not allowed; use debug, info, warn or error, and json or text", NULL, NULL);
    else if (settings_read(&p.settings, &e) == 0 && !p.settings.efs_root[0])
        (void)err_set(&e, 0, "EFS_ROOT is not set; use the folder where EFS is mounted", NULL, NULL);
    if (e.text[0]) {
        log_line(LOG_ERROR, "wrong_setting", "%s", e.text);
        log_close();
        return EXIT_SETTING;
    }
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
        return 1;
    return start(&p);
}
