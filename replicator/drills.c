#include "replicator/drills.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "efs/drill_record.h"
#include "replicator/child.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

enum {
    LOOK_MS = 5000,
    SETTLE_SECONDS = 300, /* after a start, before what was missed is caught up with */
    CHILD_MS = 12 * 3600 * 1000,
    OUTPUT_MAX = 16 << 20,
};

struct drills {
    struct context *context;
    time_t started, last; /* the last drill */
    bool waiting_said;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
};

static void json_free(cJSON **j) { cJSON_Delete(*j); }
#define cleanup_json __attribute__((cleanup(json_free)))
static void strings_free(char *(*v)[3])
{
    for (size_t i = 0; i < 3; i++)
        free((*v)[i]);
}
#define cleanup_strings __attribute__((cleanup(strings_free)))

static const char *text(const cJSON *o, const char *name)
{
    const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, name));
    return s ? s : "";
}

static double number(const cJSON *o, const char *name)
{
    const cJSON *n = cJSON_GetObjectItemCaseSensitive(o, name);
    return cJSON_IsNumber(n) ? n->valuedouble : 0;
}

/* --- when */

/* While Qdrant loads or restores its collections, and while a run of snapshots is going, a drill would take
 * what they need. */
static bool quiet(const struct drills *d)
{
    const struct context *x = d->context;
    struct qdrant_state state = {0};
    struct err e = {0};
    if (atomic_load(&x->hold))
        return false;
    cleanup_json cJSON *status = ledger_status(x->ledger, time(NULL));
    const cJSON *schedule = cJSON_GetObjectItemCaseSensitive(status, "schedule");
    if (cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(schedule, "running")) ||
        qdrant_ready(x->qdrant, &e) != 0)
        return false;
    bool making = qdrant_state(x->qdrant, &state, &e) == 0 && (state.making.n > 0 || state.recovery_mode);
    qdrant_names_free(&state.making);
    return !making;
}

static bool due(const struct drills *d, time_t now)
{
    time_t at = drill_plan_last(&d->context->options.drills, now);
    return at > d->last && (at >= d->started || now >= d->started + SETTLE_SECONDS);
}

/* --- what came of it */

static void report_one(struct drills *d, const cJSON *one)
{
    const char *collection = text(one, "collection"), *snapshot = text(one, "snapshot"),
               *verdict = text(one, "verdict"), *why = text(one, "why"), *note = text(one, "note");
    bool refused = strcmp(verdict, "refused") == 0;
    bool good = strcmp(verdict, "proven") == 0 || strcmp(verdict, "partly_proven") == 0;
    cJSON *f = cJSON_CreateObject();
    if (f) { /* a member that finds no memory is left out */
        (void)cJSON_AddStringToObject(f, "collection", collection);
        (void)cJSON_AddStringToObject(f, "kind", text(one, "kind"));
        (void)cJSON_AddStringToObject(f, "snapshot", snapshot);
        (void)cJSON_AddStringToObject(f, "verdict", verdict);
        (void)cJSON_AddNumberToObject(f, "seconds", number(one, "seconds"));
        (void)cJSON_AddNumberToObject(f, "points", number(one, "points"));
    }
    log_fields(good      ? LOG_INFO
               : refused ? LOG_WARN
                         : LOG_ERROR,
               good      ? "drill_passed"
               : refused ? "drill_refused"
                         : "drill_failed",
               f, "%s%s%s: %s%s%s%s", collection, *collection ? ", " : "", snapshot,
               good ? strcmp(verdict, "proven") == 0 ? "restored and proven" : "restored" : why,
               *note ? " (" : "", note, *note ? ")" : "");
    if (!refused)
        ledger_drill(d->context->ledger, collection, snapshot, number(one, "seconds"), good ? NULL : why,
                     time(NULL));
}

static void keep(const struct drills *d, const cJSON *report, time_t when)
{
    const struct settings *s = &d->context->settings;
    const char *node = *s->node ? s->node : *text(report, "node") ? text(report, "node") : "unknown";
    char *json = cJSON_Print(report);
    struct err e = {0};
    if (!json || drill_record_keep(s->base, node, when, json, &e) != 0)
        log_line(LOG_WARN, "drill_not_recorded", "%s", json ? e.text : "no memory");
    cJSON_free(json);
}

static void why_no_report(const struct child_result *r, const struct err *e, char out[1500])
{
    if (e->text[0])
        (void)snprintf(out, 1500, "%s", e->text);
    else if (WIFSIGNALED(r->status))
        (void)snprintf(out, 1500, "qdrant-efs drill was killed by signal %d before it could report%s",
                       WTERMSIG(r->status),
                       WTERMSIG(r->status) == SIGKILL ? ", most likely for want of memory" : "");
    else
        (void)snprintf(out, 1500, "qdrant-efs drill ended with %d and no report%s%s", WEXITSTATUS(r->status),
                       *r->errors ? ": " : "", r->errors);
}

