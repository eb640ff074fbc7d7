#include "replicator/reporter.h"
#include "common/clock.h"
#include "common/log.h"
#include "replicator/emf.h"
#include "replicator/identity.h"
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <unistd.h>

/* Milliseconds. ASK: ECS's metadata, while it is not there yet. */
enum { MINUTE = 60000, ASK = 5000 };

struct reporter {
    struct context *context;
    struct emf *emf; /* NULL: no CloudWatch lines */
    cJSON *before;   /* the document of a minute ago */
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
};

static void report(struct reporter *r)
{
    const struct context *x = r->context;
    const struct settings *s = &x->settings;
    struct emf_options o = {.name_space = x->options.emf_namespace, .tier = s->tier, .cpu_arch = s->cpu_arch};
    cJSON *now = ledger_status(x->ledger, time(NULL));
    if (!now)
        return; /* without memory this minute has no metrics; the counters go on */
    emf_write(r->emf, emf_lines(&o, now, r->before));
    cJSON_Delete(r->before);
    r->before = now;
}

static void rest(struct reporter *r, int64_t until)
{
    struct timespec end = clock_spec(until);
    (void)pthread_mutex_lock(&r->mutex);
    for (int rc = 0; rc == 0 && !atomic_load(&r->context->stop);)
        rc = pthread_cond_timedwait(&r->wake, &r->mutex, &end);
    (void)pthread_mutex_unlock(&r->mutex);
}

static void *loop(void *arg)
{
    struct reporter *r = arg;
    bool known = false;
    int64_t next = clock_ms() + MINUTE;
    while (!atomic_load(&r->context->stop)) {
        known = known || identity_ask(r->context->identity, r->context->ledger, &r->context->stop);
        int64_t now = clock_ms();
        if (r->emf && now >= next)
            report(r);
        if (now >= next)
            next += MINUTE * ((now - next) / MINUTE + 1);
        rest(r, known || now + ASK > next ? next : now + ASK);
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
    if ((r->emf || !x->options.emf) && pthread_mutex_init(&r->mutex, NULL) == 0 &&
        clock_cond_init(&r->wake) && pthread_create(&r->thread, NULL, loop, r) == 0)
        return r;
    if (r->emf)
        (void)emf_close(r->emf, clock_ms() + 1000); /* nothing is queued */
    free(r);
    return NULL;
}

bool reporter_stop(struct reporter *r, int64_t end)
{
    (void)pthread_mutex_lock(&r->mutex);
    (void)pthread_cond_broadcast(&r->wake);
    (void)pthread_mutex_unlock(&r->mutex);
    bool ended = clock_join(r->thread, end);
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
    (void)pthread_cond_destroy(&r->wake);
    (void)pthread_mutex_destroy(&r->mutex);
    free(r);
}
