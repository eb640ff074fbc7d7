/* The status document. Made from a copy, so that nobody waits while it is. */
#include "common/base/cleanup.h"
#include "common/log.h"
#include "common/base/version.h"
#include "replicator/status/state_internal.h"
#include "common/json.h"
#include <inttypes.h>
#include <stdio.h>

/* Members are added one after the other; whether memory was enough for all is asked once, at the end. */
struct page {
    const struct status_state *s;
    time_t now;
    bool ok;
};

static void text(struct page *p, cJSON *o, const char *key, const char *value)
{
    p->ok = p->ok && cJSON_AddStringToObject(o, key, value);
}
static void number(struct page *p, cJSON *o, const char *key, double value)
{
    p->ok = p->ok && cJSON_AddNumberToObject(o, key, value);
}
static void flag(struct page *p, cJSON *o, const char *key, bool value)
{
    p->ok = p->ok && cJSON_AddBoolToObject(o, key, value);
}
static void null(struct page *p, cJSON *o, const char *key)
{
    p->ok = p->ok && cJSON_AddNullToObject(o, key);
}
/* A time, or null for none. */
static void when(struct page *p, cJSON *o, const char *key, time_t t)
{
    p->ok = p->ok && (t ? json_add_time(o, key, t) : json_add_null(o, key));
}
/* How long ago, never negative. */
static void age(struct page *p, cJSON *o, const char *key, time_t since)
{
    number(p, o, key, p->now > since ? (double)(p->now - since) : 0);
}
static cJSON *object(struct page *p, cJSON *o, const char *key)
{
    cJSON *new = p->ok ? cJSON_AddObjectToObject(o, key) : NULL;
    p->ok = new != NULL;
    return new;
}
static cJSON *array(struct page *p, cJSON *o, const char *key)
{
    cJSON *new = p->ok ? cJSON_AddArrayToObject(o, key) : NULL;
    p->ok = new != NULL;
    return new;
}
static cJSON *element(struct page *p, cJSON *list)
{
    cJSON *new = p->ok ? json_append_object(list) : NULL;
    p->ok = new != NULL;
    return new;
}
static void adopt(struct page *p, cJSON *o, const char *key, cJSON *item)
{
    if (p->ok && item && cJSON_AddItemToObject(o, key, item))
        return;
    cJSON_Delete(item);
    p->ok = false;
}

static void add_head(struct page *p, cJSON *o)
{
    text(p, o, "version", VERSION);
    when(p, o, "now", p->now);
    when(p, o, "started", p->s->started);
    age(p, o, "uptime_seconds", p->s->started);
    cJSON *node = object(p, o, "node");
    text(p, node, "name", p->s->node);
    text(p, node, "task_arn", p->s->task_arn);
    text(p, node, "zone", p->s->zone);
    text(p, node, "family", p->s->family);
}

static void add_efs(struct page *p, cJSON *o)
{
    const struct status_state *s = p->s;
    cJSON *efs = object(p, o, "efs");
    text(p, efs, "base", s->base);
    if (s->efs_checked)
        flag(p, efs, "usable", s->usable);
    else
        null(p, efs, "usable");
    text(p, efs, "why", s->efs_why);
    when(p, efs, "checked", s->efs_checked);
    if (s->local_known)
        flag(p, efs, "local", s->local);
    else
        null(p, efs, "local");
    cJSON *busy = array(p, efs, "busy");
    for (int i = 0; i < STATUS_WORKERS; i++) {
        const struct status_job *j = &s->job[i];
        if (!j->what[0])
            continue;
        cJSON *one = element(p, busy);
        number(p, one, "worker", i);
        text(p, one, "what", j->what);
        age(p, one, "seconds", j->begun);
        number(p, one, "silent_seconds", (double)status_silence(j, p->now));
    }
    flag(p, efs, "hangs", status_hangs(s, p->now));
}

static void add_qdrant(struct page *p, cJSON *o)
{
    const struct status_state *s = p->s;
    cJSON *q = object(p, o, "qdrant");
    text(p, q, "url", s->qdrant_url);
    if (s->qdrant_checked)
        flag(p, q, "reachable", s->reachable);
    else
        null(p, q, "reachable");
    flag(p, q, "recovery_mode", s->recovery_mode);
    text(p, q, "version", s->qdrant_version);
    when(p, q, "checked", s->qdrant_checked);
}

