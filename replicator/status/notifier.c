#include "replicator/status/notifier.h"
#include "common/base/clock.h"
#include "common/base/cleanup.h"
#include "common/base/version.h"
#include "common/http.h"
#include "common/json.h"
#include "common/log.h"
#include "replicator/core/notify_url.h"
#include "replicator/core/worker.h"
#include "replicator/status/notify_rule.h"
#include "replicator/status/state.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Milliseconds; TRIES of one message, AGAIN apart. REASONS: of /health, in a body that services keep 100 KB
 * of. */
enum { LOOK_MS = 2000, CONNECT_MS = 5000, TOTAL_MS = 10000, AGAIN_MS = 5000, TRIES = 3, REASONS = 20 };

struct notifier {
    struct context *context;
    struct http *http;
    struct notify_told told;
    bool complained; /* it was logged that it does not arrive, and it has not arrived since */
    struct worker_thread worker;
};

/* --- what is told */

static bool add_reasons(cJSON *o, const cJSON *health)
{
    cJSON *list = cJSON_AddArrayToObject(o, "reasons");
    const cJSON *reason;
    int n = 0;
    cJSON_ArrayForEach(reason, json_member(health, "reasons"))
    {
        cJSON *copy = n++ < REASONS ? cJSON_Duplicate(reason, true) : NULL;
        if (copy && (!list || !cJSON_AddItemToArray(list, copy)))
            return cJSON_Delete(copy), false;
    }
    return list != NULL;
}

static char *message(const struct notifier *n, enum notify_what what, const struct status_pulse *p,
                     const cJSON *health, time_t now)
{
    const struct settings *s = &n->context->settings;
    const struct status_run *r = &p->last;
    cleanup_json cJSON *o = cJSON_CreateObject();
    bool ok = o && json_add_text(o, "event", what == NOTIFY_GOOD ? "success" : "failure") &&
              json_add_time(o, "time", now) && json_add_text(o, "tree", strrchr(s->base, '/') + 1) &&
              json_add_text(o, "node", s->node) && json_add_text(o, "health", json_text(health, "status")) &&
              add_reasons(o, health) && json_add_text(o, "version", VERSION);
    if (ok && r->ended > 0)
        ok = json_add_time(o, "slot", r->slot) && json_add_number(o, "collections", r->collections) &&
             json_add_number(o, "made", r->made) && json_add_number(o, "failed", r->failed) &&
             json_add_number(o, "skipped", r->skipped) && json_add_number(o, "bytes", (double)r->bytes) &&
             json_add_number(o, "seconds", (double)(r->ended - r->begun)) &&
             json_add_number(o, "waiting", p->waiting);
    return ok ? json_line(o, false) : NULL;
}

/* --- telling it. The address is a secret, and an error of HTTP has it: its code alone is told. */

static bool address(const struct notifier *n, enum notify_what what, char url[NOTIFY_URL_MAX])
{
    const struct options *o = &n->context->options;
    char base[NOTIFY_URL_MAX];
    if (o->notify_url_file[0] ? !notify_url_read(o->notify_url_file, base)
                              : snprintf(base, sizeof base, "%s", o->notify_url) <= 0)
        return false;
    bool good =
        what == NOTIFY_BAD ? notify_url_fail(base, url) : snprintf(url, NOTIFY_URL_MAX, "%s", base) > 0;
    explicit_bzero(base, sizeof base);
    return good;
}

static bool send_once(const struct notifier *n, const char *url, const char *body, char why[200])
{
    static const char *const headers[] = {"Content-Type: application/json", "User-Agent: qdrant-replicator",
                                          NULL};
    cleanup_reply struct http_reply reply = {0};
    struct err e = {0};
    struct http_request r = {.method = "POST",
                             .url = url,
                             .headers = headers,
                             .body = body,
                             .body_size = strlen(body),
                             .connect_ms = CONNECT_MS,
                             .total_ms = TOTAL_MS,
                             .proxy = true,
                             .stop = &n->context->stop};
    if (http_do(n->http, &r, &reply, &e) != 0)
        (void)snprintf(why, 200, "%.150s", strerror(e.code ? e.code : EPROTO));
    else if (reply.status < 200 || reply.status > 299)
        (void)snprintf(why, 200, "it answered %ld", reply.status);
    else
        return true;
    return false;
}

static void send_all(struct notifier *n, enum notify_what what, const char *body)
{
    char url[NOTIFY_URL_MAX], host[256],
        why[200] = "NOTIFY_URL_FILE cannot be read, or holds no such address";
    bool known = address(n, what, url), arrived = false;
    for (int i = 0; known && !arrived && i < TRIES && !atomic_load(&n->context->stop); i++) {
        if (i > 0)
            worker_rest(&n->worker, clock_ms() + AGAIN_MS);
        arrived = send_once(n, url, body, why);
    }
    notify_url_host(known ? url : "", host, sizeof host);
    explicit_bzero(url, sizeof url);
    if (arrived)
        log_line(LOG_DEBUG, "notified", "%s was told of a %s", host,
                 what == NOTIFY_GOOD ? "good run" : "failure");
    else if (!atomic_load(&n->context->stop) && !n->complained)
        log_line(LOG_WARN, "notify_failed", "NOTIFY_URL was not told of a %s: %s: %s",
                 what == NOTIFY_GOOD ? "good run" : "failure", host, why);
    n->complained = !arrived;
}

static void look(struct notifier *n)
{
    const struct context *x = n->context;
    time_t now = time(NULL);
    struct status_pulse p;
    status_pulse(x->status, &p);
    cleanup_json cJSON *health = status_health(x->status, now);
    if (!health)
        return; /* without memory: the next time */
    struct notify_seen seen = {.now = now,
                               .interval = x->options.interval,
                               .slot = p.last.slot,
                               .ended = p.last.ended,
                               .not_made = p.last.failed,
                               .running = p.running,
                               .waiting = p.waiting,
                               .failing = json_says(health, "status", "failing"),
                               .restore_pending = atomic_load(&x->restore_pending)};
    enum notify_what what = notify_rule(&seen, &n->told);
    cleanup_free char *body = what == NOTIFY_NOTHING ? NULL : message(n, what, &p, health, now);
    if (body)
        send_all(n, what, body);
}

static void *loop(void *arg)
{
    struct notifier *n = arg;
    while (!atomic_load(&n->context->stop)) {
        look(n);
        worker_rest(&n->worker, clock_ms() + LOOK_MS);
    }
    return NULL;
}

struct notifier *notifier_start(struct context *x)
{
    struct notifier *n = calloc(1, sizeof *n);
    if (!n)
        return NULL;
    n->context = x;
    n->http = http_new();
    if (n->http && worker_start(&n->worker, "notify", loop, n, &x->stop))
        return n;
    http_free(n->http);
    free(n);
    return NULL;
}

bool notifier_stop(struct notifier *n, int64_t end) { return worker_stop(&n->worker, end); }

void notifier_free(struct notifier *n)
{
    if (!n)
        return;
    http_free(n->http);
    worker_free(&n->worker);
    free(n);
}
