#include "replicator/snapshot/stop_snapshots.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/log.h"
#include "common/base/version.h"
#include "common/base/thread.h"
#include "common/json.h"
#include "efs/repo/history.h"
#include "replicator/status/state.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* MARGIN: milliseconds before Qdrant is told to stop. */
enum { FORMAT = 1, MARGIN = 300, LEFT_MAX = 1000, NAMES_SIZE = 1500 };

struct newest {
    char *collection;
    time_t taken;
};
struct stop_snapshots {
    struct context *x;
    struct runner_last last;
    time_t stopped;
    pthread_mutex_t mutex; /* for all below: the schedule may outlast its time */
    pthread_cond_t over;
    cJSON *left; /* [{"collection", "why"}] */
    unsigned n_left;
    char names[NAMES_SIZE]; /* of the first ones, for the log */
    const char *why;        /* what kept all from being made; NULL: nothing */
    struct newest *newest;  /* the newest snapshot of each collection */
    size_t n_newest;
    bool known;         /* these are all */
    cJSON *unpublished; /* names of collections whose newest is not on EFS; NULL: not known (yet) */
    unsigned n_unpublished;
    bool worth;     /* there is something to be told on EFS */
    bool published; /* the copies are over */
    bool writes;
    pthread_t writer;
};

/* Without memory the record lacks it; the count does not. */
static void on_left(const char *collection, const char *why, void *arg)
{
    struct stop_snapshots *s = arg;
    (void)pthread_mutex_lock(&s->mutex);
    cJSON *one = s->n_left < LEFT_MAX ? cJSON_CreateObject() : NULL;
    if (one && (!cJSON_AddStringToObject(one, "collection", collection) ||
                !cJSON_AddStringToObject(one, "why", why) || !cJSON_AddItemToArray(s->left, one)))
        cJSON_Delete(one);
    size_t used = strlen(s->names), more = strlen(collection) + strlen(why) + 5;
    if (used + more < sizeof s->names)
        (void)snprintf(s->names + used, sizeof s->names - used, "%s%s (%s)", s->n_left > 0 ? ", " : "",
                       collection, why);
    s->n_left++;
    (void)pthread_mutex_unlock(&s->mutex);
}

static void on_newest(const char *collection, time_t taken, void *arg)
{
    struct stop_snapshots *s = arg;
    (void)pthread_mutex_lock(&s->mutex);
    struct newest *more = realloc(s->newest, (s->n_newest + 1) * sizeof *more);
    if (more)
        s->newest = more;
    char *name = more ? strdup(collection) : NULL;
    if (name)
        more[s->n_newest++] = (struct newest){name, taken};
    s->known = s->known && name;
    (void)pthread_mutex_unlock(&s->mutex);
}

/* --- the record */

static bool fill(cJSON *o, struct stop_snapshots *s)
{
    return cJSON_AddNumberToObject(o, "format", FORMAT) &&
           cJSON_AddStringToObject(o, "node", s->x->settings.node) &&
           json_add_time(o, "stopped", s->stopped) &&
           cJSON_AddNumberToObject(o, "grace_seconds", s->x->options.grace) &&
           cJSON_AddNumberToObject(o, "snapshotted", s->last.made) &&
           cJSON_AddNumberToObject(o, "unchanged", s->last.unchanged) &&
           cJSON_AddStringToObject(o, "why", s->why ? s->why : "") &&
           cJSON_AddNumberToObject(o, "not_snapshotted", s->n_left) &&
           (s->unpublished ? cJSON_AddNumberToObject(o, "not_published", s->n_unpublished)
                           : cJSON_AddNullToObject(o, "not_published")) &&
           cJSON_AddStringToObject(o, "written_by", "qdrant-replicator " VERSION);
}

static bool add_list(cJSON *to, const char *name, const cJSON *from)
{
    cJSON *copy = cJSON_Duplicate(from, true);
    if (copy && cJSON_AddItemToObject(to, name, copy))
        return true;
    cJSON_Delete(copy);
    return false;
}