static void add_run(struct page *p, cJSON *o, const char *key, const struct status_run *r)
{
    if (r->begun == 0) {
        null(p, o, key);
        return;
    }
    cJSON *run = object(p, o, key);
    when(p, run, "slot", r->slot);
    when(p, run, "begun", r->begun);
    when(p, run, "ended", r->ended);
    number(p, run, "collections", r->collections);
    number(p, run, "made", r->made);
    number(p, run, "failed", r->failed);
    number(p, run, "skipped", r->skipped);
    number(p, run, "bytes", (double)r->bytes);
}

static void add_schedule(struct page *p, cJSON *o)
{
    const struct status_state *s = p->s;
    cJSON *schedule = object(p, o, "schedule");
    number(p, schedule, "interval_seconds", s->interval);
    number(p, schedule, "offset_seconds", s->offset);
    when(p, schedule, "next", s->next);
    add_run(p, schedule, "running", &s->running);
    add_run(p, schedule, "last", &s->last);
    number(p, schedule, "slots_missed", (double)s->slots_missed);
    cJSON *queue = object(p, o, "queue");
    number(p, queue, "waiting", s->queue.waiting);
    number(p, queue, "publishing", s->queue.publishing);
    number(p, queue, "s3", s->queue.s3);
    number(p, queue, "oldest_seconds", s->queue.oldest);
    number(p, queue, "failing", s->queue.failing);
    text(p, queue, "why", s->queue.why);
}

static void add_objectives(struct page *p, cJSON *o)
{
    number(p, o, "rpo_seconds", p->s->rpo_seconds);
    cJSON *retention = object(p, o, "retention");
    for (int t = 0; t < FREQUENCY_COUNT;
         t++) { /* what each tier keeps: so many, or those so young; the other is 0 */
        cJSON *keep = object(p, retention, frequency_text((enum frequency)t));
        number(p, keep, "count", p->s->retention.keep[t].count);
        number(p, keep, "seconds", (double)p->s->retention.keep[t].age);
    }
}

static void add_newest(struct page *p, cJSON *o, const struct status_folder *f)
{
    struct status_backup b;
    if (!status_newest_of(f, FREQUENCY_15MIN, p->now, &b)) {
        null(p, o, "newest");
        null(p, o, "age_seconds");
        return;
    }
    cJSON *newest = object(p, o, "newest");
    when(p, newest, "slot", b.slot);
    when(p, newest, "taken", b.taken);
    text(p, newest, "frequency", frequency_text(b.frequency));
    if (b.snapshot[0]) {
        text(p, newest, "snapshot", b.snapshot);
        number(p, newest, "size", (double)b.size);
        number(p, newest, "stored_size", (double)b.stored);
        number(p, newest, "ratio", b.stored ? (double)b.size / (double)b.stored : 0);
    } else { /* only its time is known so far */
        null(p, newest, "snapshot");
        null(p, newest, "size");
        null(p, newest, "stored_size");
        null(p, newest, "ratio");
    }
    age(p, o, "age_seconds", b.taken);
}

static void add_tiers(struct page *p, cJSON *o, const struct status_folder *f)
{
    struct status_backup b;
    cJSON *tiers = object(p, o, "tiers");
    for (int t = 0; t < FREQUENCY_COUNT; t++) {
        const struct status_tier *in = &f->frequency[t];
        cJSON *frequency = object(p, tiers, frequency_text((enum frequency)t));
        number(p, frequency, "count", in->count);
        when(p, frequency, "newest_slot", in->newest_slot);
        if (status_newest_of(f, (enum frequency)t, p->now,
                             &b)) /* of this tier or a higher one, which serves it too */
            age(p, frequency, "age_seconds", b.taken);
        else
            null(p, frequency, "age_seconds");
        number(p, frequency, "objective_seconds", (double)status_objective(p->s, (enum frequency)t));
        number(p, frequency, "stored_bytes", (double)in->stored_bytes);
    }
}

/* Printed already: as items of cJSON, 96 of these for each of many collections would take megabytes. */
static void add_sizes(struct page *p, cJSON *o, const struct status_folder *f)
{
    enum { ONE = 3 * 20 + 5 };
    char out[STATUS_SIZES * ONE + 3];
    size_t at = 0;
    out[at++] = '[';
    for (unsigned i = 0; i < f->sizes; i++) {
        const struct status_size *z = &f->size[i];
        at += (size_t)snprintf(out + at, ONE + 1, "%s[%lld,%" PRIu64 ",%" PRIu64 "]", i ? "," : "",
                               (long long)z->slot, z->size, z->stored);
    }
    out[at++] = ']';
    out[at] = 0;
    p->ok = p->ok && cJSON_AddRawToObject(o, "sizes", out);
}

