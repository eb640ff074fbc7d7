#include "replicator/snapshot/snapshot_command.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/http.h"
#include "common/log.h"
#include "common/base/text.h"
#include "common/base/thread.h"
#include "efs/repo/mount.h"
#include "efs/repo/backup.h"
#include "efs/repo/pin.h"
#include "replicator/snapshot/snapshot_command_kept.h"
#include "replicator/snapshot/snapshot_command_why.h"
#include "replicator/core/hand_fingerprints.h"
#include "replicator/snapshot/run.h"
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Milliseconds. TROUBLE: a known reason may go away by itself so long, for the replicator tries again.
 * SILENT: with no copy under way and nothing said, nothing comes any more. UNTOLD: the same, where
 * STATUS_LISTEN is off and nobody tells whether a copy is under way. STUCK: a look at EFS hangs. */
enum {
    DRAW_MS = 200,
    LOOK_MS = 1000,
    PROBE_MS = 3000,
    TROUBLE_MS = 20000,
    SILENT_MS = 120000,
    UNTOLD_MS = 600000,
    STUCK_MS = 3000,
    WIDTH = 24
};

enum { STATUS_MAX = 64 << 20 }; /* with 10,000 collections and shards */

struct made {
    char *collection, *stem;
    char sha256[65]; /* as Qdrant told; may be empty */
    bool there;
    enum frequency frequency; /* where, once it is there, and of which slot */
    time_t slot;
};
struct show {
    struct context *context;
    const struct qdrant_names *names;
    const struct snapshot_command *what;
    pthread_mutex_t mutex; /* for all below, and for stdout and stderr */
    struct made *made;
    size_t n_made;
    unsigned failed, gone, elsewhere, not_kept;
    bool terminal, done, left_out;
    time_t asked; /* when the snapshots were asked for */
    const char *doing;
    int64_t begun;
};

/* One line, drawn over and over, on a terminal alone. With the mutex held. */
static void draw_locked(const struct show *s)
{
    size_t all = s->names->n, done = s->n_made + s->failed + s->gone + s->elsewhere, filled = 0;
    if (!s->terminal)
        return;
    if (strcmp(s->doing, "made") != 0) {
        all = s->n_made;
        done = 0;
        for (size_t i = 0; i < s->n_made; i++)
            done += s->made[i].there;
    }
    filled = all ? done * WIDTH / all : 0;
    (void)fprintf(stderr, "\r\033[K[%.*s%.*s] %zu of %zu %s, %lld s", (int)filled, "########################",
                  (int)(WIDTH - filled), "                        ", done, all, s->doing,
                  (long long)(clock_ms() - s->begun) / 1000);
    (void)fflush(stderr);
}

static void say_locked(struct show *s, FILE *to, const char *line)
{
    if (s->terminal)
        (void)fprintf(stderr, "\r\033[K");
    (void)fprintf(to, "%s\n", line);
    (void)fflush(to); /* a full disk behind a redirection is the shell's to notice */
    draw_locked(s);
}

static void say(struct show *s, FILE *to, const char *line)
{
    (void)pthread_mutex_lock(&s->mutex);
    say_locked(s, to, line);
    (void)pthread_mutex_unlock(&s->mutex);
}

static void *drawing(void *arg)
{
    struct show *s = arg;
    for (bool done = false; !done; clock_sleep(DRAW_MS)) {
        (void)pthread_mutex_lock(&s->mutex);
        done = s->done;
        if (!done)
            draw_locked(s);
        (void)pthread_mutex_unlock(&s->mutex);
    }
    return NULL;
}

/* For the replicator that publishes it. */
static void hand_over_print(const struct show *s, const struct made *m)
{
    const struct context *x = s->context;
    struct content c;
    if (x->fingerprints &&
        snapshot_fingerprints_take(x->fingerprints, m->collection, m->stem, &x->stop, &c) &&
        !hand_fingerprints_put(x->settings.snapshots_dir, m->collection, m->stem, &c))
        log_line(
            LOG_WARN, "no_fingerprint",
            "%s is backed up without a fingerprint, so that a drill can prove less of it: its folder in %s "
            "cannot be written",
            m->collection, x->settings.snapshots_dir);
}

