#include "replicator/daemon.h"
#include "common/clock.h"
#include "common/log.h"
#include "replicator/boot.h"
#include "replicator/drills.h"
#include "replicator/offsite.h"
#include "replicator/pulse.h"
#include "replicator/reporter.h"
#include "replicator/schedule.h"
#include "replicator/status.h"
#include "replicator/watch.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Qdrant may be gone at once, and the entrypoint gives us two seconds then. */
enum { STOP_MS = 1200, WATCH_MS = 10000 };

struct program {
    struct context *context;
    struct workers *workers;
    struct schedule *schedule;
    struct reporter *reporter;
    struct drills *drills;
    struct boot *boot;
    struct status *status;
    pthread_t watcher;
    int wake_fd;
    bool once;
    bool scanned, waiting_said; /* a scan found SNAPSHOTS_DIR; it was said that it is not there */
    bool housekept;             /* EFS was looked at */
    bool through;               /* --once came to its end */
    int exit_code;
};

/* Milliseconds for poll. */
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
                 p->context->settings.snapshots_dir,
                 p->once ? "; set SNAPSHOTS_DIR to Qdrant's snapshots" : " yet; waiting for it");
    p->waiting_said = !there;
    if (!hourly || (!there && p->housekept))
        return;
    /* With EFS hung they would pile up, and hold up the backups when it is back. */
    struct job *j = workers_surveying(p->workers) ? NULL : job_new(JOB_HOUSEKEEP, NULL, "");
    if (j)
        workers_push(p->workers, j);
    if (p->scanned)
        summary(p->workers, "summary");
    p->housekept = true;
    p->scanned = p->scanned || there;
}

/* Returns when to call again, -1 for "not before an event". */
static int64_t heartbeat(struct program *p, const struct intake *in, int64_t now)
{
    bool due;
    int64_t next = pulse_due(p->context->pulse, intake_busy(in), now, &due);
    struct job *j = due ? job_new(JOB_HEARTBEAT, NULL, "") : NULL;
    if (j)
        workers_push(p->workers, j);
    else if (due)
        pulse_later(p->context->pulse);
    return next;
}

static void loop(struct program *p, struct watch *w, struct intake *in)
{
    while (!atomic_load(&p->context->stop)) {
        int64_t now = clock_ms();
        if (now >= watch_scan_due(w))
            scan(p, w, now);
        int64_t due = intake_step(in, now), beat = heartbeat(p, in, now);
        due = due < 0 || (beat >= 0 && beat < due) ? beat : due;
        struct ledger_queue queue = intake_queue(in);
        ledger_queue(p->context->ledger, &queue);
        if (p->once && !intake_busy(in) && workers_idle(p->workers)) {
            p->through = true;
            return;
        }
        struct pollfd fds[] = {{.fd = p->wake_fd, .events = POLLIN}, {.fd = watch_fd(w), .events = POLLIN}};
        int wait = until(due, p->once ? -1 : watch_scan_due(w), now);
        if (intake_busy(in) && (wait < 0 || wait > WATCH_MS))
            wait = WATCH_MS; /* so that the age of what waits is told anew */
        if (poll(fds, 2, wait) < 0 && errno != EINTR) {
            log_line(LOG_ERROR, "internal", "poll: %s", strerror(errno));
            return;
        }
        if (fds[0].revents)
            drain(p->wake_fd);
        if (fds[1].revents)
            watch_read(w, clock_ms());
    }
}

static void *watcher(void *arg)
{
    struct program *p = arg;
    struct intake *in = intake_new(&p->context->settings, p->workers, p->once);
    struct watch *w = in ? watch_new(&p->context->settings, in, !p->once) : NULL;
    if (w) {
        loop(p, w, in);
        unsigned unsafe = p->once ? intake_unsafe(in) : 0;
        if (unsafe > 0)
            log_line(LOG_ERROR, "not_safe", "%u snapshots are not safely on EFS; see above", unsafe);
        bool good =
            p->through && unsafe == 0 && p->scanned && !watch_incomplete(w) && !workers_efs_bad(p->workers);
        p->exit_code = p->once ? !good : !atomic_load(&p->context->stop);
    }
    watch_free(w);
    intake_free(in);
    (void)kill(getpid(), SIGTERM); /* wakes the main thread: --once is through, or the watcher cannot go on */
    return NULL;
}