static void add_backup(struct page *p, cJSON *list, const struct status_folder *f)
{
    cJSON *o = element(p, list);
    text(p, o, "kind", kind_text(f->kind));
    text(p, o, "collection", f->collection);
    text(p, o, "shard", f->shard);
    flag(p, o, "wanted", f->wanted);
    when(p, o, "wanted_since", f->wanted_since);
    add_newest(p, o, f);
    if (f->wanted)
        number(p, o, "exposed_seconds", (double)(p->now - status_ages_since(p->s, f, p->now)));
    else
        null(p, o, "exposed_seconds");
    flag(p, o, "late", status_late(p->s, f, p->now));
    add_tiers(p, o, f);
    add_sizes(p, o, f);
    if (f->failed == 0) {
        null(p, o, "last_failure");
        return;
    }
    cJSON *failure = object(p, o, "last_failure");
    when(p, failure, "time", f->failed);
    text(p, failure, "why", f->failure);
}

static void add_publications(struct page *p, cJSON *o)
{
    const struct status_state *s = p->s;
    cJSON *list = array(p, o, "published");
    for (unsigned long long i = 0; i < s->publications && i < STATUS_PUBLICATIONS; i++) {
        unsigned long long n = s->publications - i; /* from 1 */
        const struct status_publication *b = &s->publication[(n - 1) % STATUS_PUBLICATIONS];
        cJSON *one = element(p, list);
        number(p, one, "n", (double)n);
        when(p, one, "time", b->when);
        text(p, one, "kind", kind_text(b->kind));
        text(p, one, "collection", b->collection);
        text(p, one, "shard", b->shard);
        text(p, one, "frequency", frequency_text(b->frequency));
        text(p, one, "snapshot", b->snapshot);
        number(p, one, "size", (double)b->size);
        number(p, one, "stored_size", (double)b->stored);
        number(p, one, "seconds", b->delay);
    }
}

static void add_counts(struct page *p, cJSON *o)
{
    const struct status_state *s = p->s;
    const struct counts *c = &s->counts;
    const struct {
        const char *key;
        unsigned long long n;
    } all[] = {{"published", c->published},
               {"bytes", c->bytes},
               {"stored", c->stored},
               {"same", c->same},
               {"expired", c->expired},
               {"vanished", c->vanished},
               {"mismatch", c->mismatch},
               {"conflict", c->conflict},
               {"refused", c->refused},
               {"failed", c->failed},
               {"pruned", c->pruned},
               {"deleted", c->deleted},
               {"runs", s->run_count},
               {"snapshots_made", s->runs.made},
               {"snapshots_failed", s->snapshot_failures},
               {"snapshots_skipped", s->runs.skipped},
               {"snapshot_bytes", s->runs.bytes},
               {"slots_missed", s->slots_missed},
               {"s3_uploaded", s->s3_uploaded},
               {"s3_failed", s->s3_failed},
               {"drills", s->drills},
               {"drills_failed", s->drills_failed}};
    cJSON *counts = object(p, o, "counts");
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        number(p, counts, all[i].key, (double)all[i].n);
    cJSON *tiers = object(p, counts, "tiers");
    for (int t = 0; t < FREQUENCY_COUNT; t++) {
        cJSON *frequency = object(p, tiers, frequency_text((enum frequency)t));
        number(p, frequency, "published", (double)s->sum[t].published);
        number(p, frequency, "bytes", (double)s->sum[t].bytes);
        number(p, frequency, "stored", (double)s->sum[t].stored);
        number(p, frequency, "seconds", s->sum[t].seconds);
    }
}

static void add_upload(struct page *p, cJSON *o, const char *key, const struct status_upload *u, bool good)
{
    if (u->when == 0) {
        null(p, o, key);
        return;
    }
    cJSON *last = object(p, o, key);
    when(p, last, "time", u->when);
    text(p, last, "collection", u->collection);
    text(p, last, "snapshot", u->snapshot);
    if (good)
        number(p, last, "stored_size", (double)u->stored);
    else
        text(p, last, "why", u->why);
}