static void on_made(const char *collection, const struct qdrant_snapshot *snapshot, double seconds, void *arg)
{
    struct show *s = arg;
    char line[700], name[300];
    size_t n = strlen(snapshot->name), suffix = strlen(".snapshot");
    (void)pthread_mutex_lock(&s->mutex);
    struct made *m = &s->made[s->n_made];
    m->collection = strdup(collection);
    m->stem = strndup(snapshot->name, n > suffix ? n - suffix : n);
    memcpy(m->sha256, snapshot->sha256, sizeof m->sha256);
    if (m->collection && m->stem) {
        s->n_made++;
        hand_over_print(s, m);
    }
    (void)snprintf(line, sizeof line, "%s: %s, %.1f MiB in %.1f s",
                   text_printable(collection, name, sizeof name), snapshot->name,
                   (double)snapshot->size / (1 << 20), seconds);
    say_locked(s, stdout, line);
    (void)pthread_mutex_unlock(&s->mutex);
}

static void on_failed(const char *collection, const char *why, void *arg)
{
    struct show *s = arg;
    char line[1500], name[300];
    (void)pthread_mutex_lock(&s->mutex);
    s->failed++;
    (void)snprintf(line, sizeof line, "%s: FAILED: %s", text_printable(collection, name, sizeof name), why);
    say_locked(s, stderr, line);
    (void)pthread_mutex_unlock(&s->mutex);
}

/* As for the schedule, that is no failure. */
static void on_gone(const char *collection, void *arg)
{
    struct show *s = arg;
    char line[500], name[300];
    (void)pthread_mutex_lock(&s->mutex);
    s->gone++;
    (void)snprintf(line, sizeof line, "%s: was deleted before its snapshot was made",
                   text_printable(collection, name, sizeof name));
    say_locked(s, stderr, line);
    (void)pthread_mutex_unlock(&s->mutex);
}

/* Of a cluster's node. Whoever asks for all has what this node has; whoever names one has nothing of it. */
static void on_elsewhere(const char *collection, void *arg)
{
    struct show *s = arg;
    char line[600], name[300];
    (void)pthread_mutex_lock(&s->mutex);
    s->elsewhere++;
    s->left_out = s->left_out || s->what->n > 0;
    (void)snprintf(line, sizeof line,
                   "%s: has no shard on this node; its backups are made on the nodes that have some",
                   text_printable(collection, name, sizeof name));
    say_locked(s, stderr, line);
    (void)pthread_mutex_unlock(&s->mutex);
}

/* Another one that was made in the same second has its name. */
static bool is_other(const struct made *m, const struct backup *b)
{
    return *m->sha256 && strcmp(m->sha256, b->m.content.sha256) != 0;
}

/* What the person who has had it made says of it. */
static void keep(struct show *s, const struct backup *b)
{
    struct err e = {0};
    char line[sizeof e.text + 400];
    enum pin_outcome outcome = s->what->note ? pin_put_note(b, s->what->note, &e) : PIN_DONE;
    if (outcome == PIN_DONE && s->what->pin)
        outcome = pin_put(b, &e);
    if (outcome == PIN_DONE)
        return;
    s->not_kept++;
    (void)snprintf(line, sizeof line, "%s is on EFS, but NOT %s: %s", b->m.source.stem,
                   s->what->pin ? "pinned" : "noted",
                   outcome == PIN_GONE ? "it was deleted there meanwhile" : e.text);
    say(s, stderr, line);
}

/* Is it on EFS, in any tier? */
static bool published(struct show *s, struct made *m)
{
    const struct context *x = s->context;
    cleanup_backup_list struct backup_list list = {0};
    struct source src = {.kind = KIND_COLLECTION};
    char folder[NAME_MAX * 2], stored[NAME_STORED];
    struct err e = {0};
    (void)snprintf(src.collection, sizeof src.collection, "%s", m->collection);
    name_stored(m->stem, stored);
    if (!name_folder(&src, folder, sizeof folder) ||
        backup_list_folder(x->settings.base, folder, &list, &e) != 0)
        return false;
    for (size_t i = 0; i < list.n; i++)
        if (strcmp(list.v[i].stem, stored) == 0 && backup_load(&list.v[i], &e) == 0 &&
            list.v[i].state == ENTRY_COMPLETE && !is_other(m, &list.v[i])) {
            m->frequency = list.v[i].frequency;
            m->slot = list.v[i].m.slot;
            keep(s, &list.v[i]);
            return true;
        }
    return false;
}

/* What the running replicator says of itself: whoever answers on the status page's address is the one that
 * will publish. NULL: nobody answers, or STATUS_LISTEN is off (no `e`). */
