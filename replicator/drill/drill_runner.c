#include "replicator/drill/drill_runner.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/log.h"
#include "efs/repo/history.h"
#include "replicator/core/worker.h"
#include "common/json.h"
#include "replicator/core/subprocess.h"
#include "replicator/core/disk.h"
#include "replicator/status/state.h"
#include "qdrant/cluster.h"
#include <errno.h>
#include <inttypes.h>
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

struct drill_runner {
    struct context *context;
    time_t started, last; /* the last drill */
    bool waiting_said;
    struct worker_thread worker;
};

static void strings_free(char *(*v)[4])
{
    for (size_t i = 0; i < 4; i++)
        free((*v)[i]);
}
#define cleanup_strings __attribute__((cleanup(strings_free)))

/* --- when */

/* While Qdrant loads or restores its collections, and while a run of snapshots is going, a drill would take
 * what they need. */
static bool quiet(const struct drill_runner *d)
{
    const struct context *x = d->context;
    struct qdrant_state state = {0};
    struct err e = {0};
    if (atomic_load(&x->restore_pending))
        return false;
    cleanup_json cJSON *status = status_document(x->status, time(NULL));
    const cJSON *schedule = json_member(status, "schedule");
    if (cJSON_IsObject(json_member(schedule, "running")) || qdrant_ready(x->qdrant, &e) != 0)
        return false;
    bool making = qdrant_state(x->qdrant, &state, &e) == 0 && (state.making.n > 0 || state.recovery_mode);
    qdrant_names_free(&state.making);
    return !making;
}

static bool due(const struct drill_runner *d, time_t now)
{
    time_t at = drill_schedule_last(&d->context->options.drills, now);
    return at > d->last && (at >= d->started || now >= d->started + SETTLE_SECONDS);
}

/* --- what came of it */

/* The newest backup failed, and this is an older one of the same that was tried after it: what a restore
 * would bring, and no reason to forget the failure. */
static bool failed_before(const cJSON *one)
{
    for (const cJSON *p = one->prev; p->next; p = p->prev) /* the first one's `prev` is the last */
        if (strcmp(json_text(p, "collection"), json_text(one, "collection")) == 0 &&
            strcmp(json_text(p, "kind"), json_text(one, "kind")) == 0 &&
            strcmp(json_text(p, "verdict"), "failed") == 0)
            return true;
    return false;
}

static bool is_good(const char *verdict)
{
    return strcmp(verdict, "proven") == 0 || strcmp(verdict, "partly_proven") == 0;
}

/* Does it say how the newest backup of a collection is? */
static bool says(const cJSON *one)
{
    const char *verdict = json_text(one, "verdict");
    return is_good(verdict) ? !failed_before(one) : strcmp(verdict, "failed") == 0;
}