static char *print(struct stop_snapshots *s)
{
    cleanup_json cJSON *o = cJSON_CreateObject();
    (void)pthread_mutex_lock(&s->mutex);
    bool good = o && fill(o, s) && add_list(o, "left", s->left) &&
                (!s->unpublished || add_list(o, "unpublished", s->unpublished));
    (void)pthread_mutex_unlock(&s->mutex);
    return good ? cJSON_Print(o) : NULL;
}

/* Hangs with EFS. The tree is there when anything was ever published: an empty one would be taken for EFS.
 * *kept: when the record is there, its name's time. */
static void write_record(struct stop_snapshots *s, time_t *kept)
{
    struct err e = {0};
    const struct settings *to = &s->x->settings;
    time_t when = *kept ? *kept : s->stopped;
    cleanup_free char *text = print(s);
    int rc = -1;
    if (!text)
        (void)err_set(&e, ENOMEM, "cannot write down what this stop left", NULL, NULL);
    else if (*kept)
        rc = history_replace(to->base, &history_stops, to->node, when, text, &e);
    else
        rc = history_add_at(to->base, &history_stops, to->node, &when, text, &e);
    if (rc == 0)
        *kept = when;
    else
        log_line(LOG_WARN, "stop_not_recorded", "%s", e.text);
}

/* Before the copies are over, for a stop that is cut short, and after. */
static void *record(void *arg)
{
    struct stop_snapshots *s = arg;
    time_t kept = 0;
    (void)pthread_mutex_lock(&s->mutex);
    bool worth = s->worth;
    (void)pthread_mutex_unlock(&s->mutex);
    if (worth)
        write_record(s, &kept);
    (void)pthread_mutex_lock(&s->mutex);
    while (!s->published)
        (void)pthread_cond_wait(&s->over, &s->mutex);
    worth = s->worth;
    (void)pthread_mutex_unlock(&s->mutex);
    if (worth)
        write_record(s, &kept);
    return NULL;
}

/* --- the stop */

/* A run that is not over has not told of each. */
static void make(struct stop_snapshots *s, struct schedule *schedule)
{
    bool told = false, over = schedule_last(schedule, &s->last, &told);
    (void)pthread_mutex_lock(&s->mutex);
    if (!over)
        s->why = "the time was over before all collections were looked at";
    else if (!told)
        s->why = "Qdrant did not answer, or did not tell its collections";
    else if (s->last.recovery)
        s->why = "Qdrant is in recovery mode, and has not loaded its collections";
    else if (s->last.cut)
        s->why = "Qdrant ended, or refused us, before all collections were looked at a last time";
    s->known = s->known && over && told && !s->last.recovery;
    (void)pthread_mutex_unlock(&s->mutex);
}

static bool say(struct stop_snapshots *s)
{
    (void)pthread_mutex_lock(&s->mutex);
    unsigned made = s->last.made, unchanged = s->last.unchanged, left = s->n_left;
    bool all = !s->why && left == 0;
    if (s->why)
        log_line(LOG_ERROR, "stop_not_snapshotted",
                 "what was written since the last snapshots may be on this disk alone: %s", s->why);
    if (left > 0)
        log_line(
            LOG_ERROR, "stop_not_snapshotted",
            "what was written since their last snapshots is on this disk alone, of %u collections: %s%s%s",
            left, s->names,
            s->last.short_of_time ? ". A longer STOP_GRACE_SECONDS and stopTimeout leave more time" : "",
            s->last.written ? ". Whoever writes has to be taken away before a stop: deregister the task from "
                              "its load balancer first"
                            : "");
    (void)pthread_mutex_unlock(&s->mutex);
    if (all || made > 0)
        log_line(
            LOG_INFO, "stop_snapshotted",
            "%u collections were snapshotted at the stop, and %u had not been written to since their last "
            "snapshot; what does not reach EFS before the stop is over is told after this",
            made, unchanged);
    return made > 0 || !all;
}