static cJSON *ask_replicator(const struct context *x, struct err *e)
{
    char url[200];
    cleanup_reply struct http_reply reply = {0};
    const char *listen = x->options.status_listen;
    struct http *h = *listen ? http_new() : NULL;
    if (!h)
        return NULL;
    (void)snprintf(url, sizeof url, "http://%s/status", listen);
    struct http_request r = {
        .method = "GET", .url = url, .total_ms = 2000, .reply_max = STATUS_MAX, .stop = &x->stop};
    int rc = http_do(h, &r, &reply, e);
    http_free(h);
    cJSON *status = rc == 0 && reply.status == 200 ? cJSON_Parse(reply.body) : NULL;
    if (!status && rc == 0)
        (void)err_set(e, 0, "no replicator answers there, but something else does:", url, NULL);
    return status;
}

/* How many of them are on EFS. Looks at the others once each. */
static size_t count_there(struct show *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_made; i++) {
        bool there = s->made[i].there || published(s, &s->made[i]);
        (void)pthread_mutex_lock(&s->mutex);
        s->made[i].there = there;
        (void)pthread_mutex_unlock(&s->mutex);
        n += there;
    }
    return n;
}

/* The worst that is said of any that is not there; `text` names it. */
static enum why ask_why(const struct show *s, const cJSON *status, char *text, size_t size)
{
    enum why worst = WHY_UNKNOWN;
    char why[900], name[300];
    for (size_t i = 0; i < s->n_made; i++) {
        struct why_question q = {s->context->settings.base, s->made[i].collection, s->asked};
        enum why is = s->made[i].there ? WHY_UNKNOWN : snapshot_command_why(status, &q, why, sizeof why);
        if (is <= worst)
            continue;
        worst = is;
        (void)snprintf(text, size, "%s: %s", text_printable(q.collection, name, sizeof name), why);
    }
    return worst;
}

struct waiting {
    size_t there;
    enum why why;
    char text[1300];
    int64_t ask, since; /* when to ask next; since when `why` holds with nothing new on EFS */
};

static int64_t patience(const struct show *s, enum why why)
{
    if (why == WHY_NEVER)
        return 0;
    if (why == WHY_TROUBLE)
        return TROUBLE_MS;
    return s->context->options.status_listen[0] ? SILENT_MS : UNTOLD_MS;
}

/* False, with the text, when there is nobody who would publish them, or it lasts too long. */
static bool worth_waiting(struct show *s, struct waiting *w)
{
    struct err e = {0};
    int64_t now = clock_ms();
    if (now >= w->ask) {
        cJSON *status = ask_replicator(s->context, &e);
        enum why why = ask_why(s, status, w->text, sizeof w->text);
        cJSON_Delete(status);
        w->ask = now + PROBE_MS;
        if (why != w->why || why == WHY_PROGRESS)
            w->since = now;
        w->why = why;
    }
    if (e.text[0] && !atomic_load(&s->context->stop)) {
        (void)snprintf(w->text, sizeof w->text,
                       "No replicator runs here that would put them on EFS (%.900s).\n"
                       "Start it, or run: qdrant-replicator --once",
                       e.text);
        return false;
    }
    if (now - w->since < patience(s, w->why))
        return true;
    if (w->why == WHY_UNKNOWN || w->why == WHY_PROGRESS)
        (void)snprintf(w->text, sizeof w->text, "%s",
                       s->context->options.status_listen[0]
                           ? "The replicator copies nothing and says nothing of them; see its log"
                           : "STATUS_LISTEN is off, so that the replicator cannot be asked why; see its log");
    return false;
}

/* Whoever makes one by hand wants to go back to it, and not in the next hours alone: until when each is kept,
 * and last of all those that go first. */
static void say_how_long(struct show *s)
{
    struct retention policy = s->context->settings.retention;
    struct err ignored;
    if (s->what->pin && s->not_kept == 0)
        return say(s, stdout,
                   "pinned: RETENTION does not let them go; qdrant-efs unpin SNAPSHOT has it decide again");
    cJSON *status = ask_replicator(s->context, &ignored);
    snapshot_command_policy(status, &policy);
    cJSON_Delete(status);
    for (int t = FREQUENCY_COUNT - 1; t >= 0; t--) {
        char line[SNAPSHOT_COMMAND_KEPT];
        unsigned n = 0;
        time_t oldest = 0;
        for (size_t i = 0; i < s->n_made; i++) {
            const struct made *m = &s->made[i];
            if (!m->there || m->frequency != (enum frequency)t)
                continue;
            oldest = n++ == 0 || m->slot < oldest ? m->slot : oldest;
        }
        if (n == 0)
            continue;
        snapshot_command_kept(&policy, (enum frequency)t, n, oldest, line);
        say(s, stdout, line);
    }
}