static bool start_rest(struct program *p)
{
    struct context *x = p->context;
    struct maker_options what = {.options = &x->options,
                                 .snapshots_dir = x->settings.snapshots_dir,
                                 .qdrant = x->qdrant,
                                 .ledger = x->ledger,
                                 .prints = x->prints,
                                 .stop = &x->stop,
                                 .hold = &x->hold,
                                 .known = &x->surveyed};
    struct status_options page = {.listen = x->options.status_listen};
    struct err e = {0};
    if (p->once)
        return true;
    if (x->options.restore && !(p->boot = boot_start(x)))
        return false;
    /* Without a status page backups are made all the same. */
    if (x->options.status_listen[0] && !(p->status = status_start(&page, x->ledger, &e)))
        log_line(LOG_ERROR, "no_status", "%s; backups are made, but nobody can ask how they do", e.text);
    p->reporter = reporter_start(x);
    p->schedule = schedule_start(&what);
    if (x->options.drills.period > 0 && !(p->drills = drills_start(x)))
        return false;
    return p->reporter && p->schedule;
}

static bool start(struct program *p)
{
    struct context *x = p->context;
    p->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    x->pulse = p->once ? NULL : pulse_new(x, clock_ms());
    if (x->options.s3_bucket[0])
        x->offsite = offsite_start(x); /* it says why not; EFS has the backups all the same */
    return p->wake_fd >= 0 && (p->workers = workers_start(x, p->wake_fd)) &&
           pthread_create(&p->watcher, NULL, watcher, p) == 0 && start_rest(p);
}

/* All are told first, then waited for: what hangs, hangs for all of them at once. */
static bool stop(struct program *p)
{
    uint64_t one = 1;
    int64_t end = clock_ms() + STOP_MS;
    atomic_store(&p->context->stop, true);
    if (write(p->wake_fd, &one, sizeof one) < 0)
        log_line(LOG_ERROR, "internal", "eventfd: %s", strerror(errno));
    status_stop(p->status);
    bool clean = clock_join(p->watcher, end);
    clean = workers_stop(p->workers, end) && clean;
    clean = (!p->context->offsite || offsite_stop(p->context->offsite, end)) && clean;
    clean = (!p->schedule || schedule_stop(p->schedule, end)) && clean;
    clean = (!p->drills || drills_stop(p->drills, end)) && clean;
    clean = (!p->boot || boot_stop(p->boot, end)) && clean;
    return (!p->reporter || reporter_stop(p->reporter, end)) && clean;
}

int daemon_run(struct context *x, bool once, const sigset_t *stops)
{
    static struct program program; /* threads may outlive this call */
    struct program *p = &program;
    int sig;
    *p = (struct program){.context = x, .once = once, .exit_code = 1};
    atomic_store(&x->hold, boot_pending(x, once));
    if (!start(p)) {
        log_line(LOG_ERROR, "internal", "cannot start: %s", strerror(errno));
        log_close();
        _exit(1); /* some threads may run already */
    }
    log_line(LOG_INFO, "started", "watching %s, publishing to %s", x->settings.snapshots_dir,
             x->settings.base);
    while (sigwait(stops, &sig) != 0)
        ;
    bool clean = stop(p);
    int code = clean ? p->exit_code : 1;
    summary(p->workers, "stopped");
    if (!clean)
        log_line(LOG_WARN, "hangs",
                 "a thread hangs in the kernel, on a mount that does not answer; it is left behind");
    if (!clean) {
        log_close();
        _exit(1); /* not exit(): that thread must not be waited for, nor what it holds be freed */
    }
    reporter_free(p->reporter);
    drills_free(p->drills);
    boot_free(p->boot);
    schedule_free(p->schedule);
    workers_free(p->workers);
    offsite_free(x->offsite);
    pulse_free(x->pulse);
    (void)close(p->wake_fd);
    return code;
}
