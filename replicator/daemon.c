#include "replicator/daemon.h"
#include "common/base/clock.h"
#include "common/base/confine.h"
#include "common/log.h"
#include "common/base/thread.h"
#include "replicator/restore/restore_on_empty.h"
#include "replicator/cluster/healer.h"
#include "replicator/drill/drill_runner.h"
#include "replicator/publish/stop_budget.h"
#include "replicator/snapshot/qdrant_observer.h"
#include "replicator/publish/s3_upload.h"
#include "replicator/core/patience.h"
#include "replicator/publish/heartbeat_writer.h"
#include "replicator/status/notifier.h"
#include "replicator/status/reporter.h"
#include "replicator/snapshot/schedule.h"
#include "replicator/status/status_http.h"
#include "replicator/snapshot/stop_snapshots.h"
#include "replicator/publish/watch.h"
#include "replicator/status/state.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Qdrant may be gone at once, and the entrypoint gives us two seconds then; also behind the time that we got
 * for publishing (STOP_BUDGET_OWN_MS). LEAVE_MS: for the watcher, which hangs with nobody. */
enum {
    STOP_MS = 1200,
    LEAVE_MS = 300,
    RECORD_MS = 5000,
    WATCH_MS = 10000,
    EFS_AGAIN_MS = 15000,
    S3_LOOK_MS = 100
};

struct program {
    struct context *context;
    struct jobs *workers;
    struct schedule *schedule;
    struct reporter *reporter;
    struct notifier *notifier; /* NULL: nobody is told */
    struct drill_runner *drills;
    struct qdrant_observer *observer;
    struct healer *healer;
    struct restore_on_empty *boot;
    struct status_http *status;
    pthread_t watcher;
    int wake_fd;
    bool once;
    size_t s3_left;      /* --once: not in the bucket */
    bool scanned;        /* a scan found SNAPSHOTS_DIR */
    enum log_level said; /* how loudly it was said that it is not there; LOG_DEBUG: not yet */
    int64_t begun;       /* monotonic milliseconds */
    bool housekept;      /* EFS was looked at ... */
    int64_t look_again; /* ... and is to be again then, since it could not be used; -1: not before the hour */
    bool through;       /* --once came to its end */
    int word;           /* to tell the entrypoint what a stop needs; -1: there is none */
    bool said_publishes;         /* the watcher's: it was told so */
    struct stop_snapshots *last; /* what a stop has had made */
    atomic_bool leave;           /* the watcher is to end */
    atomic_bool drained;         /* there is nothing to publish any more, or nobody who would */
    int exit_code;
};

/* Milliseconds for poll. */
static int until(int64_t a, int64_t b, int64_t now)
{
    int64_t at = a < 0 || (b >= 0 && b < a) ? b : a;
    return at < 0 ? -1 : at <= now ? 0 : at - now > 3600000 ? 3600000 : (int)(at - now);
}

static void empty(int fd)
{
    uint64_t n;
    if (read(fd, &n, sizeof n) < 0 && errno != EAGAIN)
        log_line(LOG_ERROR, "internal", "eventfd: %s", strerror(errno));
}

static void summary(struct jobs *w, const char *event)
{
    struct counts c = jobs_counts(w);
    log_line(
        LOG_INFO, event,
        "since the start: %llu published (%llu bytes, stored as %llu), %llu there already, %llu expired, "
        "%llu vanished, %llu mismatched, %llu in conflict, %llu refused, %llu failed tries, %llu pruned, "
        "%llu deleted "
        "locally",
        c.published, c.bytes, c.stored, c.same, c.expired, c.vanished, c.mismatch, c.conflict, c.refused,
        c.failed, c.pruned, c.deleted);
}

/* Once, and once more when it lasts. */
static void say_missing(struct program *p, int64_t now)
{
    enum log_level level = p->once ? LOG_ERROR : patience_level(p->begun, now);
    if (p->said < level)
        log_line(level, "no_snapshots_dir", "%s is not there%s", p->context->settings.snapshots_dir,
                 level == LOG_INFO ? " yet; waiting for it" : "; set SNAPSHOTS_DIR to Qdrant's snapshots");
    p->said = level;
}

/* With EFS hung these jobs would pile up, and hold up the backups when it is back. */
static void look_at_efs(struct program *p, int64_t now, bool aloud)
{
    struct job *j = jobs_surveying(p->workers) ? NULL : job_new(JOB_SCAN_EFS, NULL, "");
    p->look_again = now + EFS_AGAIN_MS;
    if (!j)
        return;
    j->aloud = aloud;
    j->first = !p->once && !p->housekept;
    jobs_push(p->workers, j);
}

