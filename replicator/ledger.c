#include "replicator/ledger_state.h"
#include "common/text.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ledger {
    pthread_mutex_t mutex; /* for all below; held for copying alone */
    struct ledger_state s;
    size_t room;  /* in s.folder */
    time_t clock; /* the last `now` that was given */
};

/* Texts may come from outside, and JSON holds only UTF-8. Cut text may end inside a character. */
static void put_text(char *to, size_t size, const char *from)
{
    (void)snprintf(to, size, "%s", from ? from : "");
    text_make_utf8(to);
}
#define PUT(to, from) put_text((to), sizeof(to), (from))

struct ledger *ledger_new(const struct ledger_options *o, time_t now)
{
    struct ledger *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    if (pthread_mutex_init(&l->mutex, NULL) != 0)
        return free(l), NULL;
    PUT(l->s.base, o->base);
    PUT(l->s.node, o->node);
    PUT(l->s.qdrant_url, o->qdrant_url);
    l->s.rpo_seconds = o->rpo_seconds;
    l->s.interval = o->interval;
    l->s.offset = o->offset;
    l->s.has_s3 = o->s3;
    l->s.started = l->clock = now;
    if (o->retention)
        l->s.retention = *o->retention;
    return l;
}

static void free_folders(struct ledger_state *s)
{
    for (size_t i = 0; i < s->folders; i++)
        free(s->folder[i]);
    free(s->folder);
}

void ledger_free(struct ledger *l)
{
    if (!l)
        return;
    free_folders(&l->s);
    (void)pthread_mutex_destroy(&l->mutex);
    free(l);
}

static struct ledger_state *lock(struct ledger *l)
{
    (void)pthread_mutex_lock(&l->mutex);
    return &l->s;
}
static void unlock(struct ledger *l) { (void)pthread_mutex_unlock(&l->mutex); }

/* The folders in one block: this is done with the mutex held. */
struct ledger_state *ledger_copy(struct ledger *l)
{
    struct ledger_state *to = malloc(sizeof *to);
    struct ledger_folder **list = NULL, *all = NULL;
    if (!to)
        return NULL;
    *to = *lock(l);
    if (to->folders > 0) {
        list = malloc(to->folders * sizeof(struct ledger_folder *));
        all = malloc(to->folders * sizeof *all);
    }
    bool ok = to->folders == 0 || (list && all);
    for (size_t i = 0; ok && i < to->folders; i++) {
        all[i] = *to->folder[i];
        list[i] = &all[i];
    }
    unlock(l);
    to->folder = list;
    if (ok)
        return to;
    free(list);
    free(all);
    free(to);
    return NULL;
}

void ledger_copy_free(struct ledger_state *s)
{
    if (!s)
        return;
    if (s->folders > 0)
        free(s->folder[0]); /* they are one block */
    free(s->folder);
    free(s);
}

/* ---- folders ---- */

static int order(const struct ledger_folder *f, enum kind kind, const char *collection, const char *shard)
{
    int c = (f->kind != KIND_STORAGE) - (kind != KIND_STORAGE);
    if (c == 0)
        c = strcmp(f->collection, collection);
    if (c == 0)
        c = (int)f->kind - (int)kind;
    if (c == 0 && strlen(f->shard) != strlen(shard)) /* shards are numbers: 9 before 10 */
        c = strlen(f->shard) < strlen(shard) ? -1 : 1;
    return c ? c : strcmp(f->shard, shard);
}

/* Where it is, or belongs. */
static size_t place(const struct ledger_state *s, enum kind kind, const char *collection, const char *shard,
                    bool *there)
{
    size_t low = 0, high = s->folders;
    *there = false;
    while (low < high && !*there) {
        size_t mid = low + (high - low) / 2;
        int c = order(s->folder[mid], kind, collection, shard);
        if (c < 0)
            low = mid + 1;
        else
            high = mid;
        *there = c == 0;
    }
    return high;
}

static bool make_room(struct ledger *l)
{
    size_t room = l->room ? l->room * 2 : 16;
    if (l->s.folders >= LEDGER_FOLDERS || l->s.folders < l->room)
        return l->s.folders < LEDGER_FOLDERS;
    struct ledger_folder **more = realloc(l->s.folder, room * sizeof(struct ledger_folder *));
    if (!more)
        return false;
    l->s.folder = more;
    l->room = room;
    return true;
}