static void report_one(struct drill_runner *d, const cJSON *one)
{
    const char *collection = json_text(one, "collection"), *snapshot = json_text(one, "snapshot"),
               *verdict = json_text(one, "verdict"), *why = json_text(one, "why"),
               *note = json_text(one, "note");
    bool refused = strcmp(verdict, "refused") == 0;
    bool good = is_good(verdict);
    cJSON *f = cJSON_CreateObject();
    if (f) { /* a member that finds no memory is left out */
        (void)cJSON_AddStringToObject(f, "collection", collection);
        (void)cJSON_AddStringToObject(f, "kind", json_text(one, "kind"));
        (void)cJSON_AddStringToObject(f, "snapshot", snapshot);
        (void)cJSON_AddStringToObject(f, "verdict", verdict);
        (void)cJSON_AddNumberToObject(f, "seconds", json_number(one, "seconds"));
        (void)cJSON_AddNumberToObject(f, "points", json_number(one, "points"));
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
    if (says(one))
        status_drill(d->context->status, collection, snapshot, json_number(one, "seconds"), good ? NULL : why,
                     time(NULL));
}

static void keep(const struct drill_runner *d, const cJSON *report, time_t when)
{
    const struct settings *s = &d->context->settings;
    const char *node = *s->node                     ? s->node
                       : *json_text(report, "node") ? json_text(report, "node")
                                                    : "unknown";
    char *json = cJSON_Print(report);
    struct err e = {0};
    if (!json || history_add(s->base, &history_drills, node, when, json, &e) != 0)
        log_line(LOG_WARN, "drill_not_recorded", "%s", json ? e.text : "no memory");
    cJSON_free(json);
}

/* What the last one found, also before this start: without it, a failure would be forgotten by a restart, and
 * a proof not be known. What has failed comes last, as it is what the page shows of several. */
static void remember(const struct drill_runner *d)
{
    const struct settings *s = &d->context->settings;
    time_t when;
    struct err e = {0};
    cleanup_free char *json =
        history_last_text(s->base, &history_drills, *s->node ? s->node : NULL, &when, &e);
    cleanup_json cJSON *whole = json ? cJSON_Parse(json) : NULL;
    const cJSON *drills = json_member(whole, "drills"), *one;
    if (!json && e.text[0])
        log_line(LOG_WARN, "drill_unreadable", "what the last drill found cannot be read: %s", e.text);
    if (cJSON_GetArraySize(drills) == 0 && strcmp(json_text(whole, "verdict"), "failed") == 0)
        status_drill_before(d->context->status, "", "", 0, json_text(whole, "why"), when);
    for (int bad = 0; bad < 2; bad++)
        cJSON_ArrayForEach(one, drills)
        {
            if (says(one) && is_good(json_text(one, "verdict")) == !bad)
                status_drill_before(d->context->status, json_text(one, "collection"),
                                    json_text(one, "snapshot"), json_number(one, "seconds"),
                                    bad ? json_text(one, "why") : NULL, when);
        }
}

static void why_no_report(const struct subprocess_result *r, const struct err *e, char out[1500])
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
static cJSON *crash(struct drill_runner *d, const struct subprocess_result *r, const struct err *e,
                    time_t begun)
{
    char why[1500], when[32];
    cJSON *o = cJSON_CreateObject();
    why_no_report(r, e, why);
    log_line(LOG_ERROR, "drill_failed", "%s", why);
    status_drill(d->context->status, "", "", difftime(time(NULL), begun), why, time(NULL));
    utc_text(begun, when);
    if (o) { /* a member that finds no memory is left out */
        (void)cJSON_AddStringToObject(o, "time", when);
        (void)cJSON_AddStringToObject(o, "verdict", "failed");
        (void)cJSON_AddStringToObject(o, "why", why);
        (void)cJSON_AddArrayToObject(o, "drills");
    }
    return o;
}

static void report(struct drill_runner *d, const struct subprocess_result *r, const struct err *e,
                   time_t when)
{
    cleanup_json cJSON *whole = e->text[0] ? NULL : cJSON_Parse(r->output);
    const cJSON *drills = json_member(whole, "drills"), *one;
    const char *why = json_text(whole, "why");
    if (!cJSON_IsArray(drills)) {
        cJSON_Delete(whole);
        whole = crash(d, r, e, when);
        drills = NULL;
    } else if (*why)
        log_line(LOG_WARN, "drill_refused", "%s", why);
    else if (cJSON_GetArraySize(drills) == 0 && json_number(whole, "left_to_others") > 0)
        log_line(LOG_DEBUG, "drill_left", "all sets fall to other nodes this time");
    else if (cJSON_GetArraySize(drills) == 0)
        log_line(LOG_WARN, "drill_refused", "there is no backup of this node to restore yet");
    cJSON_ArrayForEach(one, drills) { report_one(d, one); }
    if (whole)
        keep(d, whole, when);
}

/* --- doing it */

/* Only our own tree is meant; and a drill has no use for the keys of the Qdrant that serves. */
static char **environment(const struct context *x, char *more[4])
{
    static const char *const without[] = {"TIER",
                                          "CPU_ARCH",
                                          "QDRANT_API_KEY",
                                          "QDRANT__SERVICE__*",
                                          "AK_ARN",
                                          "QDRANT_API_KEY_FILE",
                                          "AWS_*",
                                          "MIN_FREE",
                                          NULL};
    if (asprintf(&more[0], "TIER=%s", x->settings.tier) < 0)
        more[0] = NULL;
    if (asprintf(&more[1], "CPU_ARCH=%s", x->settings.cpu_arch) < 0)
        more[1] = NULL;
    if (asprintf(&more[2], "MIN_FREE=%" PRIu64, disk_marks_of(x->disk).floor) < 0)
        more[2] = NULL;
    return more[0] && more[1] && more[2] ? subprocess_environment(without, more) : NULL;
}

/* Then a snapshot of this node has only some of the shards, and is no whole to be proven. Without a name of
 * its own the nodes could not share the sets among them. */
static bool is_cluster(const struct context *x)
{
    struct cluster_state state;
    struct err ignored;
    return x->settings.node[0] && cluster_state(x->qdrant, &state, &ignored) == 0 && state.members > 1;
}

static bool lacks_room(void *disk) { return disk_near_end(disk); }

static void run(struct drill_runner *d)
{
    struct context *x = d->context;
    bool cluster = is_cluster(x);
    char *argv[] = {"qdrant-efs", "drill", "--json", cluster ? "--set" : NULL, "--own", NULL};
    cleanup_strings char *more[4] = {NULL};
    cleanup_free char **env = environment(x, more);
    struct subprocess_options o = {.program = argv[0],
                                   .argv = argv,
                                   .environment = env,
                                   .end = clock_ms() + CHILD_MS,
                                   .output_max = OUTPUT_MAX,
                                   .stop = &x->stop,
                                   .give_up = lacks_room,
                                   .arg = x->disk};
    struct subprocess_result r = {0};
    struct err e = {0};
    time_t begun = time(NULL);
    log_line(LOG_DEBUG, "drill_started", "qdrant-efs drill%s", cluster ? " --set --own" : "");
    if (!env)
        (void)err_set(&e, ENOMEM, "cannot start", argv[0], NULL);
    else
        (void)subprocess_run(&o, &r, &e);
    if (e.code == EBUSY)
        log_line(LOG_WARN, "drill_refused",
                 "a drill was ended in its middle: the local disk ran low, and Qdrant needs what is left; "
                 "DRILL_DIR names another place");
    else if (!atomic_load(&x->stop))
        report(d, &r, &e, begun);
    free(r.output);
}

static void *loop(void *arg)
{
    struct drill_runner *d = arg;
    const struct settings *s = &d->context->settings;
    d->last = history_last(s->base, &history_drills, *s->node ? s->node : NULL);
    if (d->last == 0 || d->last > d->started)
        d->last = d->started; /* the first one comes when it is due; a clock may have run ahead */
    remember(d);
    for (; !atomic_load(&d->context->stop); worker_rest(&d->worker, clock_ms() + LOOK_MS)) {
        time_t now = time(NULL);
        status_drill_next(d->context->status, drill_schedule_next(&d->context->options.drills, d->last, now));
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

struct drill_runner *drill_runner_start(struct context *x)
{
    struct drill_runner *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    d->context = x;
    d->started = time(NULL);
    if (worker_start(&d->worker, "drills", loop, d, &x->stop))
        return d;
    free(d);
    return NULL;
}

bool drill_runner_stop(struct drill_runner *d, int64_t end) { return worker_stop(&d->worker, end); }

void drill_runner_free(struct drill_runner *d)
{
    if (!d)
        return;
    worker_free(&d->worker);
    free(d);
}