/* It came to no report. Nothing was proven, and somebody has to look: a failure like any other. */
static cJSON *crash(struct drills *d, const struct child_result *r, const struct err *e, time_t begun)
{
    char why[1500], when[32];
    cJSON *o = cJSON_CreateObject();
    why_no_report(r, e, why);
    log_line(LOG_ERROR, "drill_failed", "%s", why);
    ledger_drill(d->context->ledger, "", "", difftime(time(NULL), begun), why, time(NULL));
    manifest_time(begun, when);
    if (o) { /* a member that finds no memory is left out */
        (void)cJSON_AddStringToObject(o, "time", when);
        (void)cJSON_AddStringToObject(o, "verdict", "failed");
        (void)cJSON_AddStringToObject(o, "why", why);
        (void)cJSON_AddArrayToObject(o, "drills");
    }
    return o;
}

static void report(struct drills *d, const struct child_result *r, const struct err *e, time_t when)
{
    cleanup_json cJSON *whole = e->text[0] ? NULL : cJSON_Parse(r->output);
    const cJSON *drills = cJSON_GetObjectItemCaseSensitive(whole, "drills"), *one;
    const char *why = text(whole, "why");
    if (!cJSON_IsArray(drills)) {
        cJSON_Delete(whole);
        whole = crash(d, r, e, when);
        drills = NULL;
    } else if (*why)
        log_line(LOG_WARN, "drill_refused", "%s", why);
    else if (cJSON_GetArraySize(drills) == 0)
        log_line(LOG_WARN, "drill_refused", "there is no backup of this node to restore yet");
    cJSON_ArrayForEach(one, drills) { report_one(d, one); }
    if (whole)
        keep(d, whole, when);
}

/* --- doing it */

/* Only our own tree is meant; and a drill has no use for the keys of the Qdrant that serves. */
static char **environment(const struct context *x, char *more[3])
{
    static const char *const without[] = {
        "TIER",  "CPU_ARCH", "QDRANT_API_KEY", "QDRANT__SERVICE__*", "AK_ARN", "QDRANT_API_KEY_FILE",
        "AWS_*", NULL};
    if (asprintf(&more[0], "TIER=%s", x->settings.tier) < 0)
        more[0] = NULL;
    if (asprintf(&more[1], "CPU_ARCH=%s", x->settings.cpu_arch) < 0)
        more[1] = NULL;
    return more[0] && more[1] ? child_environment(without, more) : NULL;
}

static void run(struct drills *d)
{
    struct context *x = d->context;
    char *argv[] = {"qdrant-efs", "drill", "--json", NULL};
    cleanup_strings char *more[3] = {NULL};
    cleanup_free char **env = environment(x, more);
    struct child_options o = {.program = argv[0],
                              .argv = argv,
                              .environment = env,
                              .end = clock_ms() + CHILD_MS,
                              .output_max = OUTPUT_MAX,
                              .stop = &x->stop};
    struct child_result r = {0};
    struct err e = {0};
    time_t begun = time(NULL);
    log_line(LOG_DEBUG, "drill_started", "qdrant-efs drill");
    if (!env)
        (void)err_set(&e, ENOMEM, "cannot start", argv[0], NULL);
    else
        (void)child_run(&o, &r, &e);
    if (!atomic_load(&x->stop))
        report(d, &r, &e, begun);
    free(r.output);
}

static void rest(struct drills *d)
{
    struct timespec end = clock_spec(clock_ms() + LOOK_MS);
    (void)pthread_mutex_lock(&d->mutex);
    for (int rc = 0; rc == 0 && !atomic_load(&d->context->stop);)
        rc = pthread_cond_timedwait(&d->wake, &d->mutex, &end);
    (void)pthread_mutex_unlock(&d->mutex);
}

static void *loop(void *arg)
{
    struct drills *d = arg;
    const struct settings *s = &d->context->settings;
    d->last = drill_record_last(s->base, *s->node ? s->node : NULL);
    if (d->last == 0 || d->last > d->started)
        d->last = d->started; /* the first one comes when it is due; a clock may have run ahead */
    for (; !atomic_load(&d->context->stop); rest(d)) {
        time_t now = time(NULL);
        if (!due(d, now))
            continue;
        if (!quiet(d)) {
            if (!d->waiting_said)
                log_line(LOG_DEBUG, "drill_waits", "until Qdrant is ready and no snapshots are made");
            d->waiting_said = true;
            continue;
        }
        d->waiting_said = false;
        d->last = now;
        run(d);
    }
    return NULL;
}

struct drills *drills_start(struct context *x)
{
    struct drills *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    d->context = x;
    d->started = time(NULL);
    if (pthread_mutex_init(&d->mutex, NULL) == 0 && clock_cond_init(&d->wake) &&
        pthread_create(&d->thread, NULL, loop, d) == 0)
        return d;
    free(d);
    return NULL;
}

bool drills_stop(struct drills *d, int64_t end)
{
    (void)pthread_mutex_lock(&d->mutex);
    (void)pthread_cond_broadcast(&d->wake);
    (void)pthread_mutex_unlock(&d->mutex);
    return clock_join(d->thread, end);
}

void drills_free(struct drills *d)
{
    if (!d)
        return;
    (void)pthread_cond_destroy(&d->wake);
    (void)pthread_mutex_destroy(&d->mutex);
    free(d);
}