/* With the mutex held. NULL: not there, and not made, or no room for it. */
static struct ledger_folder *find(struct ledger *l, enum kind kind, const char *collection, const char *shard,
                                  bool make)
{
    char name[256], number[16];
    bool there;
    PUT(name, kind == KIND_STORAGE ? "" : collection);
    PUT(number, kind == KIND_SHARD ? shard : "");
    size_t at = place(&l->s, kind, name, number, &there);
    if (there || !make)
        return there ? l->s.folder[at] : NULL;
    struct ledger_folder *f = make_room(l) ? calloc(1, sizeof *f) : NULL;
    if (!f) {
        l->s.untracked++;
        return NULL;
    }
    f->kind = kind;
    memcpy(f->collection, name, sizeof name);
    memcpy(f->shard, number, sizeof number);
    memmove(&l->s.folder[at + 1], &l->s.folder[at], (l->s.folders - at) * sizeof(struct ledger_folder *));
    l->s.folder[at] = f;
    l->s.folders++;
    return f;
}

static bool has_backups(const struct ledger_folder *f)
{
    for (int t = 0; t < TIER_COUNT; t++)
        if (f->tier[t].count > 0)
            return true;
    return f->newest.taken > 0;
}

/* Nobody wants them and nothing is left of them. */
static void forget_empty(struct ledger_state *s)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->folders; i++)
        if (s->folder[i]->wanted || has_backups(s->folder[i]))
            s->folder[kept++] = s->folder[i];
        else
            free(s->folder[i]);
    s->folders = kept;
}

bool ledger_newest_of(const struct ledger_folder *f, enum tier from, time_t now, struct ledger_backup *out)
{
    time_t end = now + LEDGER_FUTURE_SECONDS;
    *out = (struct ledger_backup){0};
    for (int t = (int)from; t < TIER_COUNT; t++) {
        const struct ledger_tier *in = &f->tier[t];
        if (in->newest_taken > out->taken && in->newest_taken <= end)
            *out = (struct ledger_backup){
                .tier = (enum tier)t, .slot = in->newest_slot, .taken = in->newest_taken};
    }
    if (f->newest.taken >= out->taken && f->newest.taken <= end && f->newest.tier >= from &&
        f->newest.taken > 0)
        *out = f->newest;
    return out->taken > 0;
}

void ledger_found(struct ledger *l, const struct source *folder, const struct ledger_tier tiers[TIER_COUNT])
{
    time_t newest = 0;
    unsigned count = 0;
    for (int t = 0; t < TIER_COUNT; t++) {
        count += tiers[t].count;
        newest = tiers[t].newest_taken > newest ? tiers[t].newest_taken : newest;
    }
    (void)lock(l);
    struct ledger_folder *f = find(l, folder->kind, folder->collection, folder->shard, count > 0);
    if (f) {
        memcpy(f->tier, tiers, sizeof f->tier);
        if (f->newest.taken > newest) /* someone deleted it there */
            f->newest = (struct ledger_backup){0};
        if (count == 0)
            forget_empty(&l->s);
    }
    unlock(l);
}

static void add_size(struct ledger_folder *f, const struct manifest *m)
{
    struct ledger_size one = {m->slot, m->content.size, m->content.stored_size};
    unsigned at = f->sizes;
    while (at > 0 && f->size[at - 1].slot > one.slot)
        at--;
    for (unsigned i = at; i > 0 && f->size[i - 1].slot == one.slot; i--)
        if (f->size[i - 1].size == one.size && f->size[i - 1].stored == one.stored)
            return; /* told again */
    if (f->sizes == LEDGER_SIZES && at == 0)
        return; /* older than all */
    if (f->sizes == LEDGER_SIZES) {
        memmove(&f->size[0], &f->size[1], (LEDGER_SIZES - 1) * sizeof one);
        f->sizes--;
        at--;
    }
    memmove(&f->size[at + 1], &f->size[at], (f->sizes - at) * sizeof one);
    f->size[at] = one;
    f->sizes++;
}

static void set_newest(struct ledger_folder *f, const struct manifest *m, time_t taken)
{
    if (taken < f->newest.taken)
        return;
    f->newest = (struct ledger_backup){.tier = m->tier,
                                       .slot = m->slot,
                                       .taken = taken,
                                       .size = m->content.size,
                                       .stored = m->content.stored_size};
    PUT(f->newest.snapshot, m->source.stem);
}