/* An EFS that could not be used is looked at again soon: what is there must be known before a heartbeat, and
 * before anything is pruned. Returns when, -1: not before the hour. */
static int64_t look_again(struct program *p, int64_t now)
{
    if (p->once || !p->housekept || atomic_load(&p->context->stop))
        return -1;
    if (jobs_surveying(p->workers) || now < p->look_again)
        return p->look_again > now ? p->look_again : now + EFS_AGAIN_MS;
    if (!jobs_efs_bad(p->workers))
        return -1;
    look_at_efs(p, now, false);
    return p->look_again;
}

/* Look at SNAPSHOTS_DIR, and hourly at EFS too. */
static void scan(struct program *p, struct watch *w, int64_t now)
{
    bool hourly, there = watch_scan(w, now, &hourly);
    if (there)
        p->said = LOG_DEBUG;
    else if (!watch_incomplete(w))
        say_missing(p, now);
    if (!hourly || (!there && p->housekept))
        return;
    look_at_efs(p, now, true);
    if (p->scanned)
        summary(p->workers, "summary");
    p->housekept = true;
    p->scanned = p->scanned || there;
}

/* Returns when to call again, -1 for "not before an event". */
static int64_t heartbeat(struct program *p, const struct pending *in, int64_t now)
{
    bool due;
    int64_t next = heartbeat_writer_due(p->context->heartbeat_writer, pending_busy(in), now, &due);
    struct job *j = due ? job_new(JOB_HEARTBEAT, NULL, "") : NULL;
    if (j)
        jobs_push(p->workers, j);
    else if (due)
        heartbeat_writer_later(p->context->heartbeat_writer);
    return next;
}

/* A stop: at first whatever the kernel still has to tell, then how much is to be published. */
static void drain(struct program *p, struct watch *w, struct pending *in, int64_t now, bool *hurried)
{
    if (!*hurried && watch_fd(w) >= 0)
        watch_read(w, now);
    if (!*hurried)
        pending_hurry(in, now);
    *hurried = true;
    (void)pending_step(in, now);
    if (pending_hurried(in) == 0)
        atomic_store(&p->drained, true);
    else if (p->context->options.grace > 0 && !p->said_publishes) {
        stop_budget_say(p->word, STOP_BUDGET_PUBLISHES);
        p->said_publishes = true;
    }
}

/* --once: each copy to S3 was tried, once; else *due is when to look again. */
static bool s3_has_all(struct program *p, int64_t now, int64_t *due)
{
    struct s3_upload *o = p->context->s3_upload;
    if (!o || s3_upload_tried(o, &p->s3_left))
        return true;
    *due = now + S3_LOOK_MS;
    return false;
}

static void loop(struct program *p, struct watch *w, struct pending *in)
{
    bool hurried = false;
    while (!atomic_load(&p->leave)) {
        int64_t now = clock_ms();
        int64_t look = p->once ? -1 : watch_look(w, now);
        if (now >= watch_scan_due(w))
            scan(p, w, now);
        if (!p->once && atomic_load(&p->context->stop))
            drain(p, w, in, now, &hurried);
        int64_t due = pending_step(in, now), beat = heartbeat(p, in, now);
        due = due < 0 || (beat >= 0 && beat < due) ? beat : due;
        due = due < 0 || (look >= 0 && look < due) ? look : due;
        int64_t again = look_again(p, now);
        due = due < 0 || (again >= 0 && again < due) ? again : due;
        struct status_queue queue = pending_queue(in);
        status_queue(p->context->status, &queue);
        if (p->once && !pending_busy(in) && jobs_idle(p->workers) && s3_has_all(p, now, &due)) {
            p->through = true;
            return;
        }
        struct pollfd fds[] = {{.fd = p->wake_fd, .events = POLLIN}, {.fd = watch_fd(w), .events = POLLIN}};
        int wait = until(due, p->once ? -1 : watch_scan_due(w), now);
        if (pending_busy(in) && (wait < 0 || wait > WATCH_MS))
            wait = WATCH_MS; /* so that the age of what waits is told anew */
        if (poll(fds, 2, wait) < 0 && errno != EINTR) {
            log_line(LOG_ERROR, "internal", "poll: %s", strerror(errno));
            return;
        }
        if (fds[0].revents)
            empty(p->wake_fd);
        if (fds[1].revents)
            watch_read(w, clock_ms());
    }
}