/* What is there and what is not, in every case. */
static void conclude(struct show *s, size_t there, const char *why)
{
    char line[1600], name[300];
    (void)snprintf(line, sizeof line, "%zu of %zu on EFS, below %.1000s", there, s->n_made,
                   s->context->settings.base);
    say(s, there == s->n_made ? stdout : stderr, line);
    for (size_t i = 0; i < s->n_made; i++) {
        if (s->made[i].there)
            continue;
        (void)snprintf(line, sizeof line, "NOT on EFS: %s of %s", s->made[i].stem,
                       text_printable(s->made[i].collection, name, sizeof name));
        say(s, stderr, line);
    }
    if (*why)
        say(s, stderr, why);
    if (there > 0)
        say_how_long(s);
}

/* All are there. Is "there" EFS? */
static bool conclude_there(struct show *s)
{
    bool local = mount_efs_is_local(&s->context->settings);
    conclude(s, s->n_made,
             local
                 ? "NOT SAFE: EFS is not mounted, EFS_ROOT is on this task's own disk, and these backups go "
                   "with it. Mount EFS there; or EFS_ALLOW_LOCAL=1 allows it, for a laptop or a test"
                 : "");
    return !local && s->not_kept == 0;
}

static bool wait_for_efs(struct show *s)
{
    static const char stopped[] =
        "Stopped waiting. The snapshots are made; a replicator that runs goes on putting them on EFS.";
    struct waiting w = {.since = clock_ms()};
    (void)pthread_mutex_lock(&s->mutex);
    s->doing = "on EFS";
    (void)pthread_mutex_unlock(&s->mutex);
    for (;;) {
        size_t there = count_there(s);
        if (there > w.there)
            w.since = clock_ms();
        w.there = there;
        bool stop = atomic_load(&s->context->stop);
        if (there == s->n_made)
            return conclude_there(s);
        if (stop || !worth_waiting(s, &w))
            return conclude(s, there, stop ? stopped : w.text), false;
        clock_sleep(LOOK_MS);
    }
}

/* Its snapshots come to lie in Qdrant's own temporary folder (see watch.c), and never on EFS. */
static bool is_tmp(struct show *s, const char *collection)
{
    if (strcmp(collection, "tmp") != 0)
        return false;
    say(s, stderr,
        "tmp: FAILED: a collection of this name cannot be backed up, for Qdrant keeps its snapshots in its "
        "own "
        "temporary folder; use another name for the collection");
    return s->left_out = true;
}

/* Only collections that are there; a typing error must not look like success. */
static bool choose(struct show *s, const struct snapshot_command *what, struct qdrant_names *names)
{
    struct err e = {0};
    char line[400];
    bool good = true;
    if (qdrant_collections(s->context->qdrant, names, &e) != 0) {
        char text[sizeof e.text + 120];
        (void)snprintf(text, sizeof text,
                       "no snapshot was made: %s; run this in the container, or set QDRANT_URL", e.text);
        return say(s, stderr, text), false;
    }
    for (size_t i = 0; i < what->n; i++)
        if (!qdrant_names_have(names, what->collections[i])) {
            (void)snprintf(line, sizeof line, "Qdrant has no collection \"%.300s\"; nothing is snapshotted",
                           what->collections[i]);
            say(s, stderr, line);
            good = false;
        }
    size_t kept = 0, all = names->n;
    for (size_t i = 0; i < names->n; i++) {
        bool wanted = what->n == 0 && options_wanted(s->context->options.collections, names->v[i]);
        for (size_t k = 0; k < what->n; k++)
            wanted = wanted || strcmp(names->v[i], what->collections[k]) == 0;
        if (wanted && is_tmp(s, names->v[i]))
            wanted = false;
        if (wanted)
            names->v[kept++] = names->v[i];
        else
            free(names->v[i]);
    }
    names->n = kept;
    if (all > 0 && kept == 0 && what->n == 0 && !s->left_out) {
        (void)snprintf(line, sizeof line, "COLLECTIONS=%.200s means none of Qdrant's %zu collections",
                       s->context->options.collections, all);
        say(s, stderr, line);
        s->left_out = true;
    }
    return good;
}