static void add_s3(struct page *p, cJSON *o)
{
    const struct status_state *s = p->s;
    if (!s->has_s3) {
        null(p, o, "s3");
        return;
    }
    cJSON *s3 = object(p, o, "s3");
    if (s->s3_good.when || s->s3_bad.when)
        flag(p, s3, "ok", !s->s3_failing);
    else
        null(p, s3, "ok");
    add_upload(p, s3, "last", &s->s3_good, true);
    add_upload(p, s3, "last_failure", &s->s3_bad, false);
}

static void add_drill(struct page *p, cJSON *o)
{
    const struct status_state *s = p->s;
    if (s->drill.when == 0) {
        null(p, o, "drill");
        return;
    }
    cJSON *drill = object(p, o, "drill");
    when(p, drill, "time", s->drill.when);
    age(p, drill, "age_seconds", s->drill.when);
    text(p, drill, "collection", s->drill.collection);
    text(p, drill, "snapshot", s->drill.snapshot);
    number(p, drill, "seconds", s->drill.seconds);
    flag(p, drill, "ok", s->drill.ok);
    text(p, drill, "why", s->drill.why);
}

static void add_disk(struct page *p, cJSON *o)
{
    const struct status_state *s = p->s;
    unsigned held = 0;
    if (!s->disk.known) {
        null(p, o, "disk");
        return;
    }
    for (size_t i = 0; i < s->folders; i++)
        held += s->folder[i]->held > 0;
    cJSON *disk = object(p, o, "disk");
    number(p, disk, "free_bytes", (double)s->disk.left);
    number(p, disk, "floor_bytes", (double)s->disk.floor);
    number(p, disk, "unpublished", s->disk.unpublished);
    number(p, disk, "held", held);
}

static void add_heartbeat(struct page *p, cJSON *o)
{
    if (p->s->heartbeat == 0) {
        null(p, o, "heartbeat");
        return;
    }
    cJSON *heartbeat = object(p, o, "heartbeat");
    when(p, heartbeat, "time", p->s->heartbeat);
    age(p, heartbeat, "age_seconds", p->s->heartbeat);
}

const char *status_restore_text(enum status_restoring state)
{
    static const char *const words[] = {"never", "waiting", "restoring", "failed", "done", "not_needed"};
    return words[state];
}

static void fill_restore(struct page *p, cJSON *o)
{
    const struct status_state *s = p->s;
    text(p, o, "state", status_restore_text(s->restore.state));
    number(p, o, "done", s->restore.done);
    number(p, o, "total", s->restore.total);
    text(p, o, "reason", s->restore.reason);
    flag(p, o, "progressing", status_restore_works_on(s, p->now));
}

static void add_restore(struct page *p, cJSON *o)
{
    if (p->s->restore.state == STATUS_RESTORE_NEVER) {
        null(p, o, "restore");
        return;
    }
    cJSON *restore = object(p, o, "restore");
    fill_restore(p, restore);
    flag(p, restore, "pending", status_restore_pending(p->s));
    when(p, restore, "since", p->s->restore.since);
    age(p, restore, "age_seconds", p->s->restore.since);
}

cJSON *status_restored(struct status *l, time_t now, bool *pending)
{
    cleanup_status_copy struct status_state *s = status_copy(l);
    cJSON *o = s ? cJSON_CreateObject() : NULL;
    struct page p = {.s = s, .now = now, .ok = true};
    *pending = !s || status_restore_pending(s);
    if (o)
        fill_restore(&p, o);
    if (!p.ok)
        cJSON_Delete(o);
    return p.ok ? o : NULL;
}

cJSON *status_document(struct status *l, time_t now)
{
    cleanup_status_copy struct status_state *s = status_copy(l);
    cJSON *o = s ? cJSON_CreateObject() : NULL;
    struct page p = {.s = s, .now = now, .ok = true};
    if (!o)
        return NULL;
    add_head(&p, o);
    adopt(&p, o, "health", status_judge(s, now));
    add_efs(&p, o);
    add_qdrant(&p, o);
    add_schedule(&p, o);
    add_objectives(&p, o);
    cJSON *backups = array(&p, o, "backups");
    for (size_t i = 0; p.ok && i < s->folders; i++)
        add_backup(&p, backups, s->folder[i]);
    add_publications(&p, o);
    add_counts(&p, o);
    add_s3(&p, o);
    add_drill(&p, o);
    when(&p, o, "drill_next", s->drill_next);
    add_heartbeat(&p, o);
    add_disk(&p, o);
    add_restore(&p, o);
    adopt(&p, o, "errors", log_recent());
    if (!p.ok)
        cJSON_Delete(o);
    return p.ok ? o : NULL;
}