void ledger_found_backup(struct ledger *l, const struct manifest *m)
{
    (void)lock(l);
    struct ledger_folder *f = find(l, m->source.kind, m->source.collection, m->source.shard, true);
    if (f) {
        add_size(f, m);
        set_newest(f, m, m->created);
    }
    unlock(l);
}

static void add_publication(struct ledger_state *s, const struct manifest *m, double delay, time_t now)
{
    struct ledger_publication *p = &s->publication[s->publications++ % LEDGER_PUBLICATIONS];
    *p = (struct ledger_publication){.kind = m->source.kind,
                                     .tier = m->tier,
                                     .when = now,
                                     .size = m->content.size,
                                     .stored = m->content.stored_size,
                                     .delay = delay};
    PUT(p->collection, m->source.collection);
    PUT(p->shard, m->source.shard);
    PUT(p->snapshot, m->source.stem);
    struct ledger_sum *sum = &s->sum[m->tier];
    sum->published++;
    sum->bytes += m->content.size;
    sum->stored += m->content.stored_size;
    sum->seconds += delay;
}

void ledger_published(struct ledger *l, const struct manifest *m, double delay, time_t now)
{
    time_t taken = m->created < now ? m->created : now; /* a clock that ran ahead makes nothing newer */
    struct ledger_state *s = lock(l);
    l->clock = now;
    add_publication(s, m, delay, now);
    struct ledger_folder *f = find(l, m->source.kind, m->source.collection, m->source.shard, true);
    if (f) {
        struct ledger_tier *t = &f->tier[m->tier];
        t->count++;
        t->stored_bytes += m->content.stored_size;
        if (taken >= t->newest_taken)
            t->newest_taken = taken, t->newest_slot = m->slot;
        add_size(f, m);
        set_newest(f, m, taken);
    }
    unlock(l);
}

void ledger_pruned(struct ledger *l, const struct backup *b)
{
    const struct source *from = &b->m.source;
    (void)lock(l);
    struct ledger_folder *f = find(l, from->kind, from->collection, from->shard, false);
    struct ledger_tier *t = f ? &f->tier[b->tier] : NULL;
    if (t && t->count > 0) {
        uint64_t stored = b->has_manifest ? b->m.content.stored_size : 0;
        t->count--;
        t->stored_bytes -= stored < t->stored_bytes ? stored : t->stored_bytes;
    }
    unlock(l);
}

void ledger_collections(struct ledger *l, const char *const *names, size_t n, time_t now)
{
    struct ledger_state *s = lock(l);
    l->clock = now;
    if (s->first_listed == 0)
        s->first_listed = now;
    for (size_t i = 0; i < s->folders; i++) /* `wanted_since` tells below whether it was wanted before */
        s->folder[i]->wanted = false;
    for (size_t i = 0; i < n; i++) {
        struct ledger_folder *f = find(l, KIND_COLLECTION, names[i], "", true);
        if (!f)
            continue;
        f->wanted = true;
        if (f->wanted_since == 0)
            f->wanted_since = now;
    }
    for (size_t i = 0; i < s->folders; i++)
        if (!s->folder[i]->wanted)
            s->folder[i]->wanted_since = 0;
    forget_empty(s);
    unlock(l);
}

time_t ledger_newest(struct ledger *l, const char *collection)
{
    struct ledger_backup newest = {0};
    (void)lock(l);
    const struct ledger_folder *f = find(l, KIND_COLLECTION, collection, "", false);
    if (f)
        (void)ledger_newest_of(f, TIER_15MIN, l->clock, &newest);
    unlock(l);
    return newest.taken;
}

int ledger_wanted(struct ledger *l, const char *collection)
{
    const struct ledger_state *s = lock(l);
    const struct ledger_folder *f = find(l, KIND_COLLECTION, collection, "", false);
    int wanted = s->first_listed == 0 ? -1 : f && f->wanted;
    unlock(l);
    return wanted;
}

/* ---- the rest is one assignment each ---- */

void ledger_heartbeat(struct ledger *l, time_t written)
{
    lock(l)->heartbeat = written;
    unlock(l);
}

void ledger_task(struct ledger *l, const char *task_arn, const char *zone, const char *family)
{
    struct ledger_state *s = lock(l);
    PUT(s->task_arn, task_arn);
    PUT(s->zone, zone);
    PUT(s->family, family);
    unlock(l);
}

