#include "replicator/by_hand.h"
#include "common/clock.h"
#include "common/http.h"
#include "common/text.h"
#include "efs/store.h"
#include "replicator/maker.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DRAW_MS = 200, LOOK_MS = 1000, ASK_MS = 30000, WIDTH = 24 };

struct made {
    char *collection, *stem;
    bool there;
};
struct show {
    struct context *context;
    const struct qdrant_names *names;
    pthread_mutex_t mutex; /* for all below, and for stdout and stderr */
    struct made *made;
    size_t n_made;
    unsigned failed;
    bool terminal, done;
    const char *doing;
    int64_t begun;
};

/* One line, drawn over and over, on a terminal alone. With the mutex held. */
static void draw(const struct show *s)
{
    size_t all = s->names->n, done = s->n_made + s->failed, filled = 0;
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

static void say(struct show *s, FILE *to, const char *line)
{
    if (s->terminal)
        (void)fprintf(stderr, "\r\033[K");
    (void)fprintf(to, "%s\n", line);
    (void)fflush(to); /* a full disk behind a redirection is the shell's to notice */
    draw(s);
}

static void *drawing(void *arg)
{
    struct show *s = arg;
    for (bool done = false; !done; clock_sleep(DRAW_MS)) {
        (void)pthread_mutex_lock(&s->mutex);
        done = s->done;
        if (!done)
            draw(s);
        (void)pthread_mutex_unlock(&s->mutex);
    }
    return NULL;
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
    if (m->collection && m->stem)
        s->n_made++;
    (void)snprintf(line, sizeof line, "%s: %s, %.1f MiB in %.1f s",
                   text_printable(collection, name, sizeof name), snapshot->name,
                   (double)snapshot->size / (1 << 20), seconds);
    say(s, stdout, line);
    (void)pthread_mutex_unlock(&s->mutex);
}

static void on_failed(const char *collection, const char *why, void *arg)
{
    struct show *s = arg;
    char line[1500], name[300];
    (void)pthread_mutex_lock(&s->mutex);
    s->failed++;
    (void)snprintf(line, sizeof line, "%s: FAILED: %s", text_printable(collection, name, sizeof name), why);
    say(s, stderr, line);
    (void)pthread_mutex_unlock(&s->mutex);
}

/* Is it on EFS, in any tier? */
static bool published(const struct context *x, const struct made *m)
{
    cleanup_entries struct entries list = {0};
    struct source src = {.kind = KIND_COLLECTION};
    char folder[NAME_MAX * 2], stored[NAME_STORED];
    struct err e = {0};
    (void)snprintf(src.collection, sizeof src.collection, "%s", m->collection);
    name_stored(m->stem, stored);
    if (!name_folder(&src, folder, sizeof folder) || store_list(x->settings.base, folder, &list, &e) != 0)
        return false;
    for (size_t i = 0; i < list.n; i++)
        if (strcmp(list.v[i].stem, stored) == 0 && store_load(&list.v[i], &e) == 0 &&
            list.v[i].state == ENTRY_COMPLETE)
            return true;
    return false;
}

/* Whoever answers on the status page's address is the replicator that will publish. */
static bool somebody_publishes(const struct context *x, struct err *e)
{
    char url[200];
    struct http_reply reply;
    const char *listen = x->options.status_listen;
    struct http *h = *listen ? http_new() : NULL;
    if (!h)
        return true; /* off: nobody can say */
    (void)snprintf(url, sizeof url, "http://%s/health", listen);
    int rc = http_do(h, &(struct http_request){.method = "GET", .url = url, .total_ms = 2000}, &reply, e);
    http_reply_free(&reply);
    http_free(h);
    return rc == 0;
}

static bool all_there(struct show *s)
{
    bool all = true;
    for (size_t i = 0; i < s->n_made && !atomic_load(&s->context->stop); i++) {
        bool there = s->made[i].there || published(s->context, &s->made[i]);
        (void)pthread_mutex_lock(&s->mutex);
        s->made[i].there = there;
        (void)pthread_mutex_unlock(&s->mutex);
        all = all && there;
    }
    return all;
}

static bool wait_for_efs(struct show *s)
{
    struct err e = {0};
    char line[1200];
    int64_t ask = clock_ms() + ASK_MS;
    (void)pthread_mutex_lock(&s->mutex);
    s->doing = "on EFS";
    (void)pthread_mutex_unlock(&s->mutex);
    bool there = somebody_publishes(s->context, &e);
    while (there && !all_there(s)) {
        if (atomic_load(&s->context->stop))
            return say(s, stderr,
                       "Stopped waiting. They are made, and the replicator goes on putting them on EFS."),
                   false;
        clock_sleep(LOOK_MS);
        if (clock_ms() < ask)
            continue;
        there = somebody_publishes(s->context, &e);
        ask = clock_ms() + ASK_MS;
    }
    if (!there) {
        (void)snprintf(
            line, sizeof line,
            "The snapshots are made, but no replicator runs here that would put them on EFS (%.900s).\n"
            "Start it, or run: qdrant-replicator --once",
            e.text);
        return say(s, stderr, line), false;
    }
    (void)snprintf(line, sizeof line, "%zu on EFS, below %.1000s", s->n_made, s->context->settings.base);
    return say(s, stdout, line), true;
}

/* Only collections that are there; a typing error must not look like success. */
static bool choose(struct show *s, const struct by_hand *what, struct qdrant_names *names)
{
    struct err e = {0};
    char line[400];
    bool good = true;
    if (qdrant_collections(s->context->qdrant, names, &e) != 0)
        return say(s, stderr, e.text), false;
    for (size_t i = 0; i < what->n; i++)
        if (!qdrant_names_have(names, what->collections[i])) {
            (void)snprintf(line, sizeof line, "Qdrant has no collection \"%.300s\"", what->collections[i]);
            say(s, stderr, line);
            good = false;
        }
    size_t kept = 0;
    for (size_t i = 0; i < names->n; i++) {
        bool wanted = what->n == 0 && options_wanted(s->context->options.collections, names->v[i]);
        for (size_t k = 0; k < what->n; k++)
            wanted = wanted || strcmp(names->v[i], what->collections[k]) == 0;
        if (wanted)
            names->v[kept++] = names->v[i];
        else
            free(names->v[i]);
    }
    names->n = kept;
    return good;
}

static bool make(struct show *s)
{
    struct context *x = s->context;
    struct maker_progress progress = {on_made, on_failed, s};
    struct maker_run run = {.slot = time(NULL), .only = s->names, .progress = &progress};
    struct ledger_run report = {0};
    struct maker *m = maker_new(&(struct maker_options){.options = &x->options,
                                                        .snapshots_dir = x->settings.snapshots_dir,
                                                        .qdrant = x->qdrant,
                                                        .ledger = x->ledger,
                                                        .stop = &x->stop});
    bool good = m && maker_run(m, &run, &report) && report.made == s->names->n;
    if (atomic_load(&x->stop))
        say(s, stderr, "Stopped. A snapshot that Qdrant has begun is finished and backed up all the same.");
    else if (!good && s->failed == 0)
        say(s, stderr, "Not all of them were made; Qdrant's collections may have changed meanwhile.");
    if (m && maker_stop(m, clock_ms() + 1000))
        maker_free(m);
    return good;
}

/* Ctrl-C ends the waiting, not the snapshot that Qdrant is making. */
static void *stopper(void *arg)
{
    struct show *s = arg;
    sigset_t set;
    int sig = 0;
    if (sigemptyset(&set) == 0 && sigaddset(&set, SIGINT) == 0 && sigaddset(&set, SIGTERM) == 0 &&
        sigwait(&set, &sig) == 0)
        atomic_store(&s->context->stop, true);
    return NULL;
}

static bool run(struct show *s, const struct by_hand *what)
{
    if (s->names->n == 0)
        return say(s, stderr, "There is no collection to be snapshotted."), what->n == 0;
    bool good = make(s);
    return (what->no_wait || s->n_made == 0 || wait_for_efs(s)) && good;
}

int by_hand_run(struct context *x, const struct by_hand *what, const sigset_t *stops)
{
    cleanup_names struct qdrant_names names = {0};
    struct show s = {.context = x,
                     .names = &names,
                     .terminal = isatty(STDERR_FILENO) == 1,
                     .doing = "made",
                     .begun = clock_ms()};
    pthread_t pen, ear;
    (void)stops; /* blocked; the stopper waits for them */
    if (pthread_mutex_init(&s.mutex, NULL) != 0)
        return 1;
    bool listens = pthread_create(&ear, NULL, stopper, &s) == 0, good = choose(&s, what, &names);
    s.made = calloc(names.n + 1, sizeof *s.made);
    bool draws = good && s.made && s.terminal && pthread_create(&pen, NULL, drawing, &s) == 0;
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