/* --once: is all that is here safe, wherever it was to go? */
static bool is_good(struct program *p, const struct pending *in, const struct watch *w)
{
    const struct context *x = p->context;
    unsigned unsafe = pending_unsafe(in);
    if (unsafe > 0)
        log_line(LOG_ERROR, "not_safe", "%u snapshots are not safely on EFS; see above", unsafe);
    if (p->s3_left > 0)
        log_line(
            LOG_ERROR, "s3_left",
            "%zu backups are on EFS, and not in the bucket; see above. The running replicator, or the next "
            "--once, tries them again",
            p->s3_left);
    bool s3 = !x->options.s3_bucket[0] || (x->s3_upload && p->s3_left == 0); /* no_s3 was said */
    return p->through && unsafe == 0 && s3 && p->scanned && !watch_incomplete(w) &&
           !jobs_efs_bad(p->workers) && !atomic_load(&x->efs_local);
}

static void *watcher(void *arg)
{
    struct program *p = arg;
    struct pending *in =
        pending_new(&p->context->settings, p->workers, p->context->status, p->context->disk, p->once);
    struct watch *w = in ? watch_new(&p->context->settings, in, !p->once) : NULL;
    if (w) {
        loop(p, w, in);
        (void)pending_step(in, clock_ms()); /* what the workers ended last */
        if (!p->once)
            pending_say_left(in);
        p->exit_code = p->once ? !is_good(p, in, w) : !atomic_load(&p->context->stop);
    }
    watch_free(w);
    pending_free(in);
    atomic_store(&p->drained, true);
    (void)kill(getpid(), SIGTERM); /* wakes the main thread: --once is through, or the watcher cannot go on */
    return NULL;
}

static bool start_rest(struct program *p)
{
    struct context *x = p->context;
    struct runner_options what = {.options = &x->options,
                                  .disk = x->disk,
                                  .qdrant = x->qdrant,
                                  .status = x->status,
                                  .fingerprints = x->fingerprints,
                                  .last_aliases = x->last_aliases,
                                  .snapshots_dir = x->settings.snapshots_dir,
                                  .files_here = !x->qdrant_settings.shared,
                                  .ending = &x->ending,
                                  .marks = x->options.on_stop && p->word >= 0,
                                  .stop = &x->stop,
                                  .restore_pending = &x->restore_pending,
                                  .known = &x->efs_scanned};
    struct status_http_options page = {.listen = x->options.status_listen,
                                       .token = x->options.status_token,
                                       .node = config_env("QDRANT_FQDN", ""),
                                       .hosts = x->options.status_hosts};
    struct err e = {0};
    if (p->once)
        return true;
    if (x->options.restore && !(p->boot = restore_on_empty_start(x)))
        return false;
    /* Without a status page backups are made all the same. */
    if (x->options.status_listen[0] && !(p->status = status_http_start(&page, x->status, &e)))
        log_line(LOG_ERROR, "no_status", "%s; backups are made, but nobody can ask how they do", e.text);
    p->reporter = reporter_start(x);
    p->schedule = schedule_start(&what);
    if ((x->options.notify_url[0] || x->options.notify_url_file[0]) && !(p->notifier = notifier_start(x)))
        return false;
    p->observer = qdrant_observer_start(x, p->workers);
    if (x->options.drills.period > 0 && !(p->drills = drill_runner_start(x)))
        return false;
    p->healer = healer_start(x);
    return p->reporter && p->schedule && p->observer && p->healer;
}

static bool start(struct program *p)
{
    struct context *x = p->context;
    p->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    disk_wakes(x->disk, p->wake_fd);
    x->heartbeat_writer = p->once ? NULL : heartbeat_writer_new(x, clock_ms());
    if (x->options.s3_bucket[0])
        x->s3_upload = s3_upload_start(x); /* it says why not; EFS has the backups all the same */
    return p->wake_fd >= 0 && (p->workers = jobs_start(x, p->wake_fd)) &&
           thread_start(&p->watcher, "watch", watcher, p) == 0 && start_rest(p);
}

static void wake(const struct program *p)
{
    uint64_t one = 1;
    if (write(p->wake_fd, &one, sizeof one) < 0)
        log_line(LOG_ERROR, "internal", "eventfd: %s", strerror(errno));
}

/* The entrypoint holds Qdrant back until it hears that this is over. A node that is not restored yet has
 * nothing that was written since. */
