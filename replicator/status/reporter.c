#include "replicator/status/reporter.h"
#include "common/base/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "replicator/core/worker.h"
#include "replicator/status/emf.h"
#include "replicator/status/ecs_task.h"
#include "replicator/status/state.h"
#include "replicator/status/task_protection.h"
#include <stdlib.h>
#include <unistd.h>

/* Milliseconds. ASK: ECS's metadata, while it is not there yet. */
enum { MINUTE = 60000, ASK = 5000 };

struct reporter {
    struct context *context;
    struct emf *emf; /* NULL: no CloudWatch lines */
    cJSON *before;   /* the document of a minute ago */
    struct task_protection protection;
    struct worker_thread worker;
};

static void report(struct reporter *r)
{
    const struct context *x = r->context;
    const struct settings *s = &x->settings;
    struct emf_options o = {.name_space = x->options.emf_namespace, .tier = s->tier, .cpu_arch = s->cpu_arch};
    cJSON *now = status_document(x->status, time(NULL));
    if (!now)
        return; /* without memory this minute has no metrics; the counters go on */
    emf_write(r->emf, emf_lines(&o, now, r->before));
    cJSON_Delete(r->before);
    r->before = now;
}

/* Does it do what the next task would have to begin anew? */
static bool is_irreplaceable(const struct reporter *r)
{
    bool pending;
    cJSON *restore = status_restored(r->context->status, time(NULL), &pending);
    bool restores = json_says(restore, "state", "restoring") && json_true(restore, "progressing");
    cJSON_Delete(restore);
    return restores || atomic_load(&r->context->healing);
}

static void *loop(void *arg)
{
    struct reporter *r = arg;
    bool known = false;
    int64_t next = clock_ms() + MINUTE;
    while (!atomic_load(&r->context->stop)) {
        known = known || ecs_task_ask(r->context->ecs_task, r->context->status, &r->context->stop);
        bool often = !known || task_protection_possible();
        if (task_protection_possible())
            task_protection_keep(&r->protection, is_irreplaceable(r), &r->context->stop);
        int64_t now = clock_ms();
        if (r->emf && now >= next)
            report(r);
        if (now >= next)
            next += MINUTE * ((now - next) / MINUTE + 1);
        worker_rest(&r->worker, !often || now + ASK > next ? next : now + ASK);
    }
    if (r->emf)
        report(r); /* what happened in the last minute */
    return NULL;
}

struct reporter *reporter_start(struct context *x)
{
    struct reporter *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->context = x;
    r->emf = x->options.emf ? emf_open(STDOUT_FILENO) : NULL;
    if ((r->emf || !x->options.emf) && worker_start(&r->worker, "reporter", loop, r, &x->stop))
        return r;
    if (r->emf)
        (void)emf_close(r->emf, clock_ms() + 1000); /* nothing is queued */
    free(r);
    return NULL;
}

bool reporter_stop(struct reporter *r, int64_t end)
{
    bool ended = worker_stop(&r->worker, end);
    /* A reader of stdout that is gone must not cost the stop's time; what is left behind then touches nothing
     * of ours. */
    if (r->emf && !emf_close(r->emf, end))
        log_line(LOG_DEBUG, "emf_dropped", "nobody reads stdout; the last CloudWatch metrics are lost");
    return ended;
}

void reporter_free(struct reporter *r)
{
    if (!r)
        return;
    cJSON_Delete(r->before);
    worker_free(&r->worker);
    free(r);
}
