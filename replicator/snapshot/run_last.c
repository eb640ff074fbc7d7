/* The runner's run at a stop: what was written since the last snapshots is snapshotted, as far as there is
 * time. Whoever writes on meanwhile gets a second snapshot, not a third: the stop has to end. What was
 * written since that one is told. */
#include "common/base/clock.h"
#include "common/log.h"
#include "qdrant/marks.h"
#include "replicator/snapshot/run_state.h"
#include "replicator/snapshot/stop_plan.h"
#include "replicator/status/state.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* SECOND: milliseconds. */
enum { TRIES = 2, SECOND = 1100 };

void runner_take_marks(struct runner *m)
{
    cleanup_marks struct qdrant_marks marks = {0};
    struct err e = {0};
    if (!m->o.marks)
        return;
    if (qdrant_marks(m->o.qdrant, &marks, &e) != 0)
        log_line(LOG_DEBUG, "no_marks", "%s", e.text);
    (void)pthread_mutex_lock(&m->mutex);
    for (size_t i = 0; i < m->targets.n; i++) {
        struct target *it = m->targets.v[i];
        (void)snprintf(it->mark_now, sizeof it->mark_now, "%s", qdrant_marks_of(&marks, it->name));
    }
    (void)pthread_mutex_unlock(&m->mutex);
}

static bool is_changed(const struct target *it)
{
    return !*it->mark || !*it->mark_now || strcmp(it->mark, it->mark_now) != 0;
}

/* Since the snapshot that this run had made. Where Qdrant does not tell, nobody knows. */
static bool is_written_since(const struct target *it)
{
    return *it->mark && *it->mark_now && strcmp(it->mark, it->mark_now) != 0;
}

static uint64_t known_size(const struct target *it) { return it->size > 0 ? (uint64_t)it->size : 0; }

/* Qdrant names a snapshot by the second that it was begun in: another one of that second would take its
 * place, and on EFS it may be there already. */
static bool begun_now(const struct target *it)
{
    time_t now = time(NULL);
    return it->newest == now || it->newest == now + 1;
}

/* Which of them now? With the mutex held. Returns how many. */
static size_t plan_locked(struct runner *m)
{
    struct targets *r = &m->targets;
    struct stop_item *v = calloc(r->n + 1, sizeof *v);
    int64_t left = m->end_ms - clock_ms();
    if (!v)
        return 0;
    for (size_t i = 0; i < r->n; i++) {
        const struct target *it = r->v[i];
        time_t on_efs = status_newest(m->o.status, it->name);
        v[i] = (struct stop_item){.name = it->name,
                                  .changed = it->state == TARGET_OUT && runner_wants(m, it) &&
                                                     is_changed(it) && it->last_made == it->last_tries &&
                                                     it->last_tries<TRIES, .newest = it->newest> on_efs
                                                 ? it->newest
                                                 : on_efs,
                                  .size = known_size(it),
                                  .seconds = it->seconds};
    }
    size_t fit = left > 0 ? stop_plan(v, r->n, (double)left / 1000, m->o.options->parallel) : 0;
    for (size_t i = 0; fit > 0 && i < r->n; i++) {
        struct target *it = r->v[i];
        if (v[i].rank == 0)
            continue;
        it->rank = v[i].rank;
        it->state = TARGET_PENDING;
        it->tries = it->waits = 0;
        it->busy = false;
        it->due = begun_now(it) ? clock_ms() + SECOND : 0;
        it->last_tries++;
        m->report.collections++;
    }
    free(v);
    return fit;
}

static const char *late(struct runner_last *l, const char *why)
{
    l->short_of_time = true;
    return why;
}

static const char *why_not_locked(const struct runner *m, const struct target *it, char out[200])
{
    const struct stop_item one = {.size = known_size(it), .seconds = it->seconds};
    struct runner_last *l = m->run->last;
    char at[16] = "";
    struct tm tm;
    if (it->last_made > 0) {
        l->written = true;
        if (gmtime_r(&it->newest, &tm))
            (void)strftime(at, sizeof at, " at %H:%M:%SZ", &tm);
        (void)snprintf(out, 200,
                       "written to while the stop went on; what was written since its snapshot%s is on the "
                       "local disk alone",
                       at);
        return out;
    }
    if (it->state == TARGET_MAKING)
        return late(l, "its snapshot was still being made");
    if (it->last_tries > 0 && it->state == TARGET_OUT)
        return "its snapshot failed, or could not be begun; the lines before this one say why";
    if (m->cut)
        return "Qdrant ended, or refused us, before its snapshot was begun";
    if (it->state == TARGET_PENDING && it->busy)
        return late(l, "somebody else's snapshot of it was being made until the time was over");
    (void)snprintf(out, 200, "there was no time for it: its snapshot may take %.1f s",
                   stop_plan_estimate(&one));
    return late(l, out);
}

/* What became of each. With the mutex held. */
static void tell_locked(struct runner *m)
{
    struct runner_last *l = m->run->last;
    l->cut = m->cut;
    for (size_t i = 0; i < m->targets.n; i++) {
        const struct target *it = m->targets.v[i];
        char why[200];
        if (!runner_wants(m, it))
            continue;
        l->newest(it->name, it->newest, l->arg);
        if (it->last_made > 0 && !is_written_since(it))
            l->made++;
        else if (it->state == TARGET_OUT && it->last_tries == 0 && !is_changed(it))
            l->unchanged++;
        else
            l->left(it->name, why_not_locked(m, it, why), l->arg);
    }
}

/* What one knows from before is kept where Qdrant is gone. */
static void look(struct runner *m)
{
    runner_list_again(m);
    (void)pthread_mutex_lock(&m->mutex);
    bool cut = m->cut;
    (void)pthread_mutex_unlock(&m->mutex);
    if (!cut)
        runner_take_marks(m);
}

void runner_run_last(struct runner *m)
{
    (void)pthread_mutex_lock(&m->mutex);
    for (size_t i = 0; i < m->targets.n; i++)
        m->targets.v[i]->last_tries = m->targets.v[i]->last_made = 0;
    (void)pthread_mutex_unlock(&m->mutex);
    for (bool more = true; more;) {
        look(m);
        (void)pthread_mutex_lock(&m->mutex);
        /* One that is still being made was begun before the stop: it may lack the last writes. */
        more = !runner_over(m) && (plan_locked(m) > 0 || targets_left(&m->targets).making > 0);
        if (more)
            runner_wait_locked(m);
        else
            tell_locked(m);
        (void)pthread_mutex_unlock(&m->mutex);
    }
}