static bool make(struct show *s)
{
    struct context *x = s->context;
    struct runner_progress progress = {on_made, on_failed, on_gone, on_elsewhere, s};
    struct runner_run run = {.slot = time(NULL), .only = s->names, .progress = &progress};
    struct status_run report = {0};
    struct runner *m = runner_new(&(struct runner_options){.options = &x->options,
                                                           .disk = x->disk,
                                                           .qdrant = x->qdrant,
                                                           .status = x->status,
                                                           .fingerprints = x->fingerprints,
                                                           .stop = &x->stop});
    cleanup_close int lock = x->fingerprints ? hand_fingerprints_open(x->settings.snapshots_dir) : -1;
    (void)lock; /* held until all are made */
    bool good = m && runner_run(m, &run, &report) && report.made + s->gone + s->elsewhere == s->names->n;
    if (atomic_load(&x->stop))
        say(s, stderr, "Stopped. A snapshot that Qdrant has begun is finished and backed up all the same.");
    else if (!good && s->failed == 0 && !s->left_out)
        say(s, stderr, "Not all of them were made; Qdrant's collections may have changed meanwhile.");
    if (m && runner_stop(m, clock_ms() + 1000))
        runner_free(m);
    return good;
}

/* Ctrl-C ends the waiting, not the snapshot that Qdrant is making. */
static void *stopper(void *arg)
{
    struct show *s = arg;
    bool done = false;
    sigset_t set;
    int sig = 0;
    if (sigemptyset(&set) == 0 && sigaddset(&set, SIGINT) == 0 && sigaddset(&set, SIGTERM) == 0 &&
        sigwait(&set, &sig) == 0)
        atomic_store(&s->context->stop, true);
    /* The main thread may hang in a look at EFS, and would never see it. */
    for (int64_t end = clock_ms() + STUCK_MS; clock_ms() < end;) {
        (void)pthread_mutex_lock(&s->mutex);
        done = s->done;
        (void)pthread_mutex_unlock(&s->mutex);
        if (done)
            break;
        clock_sleep(DRAW_MS / 4);
    }
    if (!done) {
        (void)fputs(
            "Stopped. EFS, or Qdrant, does not answer; it is not known whether the snapshots are on EFS.\n",
            stderr);
        _exit(1);
    }
    return NULL;
}

static bool run(struct show *s, const struct snapshot_command *what)
{
    if (s->names->n == 0)
        return say(s, stderr, "There is no collection to be snapshotted."), what->n == 0 && !s->left_out;
    bool good = make(s) && !s->left_out;
    if (what->no_wait && s->n_made > 0)
        say(s, stdout,
            "Not waited for: it is not known whether they reach EFS, nor until when they are kept there; "
            "qdrant-efs ls tells the frequency of each, and what RETENTION keeps of 15min goes first");
    return (what->no_wait || s->n_made == 0 || wait_for_efs(s)) && good;
}

static bool may(const struct snapshot_command *what)
{
    if (what->note && !pin_note_fits(what->note))
        (void)fprintf(stderr, "--note: use one line of UTF-8 of at most %d bytes\n", NOTE_MAX);
    else if (what->no_wait && (what->pin || what->note))
        (void)fprintf(stderr, "--pin and --note wait until the backups are there: not with --no-wait\n");
    else
        return true;
    return false;
}

int snapshot_command_run(struct context *x, const struct snapshot_command *what, const sigset_t *stops)
{
    cleanup_names struct qdrant_names names = {0};
    struct show s = {.context = x,
                     .names = &names,
                     .what = what,
                     .terminal = isatty(STDERR_FILENO) == 1,
                     .doing = "made",
                     .asked = time(NULL),
                     .begun = clock_ms()};
    pthread_t pen, ear;
    if (!may(what))
        return EXIT_SETTING;
    (void)stops; /* blocked; the stopper waits for them */
    if (pthread_mutex_init(&s.mutex, NULL) != 0)
        return 1;
    bool listens = thread_start(&ear, "signals", stopper, &s) == 0, good = choose(&s, what, &names);
    s.made = calloc(names.n + 1, sizeof *s.made);
    bool draws = good && s.made && s.terminal && thread_start(&pen, "progress", drawing, &s) == 0;
    good = good && s.made && run(&s, what);
    (void)pthread_mutex_lock(&s.mutex);
    s.done = true;
    if (s.terminal)
        (void)fprintf(stderr, "\r\033[K");
    (void)pthread_mutex_unlock(&s.mutex);
    if (draws)
        (void)pthread_join(pen, NULL);
    /* Blocked in all threads: it wakes the stopper's sigwait, whoever it is for. */
    if (listens && kill(getpid(), SIGTERM) == 0)
        (void)pthread_join(ear, NULL);
    for (size_t i = 0; i < s.n_made; i++) {
        free(s.made[i].collection);
        free(s.made[i].stem);
    }
    free(s.made);
    return good ? 0 : 1;
}