static void snapshot_the_rest(struct program *p, int64_t begun)
{
    struct context *x = p->context;
    int64_t restore_pending = stop_budget_hold();
    if (p->once || p->word < 0 || !p->schedule)
        return;
    if (x->options.on_stop && !atomic_load(&x->restore_pending)) {
        if (restore_pending > 0)
            stop_budget_say(p->word, STOP_BUDGET_SNAPSHOTS);
        atomic_store(&x->ending, true);
        p->last = stop_snapshots_make(x, p->schedule, begun, restore_pending);
    }
    stop_budget_say(p->word, STOP_BUDGET_SNAPSHOTTED);
}

/* All but the watcher and the workers is told to stop; these put on EFS what is finished. Nothing is pruned
 * meanwhile: that can wait, and a backup cannot. */
static void publish_the_rest(struct program *p, int64_t begun)
{
    int64_t end = begun + stop_budget_publishing(p->context->options.grace);
    atomic_store(&p->context->restore_pending, true);
    atomic_store(&p->context->stop, true);
    jobs_hurry(p->workers);
    wake(p);
    while (!p->once && !atomic_load(&p->drained) && clock_ms() < end)
        clock_sleep(10);
}

/* All are told first, then waited for: what hangs, hangs for all of them at once. The watcher comes behind
 * the workers, so that it knows what became of their last copies. */
static bool stop(struct program *p)
{
    int64_t begun = clock_ms();
    unsigned long long conflicts = jobs_counts(p->workers).conflict;
    snapshot_the_rest(p, begun);
    publish_the_rest(p, begun);
    int64_t end = clock_ms() + STOP_MS;
    status_http_stop(p->status);
    bool clean = jobs_stop(p->workers, end);
    atomic_store(&p->leave, true);
    wake(p);
    clean = clock_join(p->watcher, end + LEAVE_MS) && clean;
    stop_snapshots_published(p->last, jobs_counts(p->workers).conflict > conflicts);
    clean = (!p->context->s3_upload || s3_upload_stop(p->context->s3_upload, end)) && clean;
    clean = (!p->schedule || schedule_stop(p->schedule, end)) && clean;
    clean = (!p->drills || drill_runner_stop(p->drills, end)) && clean;
    clean = (!p->observer || qdrant_observer_stop(p->observer, end)) && clean;
    clean = (!p->healer || healer_stop(p->healer, end)) && clean;
    clean = (!p->boot || restore_on_empty_stop(p->boot, end)) && clean;
    /* Behind the schedule, which writes to it. What it says is worth a moment more, where there is time. */
    int64_t told = clock_ms() + RECORD_MS, budget = begun + stop_budget_publishing(p->context->options.grace);
    told = told < budget ? told : budget;
    clean = stop_snapshots_end(p->last, told > end ? told : end, clean) && clean;
    clean = (!p->notifier || notifier_stop(p->notifier, end)) && clean;
    return (!p->reporter || reporter_stop(p->reporter, end)) && clean;
}

int daemon_run(struct context *x, bool once, const sigset_t *stops)
{
    static struct program program; /* threads may outlive this call */
    struct program *p = &program;
    int sig;
    *p = (struct program){.context = x, .once = once, .begun = clock_ms(), .exit_code = 1};
    p->word = once ? -1 : stop_budget_fd();
    x->gate = once ? GATE_NONE : qdrant_gate_read(&x->gate_fd);
    atomic_store(&x->restore_pending, restore_on_empty_pending(x, once));
    if (!start(p)) {
        log_line(LOG_ERROR, "internal", "cannot start: %s", strerror(errno));
        log_close();
        _exit(1); /* some threads may run already */
    }
    if (x->options.confine && confine_version() == 0 &&
        (x->options.confine_self || x->options.restore || x->options.drills.period > 0))
        log_line(
            LOG_INFO, "not_confined",
            "this kernel has no Landlock: the replicator, and the second Qdrant of a drill or a restore, "
            "may open what their user may");
    const char *why = settings_unsigned(&x->settings);
    if (why)
        log_line(LOG_WARN, "publishes_unsigned", "%s: what is published is passed over by restores", why);
    if (qdrant_key_in_clear(&x->qdrant_settings))
        log_line(
            LOG_WARN, "key_in_clear",
            "%s is another machine, and is sent Qdrant's key as it is: whoever listens on the way has it; "
            "use https",
            x->qdrant_settings.url);
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
    notifier_free(p->notifier);
    drill_runner_free(p->drills);
    qdrant_observer_free(p->observer);
    healer_free(p->healer);
    restore_on_empty_free(p->boot);
    schedule_free(p->schedule);
    jobs_free(p->workers);
    s3_upload_free(x->s3_upload);
    heartbeat_writer_free(x->heartbeat_writer);
    disk_wakes(x->disk, -1);
    (void)close(p->wake_fd);
    return code;
}