static struct stop_snapshots *stop_snapshots_new(struct context *x)
{
    struct stop_snapshots *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->x = x;
    s->stopped = time(NULL);
    s->known = true;
    s->last = (struct runner_last){.left = on_left, .newest = on_newest, .arg = s};
    s->left = cJSON_CreateArray();
    if (s->left && pthread_mutex_init(&s->mutex, NULL) == 0 && pthread_cond_init(&s->over, NULL) == 0)
        return s;
    cJSON_Delete(s->left);
    free(s);
    return NULL;
}

static void stop_snapshots_free(struct stop_snapshots *s)
{
    (void)pthread_cond_destroy(&s->over);
    (void)pthread_mutex_destroy(&s->mutex);
    for (size_t i = 0; i < s->n_newest; i++)
        free(s->newest[i].collection);
    free(s->newest);
    cJSON_Delete(s->unpublished);
    cJSON_Delete(s->left);
    free(s);
}

struct stop_snapshots *stop_snapshots_make(struct context *x, struct schedule *schedule, int64_t begun,
                                           int64_t hold_ms)
{
    struct stop_snapshots *s = stop_snapshots_new(x);
    if (!s)
        return NULL;
    s->last.end_ms = begun + hold_ms - MARGIN;
    if (hold_ms > 0)
        make(s, schedule);
    else
        s->known = false, s->why = "STOP_GRACE_SECONDS leaves no time for snapshots";
    s->worth = say(s);
    s->writes = thread_start(&s->writer, "stop-record", record, s) == 0;
    return s; /* not freed here: the schedule may still have it */
}

/* What is on this task's own disk instead of EFS is nowhere. */
static bool is_on_efs(const struct stop_snapshots *s, const struct newest *it)
{
    return !atomic_load(&s->x->efs_local) && status_newest(s->x->status, it->collection) >= it->taken;
}

static void add_unpublished_locked(struct stop_snapshots *s, const char *collection, char names[NAMES_SIZE])
{
    size_t used = strlen(names);
    if (s->n_unpublished < LEFT_MAX)
        (void)json_append_text(s->unpublished, collection);
    if (used + strlen(collection) + 3 < NAMES_SIZE)
        (void)snprintf(names + used, NAMES_SIZE - used, "%s%s", s->n_unpublished > 0 ? ", " : "", collection);
    s->n_unpublished++;
}

/* Those from before the stop may be on EFS though nobody has looked there yet. With the mutex held. */
static void find_unpublished_locked(struct stop_snapshots *s, char names[NAMES_SIZE])
{
    bool scanned = atomic_load(&s->x->efs_scanned);
    s->unpublished = cJSON_CreateArray();
    for (size_t i = 0; s->unpublished && i < s->n_newest; i++) {
        const struct newest *it = &s->newest[i];
        if (it->taken == 0 || is_on_efs(s, it))
            continue;
        if (scanned || it->taken >= s->stopped)
            add_unpublished_locked(s, it->collection, names);
        else
            s->known = false;
    }
    if (s->known)
        return;
    cJSON_Delete(s->unpublished);
    s->unpublished = NULL;
}

void stop_snapshots_published(struct stop_snapshots *s, bool conflict)
{
    char names[NAMES_SIZE] = "";
    if (!s)
        return;
    (void)pthread_mutex_lock(&s->mutex);
    s->known = s->known && !conflict;
    find_unpublished_locked(s, names);
    s->worth = s->worth || s->n_unpublished > 0;
    s->published = true;
    if (s->n_unpublished > 0)
        log_line(
            LOG_ERROR, "stop_not_published",
            "the newest snapshots of %u collections are not on EFS, and on this disk alone: %s. What was "
            "written since the backups before them goes with this disk",
            s->n_unpublished, names);
    (void)pthread_cond_broadcast(&s->over);
    (void)pthread_mutex_unlock(&s->mutex);
}

bool stop_snapshots_end(struct stop_snapshots *s, int64_t end, bool clean)
{
    if (!s)
        return true;
    if (s->writes && !clock_join(s->writer, end))
        return false;
    if (clean)
        stop_snapshots_free(s);
    return true;
}
