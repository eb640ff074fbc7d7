#include "efs/repo/backup.h"
#include "replicator/status/state_internal.h"
#include "common/base/text.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct status {
    pthread_mutex_t mutex; /* for all below; held for copying alone */
    struct status_state s;
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

struct status *status_new(const struct status_options *o, time_t now)
{
    struct status *l = calloc(1, sizeof *l);
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
    l->s.full = o->full;
    l->s.full_tier = o->full_tier;
    l->s.started = l->clock = now;
    if (o->retention)
        l->s.retention = *o->retention;
    return l;
}

static void free_folders(struct status_state *s)
{
    for (size_t i = 0; i < s->folders; i++)
        free(s->folder[i]);
    free(s->folder);
}

void status_free(struct status *l)
{
    if (!l)
        return;
    free_folders(&l->s);
    (void)pthread_mutex_destroy(&l->mutex);
    free(l);
}

static struct status_state *lock(struct status *l)
{
    (void)pthread_mutex_lock(&l->mutex);
    return &l->s;
}
static void unlock(struct status *l) { (void)pthread_mutex_unlock(&l->mutex); }

/* The folders in one block: nobody waits long while it is copied. */
struct status_state *status_copy(struct status *l)
{
    struct status_state *to = malloc(sizeof *to);
    struct status_folder **list = NULL, *all = NULL;
    if (!to)
        return NULL;
    *to = *lock(l);
    if (to->folders > 0) {
        list = malloc(to->folders * sizeof(struct status_folder *));
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

void status_copy_free(struct status_state *s)
{
    if (!s)
        return;
    if (s->folders > 0)
        free(s->folder[0]); /* they are one block */
    free(s->folder);
    free(s);
}

/* ---- folders ---- */

static int order(const struct status_folder *f, enum kind kind, const char *collection, const char *shard)
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
static size_t place(const struct status_state *s, enum kind kind, const char *collection, const char *shard,
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

static bool make_room_locked(struct status *l)
{
    size_t room = l->room ? l->room * 2 : 16;
    if (l->s.folders >= STATUS_FOLDERS || l->s.folders < l->room)
        return l->s.folders < STATUS_FOLDERS;
    struct status_folder **more = realloc(l->s.folder, room * sizeof(struct status_folder *));
    if (!more)
        return false;
    l->s.folder = more;
    l->room = room;
    return true;
}

/* With the mutex held. NULL: not there, and not made, or no room for it. */
static struct status_folder *find_locked(struct status *l, enum kind kind, const char *collection,
                                         const char *shard, bool make)
{
    char name[256], number[16];
    bool there;
    PUT(name, kind == KIND_STORAGE ? "" : collection);
    PUT(number, kind == KIND_SHARD ? shard : "");
    size_t at = place(&l->s, kind, name, number, &there);
    if (there || !make)
        return there ? l->s.folder[at] : NULL;
    struct status_folder *f = make_room_locked(l) ? calloc(1, sizeof *f) : NULL;
    if (!f) {
        l->s.untracked++;
        return NULL;
    }
    f->kind = kind;
    memcpy(f->collection, name, sizeof name);
    memcpy(f->shard, number, sizeof number);
    memmove(&l->s.folder[at + 1], &l->s.folder[at], (l->s.folders - at) * sizeof(struct status_folder *));
    l->s.folder[at] = f;
    l->s.folders++;
    return f;
}

static bool has_backups(const struct status_folder *f)
{
    for (int t = 0; t < FREQUENCY_COUNT; t++)
        if (f->frequency[t].count > 0)
            return true;
    return f->newest.taken > 0;
}

/* Nobody wants them and nothing is left of them. */
static void forget_empty(struct status_state *s)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->folders; i++)
        if (s->folder[i]->wanted || has_backups(s->folder[i]) || s->folder[i]->held)
            s->folder[kept++] = s->folder[i];
        else
            free(s->folder[i]);
    s->folders = kept;
}

bool status_newest_of(const struct status_folder *f, enum frequency from, time_t now,
                      struct status_backup *out)
{
    time_t end = now + STATUS_FUTURE_SECONDS;
    *out = (struct status_backup){0};
    for (int t = (int)from; t < FREQUENCY_COUNT; t++) {
        const struct status_tier *in = &f->frequency[t];
        if (in->newest_taken > out->taken && in->newest_taken <= end)
            *out = (struct status_backup){
                .frequency = (enum frequency)t, .slot = in->newest_slot, .taken = in->newest_taken};
    }
    if (f->newest.taken >= out->taken && f->newest.taken <= end && f->newest.frequency >= from &&
        f->newest.taken > 0)
        *out = f->newest;
    return out->taken > 0;
}

/* Taken later than now: the clock of its node ran ahead, or ours was set back since. It says nothing of an
 * age, and stands in no other's way. */
static bool is_ahead(time_t taken, time_t now) { return taken > now + STATUS_FUTURE_SECONDS; }

static void found_tier(struct status_tier *known, const struct status_tier *found, time_t now)
{
    struct status_tier before = *known;
    *known = *found;
    if (!is_ahead(found->newest_taken, now) || !before.newest_taken || is_ahead(before.newest_taken, now))
        return;
    known->newest_taken = before.newest_taken;
    known->newest_slot = before.newest_slot;
}

void status_found(struct status *l, const struct source *folder,
                  const struct status_tier tiers[FREQUENCY_COUNT])
{
    time_t newest = 0;
    unsigned count = 0;
    for (int t = 0; t < FREQUENCY_COUNT; t++) {
        count += tiers[t].count;
        newest = tiers[t].newest_taken > newest ? tiers[t].newest_taken : newest;
    }
    (void)lock(l);
    struct status_folder *f = find_locked(l, folder->kind, folder->collection, folder->shard, count > 0);
    if (f) {
        for (int t = 0; t < FREQUENCY_COUNT; t++)
            found_tier(&f->frequency[t], &tiers[t], l->clock);
        if (f->newest.taken > newest) /* someone deleted it there */
            f->newest = (struct status_backup){0};
        if (count == 0)
            forget_empty(&l->s);
    }
    unlock(l);
}

static void add_size(struct status_folder *f, const struct manifest *m)
{
    struct status_size one = {m->slot, m->content.size, m->content.stored_size};
    unsigned at = f->sizes;
    while (at > 0 && f->size[at - 1].slot > one.slot)
        at--;
    for (unsigned i = at; i > 0 && f->size[i - 1].slot == one.slot; i--)
        if (f->size[i - 1].size == one.size && f->size[i - 1].stored == one.stored)
            return; /* told again */
    if (f->sizes == STATUS_SIZES && at == 0)
        return; /* older than all */
    if (f->sizes == STATUS_SIZES) {
        memmove(&f->size[0], &f->size[1], (STATUS_SIZES - 1) * sizeof one);
        f->sizes--;
        at--;
    }
    memmove(&f->size[at + 1], &f->size[at], (f->sizes - at) * sizeof one);
    f->size[at] = one;
    f->sizes++;
}

static void set_newest(struct status_folder *f, const struct manifest *m, time_t taken, time_t now)
{
    bool known_ahead = is_ahead(f->newest.taken, now);
    if (is_ahead(taken, now) == known_ahead ? taken < f->newest.taken : f->newest.taken && !known_ahead)
        return;
    f->newest = (struct status_backup){.frequency = m->frequency,
                                       .slot = m->slot,
                                       .taken = taken,
                                       .size = m->content.size,
                                       .stored = m->content.stored_size};
    PUT(f->newest.snapshot, m->source.stem);
}

void status_found_backup(struct status *l, const struct manifest *m)
{
    (void)lock(l);
    struct status_folder *f = find_locked(l, m->source.kind, m->source.collection, m->source.shard, true);
    if (f) {
        add_size(f, m);
        set_newest(f, m, m->created, l->clock);
    }
    unlock(l);
}

/* With the mutex held. */
static void drop_doubt_locked(struct status_state *s, unsigned at)
{
    memmove(&s->doubt[at], &s->doubt[at + 1], (s->doubts - at - 1) * sizeof s->doubt[0]);
    s->doubts--;
}

/* A replica that was not Active is again, Qdrant's snapshots are here, or nobody wants to know any more. With
 * the mutex held. */
static void is_active_again_locked(struct status_state *s, const char *collection)
{
    for (unsigned i = s->doubts; i > 0; i--)
        if ((s->doubt[i - 1].what == STATUS_NOT_ACTIVE || s->doubt[i - 1].what == STATUS_NOT_HERE) &&
            strcmp(s->doubt[i - 1].collection, collection) == 0)
            drop_doubt_locked(s, i - 1);
}

static void add_publication(struct status_state *s, const struct manifest *m, double delay, time_t now)
{
    struct status_publication *p = &s->publication[s->publications++ % STATUS_PUBLICATIONS];
    *p = (struct status_publication){.kind = m->source.kind,
                                     .frequency = m->frequency,
                                     .when = now,
                                     .size = m->content.size,
                                     .stored = m->content.stored_size,
                                     .delay = delay};
    PUT(p->collection, m->source.collection);
    PUT(p->shard, m->source.shard);
    PUT(p->snapshot, m->source.stem);
    struct status_sum *sum = &s->sum[m->frequency];
    sum->published++;
    sum->bytes += m->content.size;
    sum->stored += m->content.stored_size;
    sum->seconds += delay;
}

/* By our own clock, against which ages are held, even if it is wrong now: then only the server's clock tells
 * how old it was when it was published. A clock that ran ahead makes nothing newer than now. */
static time_t taken_by_ours(const struct manifest *m, time_t now)
{
    bool agree = !m->written || (m->written - now <= FREQUENCY_AHEAD && now - m->written <= FREQUENCY_AHEAD);
    if (!agree)
        return m->created < m->written ? now - (m->written - m->created) : now;
    return m->created < now ? m->created : now;
}

void status_published(struct status *l, const struct manifest *m, double delay, time_t now)
{
    time_t taken = taken_by_ours(m, now);
    struct status_state *s = lock(l);
    l->clock = now;
    add_publication(s, m, delay, now);
    struct status_folder *f = find_locked(l, m->source.kind, m->source.collection, m->source.shard, true);
    if (f) {
        struct status_tier *t = &f->frequency[m->frequency];
        f->held = 0;
        t->count++;
        t->stored_bytes += m->content.stored_size;
        if (taken >= t->newest_taken || is_ahead(t->newest_taken, now))
            t->newest_taken = taken, t->newest_slot = m->slot;
        add_size(f, m);
        set_newest(f, m, taken, now);
        if (m->source.kind == KIND_COLLECTION && !m->upload)
            is_active_again_locked(s, f->collection);
    }
    unlock(l);
}

void status_pruned(struct status *l, const struct backup *b)
{
    const struct source *from = &b->m.source;
    (void)lock(l);
    struct status_folder *f = find_locked(l, from->kind, from->collection, from->shard, false);
    struct status_tier *t = f ? &f->frequency[b->frequency] : NULL;
    if (t && t->count > 0) {
        uint64_t stored = b->has_manifest ? b->m.content.stored_size : 0;
        t->count--;
        t->stored_bytes -= stored < t->stored_bytes ? stored : t->stored_bytes;
    }
    unlock(l);
}

void status_collections(struct status *l, const char *const *names, size_t n, time_t now)
{
    struct status_state *s = lock(l);
    l->clock = now;
    if (s->first_listed == 0)
        s->first_listed = now;
    for (size_t i = 0; i < s->folders; i++) /* `wanted_since` tells below whether it was wanted before */
        s->folder[i]->wanted = false;
    for (size_t i = 0; i < n; i++) {
        struct status_folder *f = find_locked(l, KIND_COLLECTION, names[i], "", true);
        if (!f)
            continue;
        f->wanted = true;
        if (f->wanted_since == 0)
            f->wanted_since = now;
    }
    for (size_t i = 0; i < s->folders; i++) {
        if (s->folder[i]->wanted)
            continue;
        if (s->folder[i]->kind == KIND_COLLECTION)
            s->folder[i]->held = 0;
        s->folder[i]->wanted_since = 0;
        is_active_again_locked(s, s->folder[i]->collection);
    }
    forget_empty(s);
    unlock(l);
}

bool status_chosen(struct status *l, const char *patterns, size_t wanted, size_t total, const char *missing)
{
    char name[sizeof l->s.chosen.missing];
    PUT(name, missing);
    struct status_state *s = lock(l);
    bool none = total > 0 && wanted == 0, was_none = s->chosen.total > 0 && s->chosen.wanted == 0;
    bool news = (none && !was_none) || (*name && strcmp(name, s->chosen.missing) != 0);
    PUT(s->chosen.patterns, patterns);
    memcpy(s->chosen.missing, name, sizeof name);
    s->chosen.wanted = wanted;
    s->chosen.total = total;
    unlock(l);
    return news;
}

time_t status_newest(struct status *l, const char *collection)
{
    struct status_backup newest = {0};
    (void)lock(l);
    const struct status_folder *f = find_locked(l, KIND_COLLECTION, collection, "", false);
    if (f)
        (void)status_newest_of(f, FREQUENCY_15MIN, l->clock, &newest);
    unlock(l);
    return newest.taken;
}

int64_t status_newest_size(struct status *l, const char *collection)
{
    (void)lock(l);
    const struct status_folder *f = find_locked(l, KIND_COLLECTION, collection, "", false);
    int64_t size = f && f->newest.size > 0 && f->newest.size <= INT64_MAX ? (int64_t)f->newest.size : -1;
    unlock(l);
    return size;
}

int status_wanted(struct status *l, const char *collection)
{
    const struct status_state *s = lock(l);
    const struct status_folder *f = find_locked(l, KIND_COLLECTION, collection, "", false);
    int wanted = s->first_listed == 0 ? -1 : f && f->wanted;
    unlock(l);
    return wanted;
}

/* ---- the rest is one assignment each ---- */

void status_heartbeat(struct status *l, time_t written)
{
    struct status_state *s = lock(l);
    s->heartbeat = written;
    s->heartbeat_failed = 0;
    unlock(l);
}

void status_heartbeat_failed(struct status *l, const char *why, time_t now)
{
    struct status_state *s = lock(l);
    l->clock = now;
    if (s->heartbeat_failed == 0)
        s->heartbeat_failed = now;
    PUT(s->heartbeat_why, why);
    unlock(l);
}

void status_task(struct status *l, const char *task_arn, const char *zone, const char *family)
{
    struct status_state *s = lock(l);
    PUT(s->task_arn, task_arn);
    PUT(s->zone, zone);
    PUT(s->family, family);
    unlock(l);
}

void status_run(struct status *l, const struct status_run *r)
{
    struct status_state *s = lock(l);
    if (r->ended == 0) {
        s->running = *r;
    } else {
        s->running = (struct status_run){0};
        s->last = *r;
        s->run_count++;
        s->runs.made += r->made;
        s->runs.failed += r->failed;
        s->runs.skipped += r->skipped;
        s->runs.bytes += r->bytes;
    }
    unlock(l);
}

void status_next_run(struct status *l, time_t when)
{
    lock(l)->next = when;
    unlock(l);
}

void status_slots_missed(struct status *l, unsigned n)
{
    lock(l)->slots_missed += n;
    unlock(l);
}

void status_snapshot_failed(struct status *l, const char *collection, const char *why, time_t now)
{
    struct status_state *s = lock(l);
    l->clock = now;
    s->snapshot_failures++;
    bool named = collection && *collection; /* else of the whole storage */
    struct status_folder *f = find_locked(l, named ? KIND_COLLECTION : KIND_STORAGE, collection, "", true);
    if (f) {
        f->failed = now;
        PUT(f->failure, why);
    }
    unlock(l);
}

void status_held(struct status *l, const char *collection, unsigned unpublished)
{
    (void)lock(l);
    struct status_folder *f =
        find_locked(l, *collection ? KIND_COLLECTION : KIND_STORAGE, collection, "", true);
    if (f)
        f->held = unpublished;
    unlock(l);
}

void status_disk(struct status *l, uint64_t left, uint64_t floor)
{
    struct status_state *s = lock(l);
    s->disk.known = true;
    s->disk.left = left;
    s->disk.floor = floor;
    unlock(l);
}

void status_unpublished(struct status *l, unsigned n)
{
    lock(l)->disk.unpublished = n;
    unlock(l);
}

void status_qdrant(struct status *l, bool reachable, bool recovery_mode, const char *version, time_t now)
{
    struct status_state *s = lock(l);
    l->clock = s->qdrant_checked = now;
    s->reachable = reachable;
    s->recovery_mode = recovery_mode;
    if (version && *version)
        PUT(s->qdrant_version, version);
    unlock(l);
}

bool status_efs(struct status *l, bool usable, const char *why, time_t now)
{
    char text[STATUS_TEXT];
    PUT(text, usable ? NULL : why);
    struct status_state *s = lock(l);
    bool news = s->efs_checked == 0 || s->usable != usable || strcmp(s->efs_why, text) != 0;
    l->clock = s->efs_checked = now;
    s->usable = usable;
    memcpy(s->efs_why, text, sizeof text);
    unlock(l);
    return news;
}

bool status_efs_local(struct status *l, bool local)
{
    struct status_state *s = lock(l);
    bool news = !s->local_known || s->local != local;
    s->local_known = true;
    s->local = local;
    unlock(l);
    return news;
}

void status_busy(struct status *l, unsigned worker, const char *what, time_t now)
{
    char text[STATUS_TEXT];
    if (worker >= STATUS_WORKERS)
        return;
    PUT(text, what);
    struct status_job *j = &lock(l)->job[worker];
    l->clock = j->last_signed = now;
    j->signs = strcmp(j->what, text) == 0;
    if (!j->signs) {
        j->begun = now;
        memcpy(j->what, text, sizeof text);
    }
    unlock(l);
}

void status_pulse(struct status *l, struct status_pulse *out)
{
    const struct status_state *s = lock(l);
    *out = (struct status_pulse){
        .last = s->last, .running = s->running.begun != 0, .waiting = s->queue.waiting + s->queue.publishing};
    unlock(l);
}

void status_queue(struct status *l, const struct status_queue *q)
{
    struct status_state *s = lock(l);
    unsigned s3 = s->queue.s3;
    s->queue = *q;
    text_make_utf8(s->queue.why);
    s->queue.s3 = s3;
    unlock(l);
}

void status_s3_queue(struct status *l, unsigned n)
{
    lock(l)->queue.s3 = n;
    unlock(l);
}

void status_counts(struct status *l, const struct counts *c)
{
    lock(l)->counts = *c;
    unlock(l);
}

void status_s3(struct status *l, const struct manifest *m, const char *why, time_t now)
{
    struct status_state *s = lock(l);
    l->clock = now;
    s->has_s3 = true;
    s->s3_failing = why != NULL;
    s->s3_uploaded += !why;
    s->s3_failed += why != NULL;
    struct status_upload *last = why ? &s->s3_bad : &s->s3_good;
    last->when = now;
    last->stored = m ? m->content.stored_size : 0;
    PUT(last->collection, m ? m->source.collection : NULL);
    PUT(last->snapshot, m ? m->source.stem : NULL);
    PUT(last->why, why);
    unlock(l);
}

/* With the lock held. */
static void drill_was_locked(struct status *l, const char *collection, const char *snapshot, double seconds,
                             const char *why, time_t when, bool make)
{
    struct status_state *s = &l->s;
    s->drill.when = when;
    s->drill.seconds = seconds;
    s->drill.ok = !why;
    PUT(s->drill.collection, collection);
    PUT(s->drill.snapshot, snapshot);
    PUT(s->drill.why, why);
    struct status_folder *f = find_locked(l, KIND_COLLECTION, collection, "", make);
    if (f)
        f->drill_failed = why ? when : 0;
}

void status_drill(struct status *l, const char *collection, const char *snapshot, double seconds,
                  const char *why, time_t now)
{
    struct status_state *s = lock(l);
    l->clock = now;
    s->drills++;
    s->drills_failed += why != NULL;
    drill_was_locked(l, collection ? collection : "", snapshot, seconds, why, now, false);
    unlock(l);
}

/* One that failed was of a backup on EFS: its folder will be known soon, if it is not yet. */
void status_drill_before(struct status *l, const char *collection, const char *snapshot, double seconds,
                         const char *why, time_t when)
{
    (void)lock(l);
    drill_was_locked(l, collection, snapshot, seconds, why, when, why && *collection);
    unlock(l);
}

void status_drill_next(struct status *l, time_t when)
{
    struct status_state *s = lock(l);
    s->drill_next = when;
    unlock(l);
}

/* ---- what is no backup ---- */

static bool is_doubt(const struct status_doubt_of *d, const char *key, const char *collection)
{
    return strcmp(d->key, key) == 0 && strcmp(d->collection, collection) == 0;
}

bool status_doubt(struct status *l, enum status_doubt what, const char *key, const char *collection,
                  const char *why, time_t now)
{
    struct status_doubt_of new = {.what = what, .since = now};
    PUT(new.key, key);
    PUT(new.collection, collection);
    PUT(new.why, why);
    struct status_state *s = lock(l);
    if (what != STATUS_DELETION)
        l->clock = now;
    unsigned at = 0;
    while (at < s->doubts && !is_doubt(&s->doubt[at], new.key, new.collection))
        at++;
    bool known = at < s->doubts && s->doubt[at].what == what && strcmp(s->doubt[at].why, new.why) == 0;
    if (at == STATUS_DOUBTS) {
        s->doubts_untold++;
    } else if (!known) {
        s->doubt[at] = new;
        s->doubts += at == s->doubts;
    }
    unlock(l);
    return !known;
}

void status_no_doubt(struct status *l, const char *key, const char *collection)
{
    char k[sizeof((struct status_doubt_of *)0)->key], c[sizeof((struct status_doubt_of *)0)->collection];
    PUT(k, key);
    PUT(c, collection);
    struct status_state *s = lock(l);
    for (unsigned i = s->doubts; i > 0; i--)
        if (is_doubt(&s->doubt[i - 1], k, c))
            drop_doubt_locked(s, i - 1);
    unlock(l);
}

void status_here(struct status *l, const char *collection)
{
    struct status_state *s = lock(l);
    for (unsigned i = s->doubts; i > 0; i--)
        if (s->doubt[i - 1].what == STATUS_NOT_HERE && strcmp(s->doubt[i - 1].collection, collection) == 0)
            drop_doubt_locked(s, i - 1);
    unlock(l);
}

bool status_deletion(struct status *l, unsigned i, char collection[256], time_t *deleted)
{
    bool found = false;
    const struct status_state *s = lock(l);
    for (unsigned k = 0; k < s->doubts && !found; k++)
        if (s->doubt[k].what == STATUS_DELETION && i-- == 0) {
            (void)snprintf(collection, 256, "%s", s->doubt[k].collection);
            *deleted = s->doubt[k].since;
            found = true;
        }
    unlock(l);
    return found;
}

void status_cluster(struct status *l, const char *consensus, bool leaderless, unsigned unreachable,
                    const char *peers)
{
    struct status_state *s = lock(l);
    PUT(s->cluster.consensus, consensus);
    PUT(s->cluster.peers, peers);
    s->cluster.leaderless = leaderless;
    s->cluster.unreachable = unreachable;
    unlock(l);
}

void status_heal(struct status *l, enum status_heal what, const char *text)
{
    struct status_state *s = lock(l);
    s->heal.what = what;
    PUT(s->heal.text, text);
    unlock(l);
}

void status_restore(struct status *l, enum status_restoring state, const char *reason, unsigned done,
                    unsigned total, time_t now)
{
    struct status_state *s = lock(l);
    l->clock = now;
    if (s->restore.state != state)
        s->restore.since = now;
    s->restore.state = state;
    s->restore.done = done;
    s->restore.total = total;
    if (state == STATUS_RESTORING)
        s->restore.works = now;
    PUT(s->restore.reason, reason);
    unlock(l);
}

void status_restore_works(struct status *l, time_t now)
{
    struct status_state *s = lock(l);
    l->clock = now;
    s->restore.works = now;
    unlock(l);
}