void ledger_run(struct ledger *l, const struct ledger_run *r)
{
    struct ledger_state *s = lock(l);
    if (r->ended == 0) {
        s->running = *r;
    } else {
        s->running = (struct ledger_run){0};
        s->last = *r;
        s->run_count++;
        s->runs.made += r->made;
        s->runs.failed += r->failed;
        s->runs.skipped += r->skipped;
        s->runs.bytes += r->bytes;
    }
    unlock(l);
}

void ledger_next_run(struct ledger *l, time_t when)
{
    lock(l)->next = when;
    unlock(l);
}

void ledger_slots_missed(struct ledger *l, unsigned n)
{
    lock(l)->slots_missed += n;
    unlock(l);
}

void ledger_snapshot_failed(struct ledger *l, const char *collection, const char *why, time_t now)
{
    struct ledger_state *s = lock(l);
    l->clock = now;
    s->snapshot_failures++;
    bool named = collection && *collection; /* else of the whole storage */
    struct ledger_folder *f = find(l, named ? KIND_COLLECTION : KIND_STORAGE, collection, "", true);
    if (f) {
        f->failed = now;
        PUT(f->failure, why);
    }
    unlock(l);
}

void ledger_qdrant(struct ledger *l, bool reachable, bool recovery_mode, const char *version, time_t now)
{
    struct ledger_state *s = lock(l);
    l->clock = s->qdrant_checked = now;
    s->reachable = reachable;
    s->recovery_mode = recovery_mode;
    if (version && *version)
        PUT(s->qdrant_version, version);
    unlock(l);
}

void ledger_efs(struct ledger *l, bool usable, const char *why, time_t now)
{
    struct ledger_state *s = lock(l);
    l->clock = s->efs_checked = now;
    s->usable = usable;
    PUT(s->efs_why, usable ? NULL : why);
    unlock(l);
}

void ledger_busy(struct ledger *l, unsigned worker, const char *what, time_t now)
{
    char text[LEDGER_TEXT];
    if (worker >= LEDGER_WORKERS)
        return;
    PUT(text, what);
    struct ledger_job *j = &lock(l)->job[worker];
    l->clock = j->last_signed = now;
    j->signs = strcmp(j->what, text) == 0;
    if (!j->signs) {
        j->begun = now;
        memcpy(j->what, text, sizeof text);
    }
    unlock(l);
}

void ledger_queue(struct ledger *l, const struct ledger_queue *q)
{
    struct ledger_state *s = lock(l);
    unsigned s3 = s->queue.s3;
    s->queue = *q;
    s->queue.s3 = s3;
    unlock(l);
}

void ledger_s3_queue(struct ledger *l, unsigned n)
{
    lock(l)->queue.s3 = n;
    unlock(l);
}

void ledger_counts(struct ledger *l, const struct counts *c)
{
    lock(l)->counts = *c;
    unlock(l);
}

void ledger_s3(struct ledger *l, const struct manifest *m, const char *why, time_t now)
{
    struct ledger_state *s = lock(l);
    l->clock = now;
    s->has_s3 = true;
    s->s3_failing = why != NULL;
    s->s3_uploaded += !why;
    s->s3_failed += why != NULL;
    struct ledger_upload *last = why ? &s->s3_bad : &s->s3_good;
    last->when = now;
    last->stored = m ? m->content.stored_size : 0;
    PUT(last->collection, m ? m->source.collection : NULL);
    PUT(last->snapshot, m ? m->source.stem : NULL);
    PUT(last->why, why);
    unlock(l);
}

void ledger_drill(struct ledger *l, const char *collection, const char *snapshot, double seconds,
                  const char *why, time_t now)
{
    struct ledger_state *s = lock(l);
    l->clock = now;
    s->drills++;
    s->drills_failed += why != NULL;
    s->drill.when = now;
    s->drill.seconds = seconds;
    s->drill.ok = !why;
    PUT(s->drill.collection, collection);
    PUT(s->drill.snapshot, snapshot);
    PUT(s->drill.why, why);
    struct ledger_folder *f = find(l, KIND_COLLECTION, collection ? collection : "", "", false);
    if (f)
        f->drill_failed = why ? now : 0;
    unlock(l);
}

void ledger_restore(struct ledger *l, enum ledger_restoring state, const char *reason, unsigned done,
                    unsigned total, time_t now)
{
    struct ledger_state *s = lock(l);
    l->clock = now;
    if (s->restore.state != state)
        s->restore.since = now;
    s->restore.state = state;
    s->restore.done = done;
    s->restore.total = total;
    PUT(s->restore.reason, reason);
    unlock(l);
}
