#include "replicator/publish/heartbeat_writer.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/log.h"
#include "common/base/version.h"
#include "efs/repo/heartbeat.h"
#include "replicator/publish/efs_check.h"
#include "replicator/status/ecs_task.h"
#include "replicator/status/state.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

struct entry {
    char *folder; /* as name_folder has it */
    unsigned long long mark;
    struct heartbeat_folder f;
};
struct heartbeat_writer {
    struct context *context;
    time_t started;
    pthread_mutex_t mutex; /* for all below */
    struct entry *v;
    size_t n;
    unsigned long long mark;
    unsigned blind;          /* folders that are there and not in `v`, since the last heartbeat_writer_mark */
    char qdrant_version[32]; /* as the last manifest has it */
    int64_t rest_end;        /* monotonic: one is due then in any case ... */
    int64_t published;       /* ... and after this; -1: nothing was since the last one */
    int64_t apart_end;       /* ... but not before that */
    bool writing, written;   /* one is on its way; there was one */
    bool failed;             /* that was said */
};

struct heartbeat_writer *heartbeat_writer_new(struct context *x, int64_t now)
{
    struct heartbeat_writer *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    *p = (struct heartbeat_writer){
        .context = x, .started = time(NULL), .rest_end = now + HEARTBEAT_WRITER_FIRST, .published = -1};
    if (pthread_mutex_init(&p->mutex, NULL) == 0)
        return p;
    free(p);
    return NULL;
}

void heartbeat_writer_free(struct heartbeat_writer *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->n; i++)
        free(p->v[i].folder);
    free(p->v);
    (void)pthread_mutex_destroy(&p->mutex);
    free(p);
}

/* --- what there is */

static struct entry *find_locked(struct heartbeat_writer *p, const char *folder)
{
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->v[i].folder, folder) == 0)
            return &p->v[i];
    return NULL;
}

/* NULL without memory or room: it is left out. */
static struct entry *find_or_add_locked(struct heartbeat_writer *p, const char *folder,
                                        const struct source *s)
{
    struct entry *e = find_locked(p, folder);
    struct entry *more = !e && p->n < HEARTBEAT_FOLDERS ? realloc(p->v, (p->n + 1) * sizeof *more) : NULL;
    if (more)
        p->v = more;
    char *name = more ? strdup(folder) : NULL;
    if (name) {
        e = &p->v[p->n++];
        *e = (struct entry){.folder = name};
        e->f.source = *s;
    }
    if (e)
        e->mark = ++p->mark;
    else
        p->blind++;
    return e;
}

static void drop_locked(struct heartbeat_writer *p, struct entry *e)
{
    free(e->folder);
    *e = p->v[--p->n];
}

/* `published`: at that time or before. */
static void set(struct heartbeat_backup *b, const struct manifest *m, time_t published)
{
    bool same = strcmp(b->snapshot, m->source.stem) == 0;
    if (!same)
        *b = (struct heartbeat_backup){.published = published};
    (void)snprintf(b->snapshot, sizeof b->snapshot, "%s", m->source.stem);
    b->slot = m->slot;
    b->taken = m->created;
    b->stored_size = m->content.stored_size;
    memcpy(b->stored_sha256, m->content.stored_sha256, sizeof b->stored_sha256);
}

static void note_version_locked(struct heartbeat_writer *p, const struct manifest *m)
{
    if (m->qdrant_version[0])
        memcpy(p->qdrant_version, m->qdrant_version, sizeof p->qdrant_version);
}

void heartbeat_writer_published(struct heartbeat_writer *p, const struct manifest *m, int64_t now)
{
    char folder[NAME_MAX * 2];
    if (!p || !name_folder(&m->source, folder, sizeof folder))
        return;
    (void)pthread_mutex_lock(&p->mutex);
    struct entry *e = find_or_add_locked(p, folder, &m->source);
    if (e && m->created >= e->f.frequency[m->frequency].taken) /* one that was found late is not the newest */
        set(&e->f.frequency[m->frequency], m, time(NULL));
    note_version_locked(p, m);
    p->published = now;
    (void)pthread_mutex_unlock(&p->mutex);
}

void heartbeat_writer_found(struct heartbeat_writer *p, const char *folder, const struct inventory *s)
{
    const struct source *source = NULL;
    if (!p)
        return;
    for (int t = 0; t < FREQUENCY_COUNT; t++)
        if (s->frequency[t].any)
            source = &s->frequency[t].newest.source;
    (void)pthread_mutex_lock(&p->mutex);
    struct entry *e = source ? find_or_add_locked(p, folder, source) : find_locked(p, folder);
    for (int t = 0; source && e && t < FREQUENCY_COUNT; t++)
        if (s->frequency[t].any) {
            set(&e->f.frequency[t], &s->frequency[t].newest, time(NULL));
            note_version_locked(p, &s->frequency[t].newest);
        } else {
            e->f.frequency[t] = (struct heartbeat_backup){0};
        }
    if (!source && e)
        drop_locked(p, e);
    (void)pthread_mutex_unlock(&p->mutex);
}

unsigned long long heartbeat_writer_mark(struct heartbeat_writer *p)
{
    if (!p)
        return 0;
    (void)pthread_mutex_lock(&p->mutex);
    unsigned long long mark = p->mark;
    p->blind = 0;
    (void)pthread_mutex_unlock(&p->mutex);
    return mark;
}

void heartbeat_writer_blind(struct heartbeat_writer *p, const char *folder)
{
    if (!p)
        return;
    (void)pthread_mutex_lock(&p->mutex);
    p->blind += !find_locked(p, folder); /* else what was known of it is told again */
    (void)pthread_mutex_unlock(&p->mutex);
}

void heartbeat_writer_only(struct heartbeat_writer *p, unsigned long long mark, char *const *folders,
                           size_t n)
{
    if (!p)
        return;
    (void)pthread_mutex_lock(&p->mutex);
    for (size_t i = p->n; i-- > 0;) {
        size_t k = 0;
        while (k < n && strcmp(folders[k], p->v[i].folder) != 0)
            k++;
        if (k == n && p->v[i].mark <= mark)
            drop_locked(p, &p->v[i]);
    }
    (void)pthread_mutex_unlock(&p->mutex);
}

/* --- when */

int64_t heartbeat_writer_due(struct heartbeat_writer *p, bool busy, int64_t now, bool *due)
{
    *due = false;
    if (!p)
        return -1;
    if (atomic_load(&p->context->restore_pending) || !atomic_load(&p->context->efs_scanned))
        return now + HEARTBEAT_WRITER_LOOK;
    (void)pthread_mutex_lock(&p->mutex);
    int64_t at = p->rest_end, quick = p->published + HEARTBEAT_WRITER_SETTLE;
    quick = quick > p->apart_end ? quick : p->apart_end;
    if (p->published >= 0 && !busy && quick < at)
        at = quick;
    if (!p->writing && at <= now) {
        if (at < p->rest_end)
            p->apart_end = now + HEARTBEAT_WRITER_APART;
        p->rest_end = now + HEARTBEAT_WRITER_REST;
        /* The first backup makes the tree's folder, nothing else: an empty one would be taken for EFS. */
        *due = p->writing = p->n > 0 || p->written;
    }
    at = p->writing ? -1 : p->rest_end;
    if (!p->writing && p->published >= 0 && !busy && quick < at)
        at = quick;
    (void)pthread_mutex_unlock(&p->mutex);
    return at;
}

/* --- writing */

static int newest_first(const void *a, const void *b)
{
    const struct heartbeat_folder *x = a, *y = b;
    time_t s = heartbeat_newest_taken(x), t = heartbeat_newest_taken(y);
    int c = s < t ? 1 : s > t ? -1 : (int)y->source.kind - (int)x->source.kind;
    c = c ? c : strcmp(x->source.collection, y->source.collection);
    return c ? c : strcmp(x->source.shard, y->source.shard);
}

/* A copy, so that nobody waits while it is printed and written. False without memory. */
static bool fill(struct heartbeat_writer *p, struct heartbeat *h)
{
    const struct context *x = p->context;
    struct manifest who = {0};
    ecs_task_fill(x->ecs_task, &who);
    (void)snprintf(h->node, sizeof h->node, "%s", x->settings.node);
    memcpy(h->task_arn, who.task_arn, sizeof h->task_arn);
    memcpy(h->zone, who.zone, sizeof h->zone);
    (void)snprintf(h->program_version, sizeof h->program_version, "%s", VERSION);
    (void)snprintf(h->written_by, sizeof h->written_by, "%s", x->settings.written_by);
    h->started = p->started;
    h->rpo_seconds = x->options.rpo;
    retention_text(&x->settings.retention, h->retention);
    (void)pthread_mutex_lock(&p->mutex);
    h->written = time(NULL);
    memcpy(h->qdrant_version, p->qdrant_version, sizeof h->qdrant_version);
    h->folder = calloc(p->n + 1, sizeof *h->folder);
    for (; h->folder && h->folders < p->n; h->folders++)
        h->folder[h->folders] = p->v[h->folders].f;
    h->left_out = p->blind;
    p->published = h->folder ? -1 : p->published;
    (void)pthread_mutex_unlock(&p->mutex);
    if (!h->folder)
        return false;
    for (size_t i = 0; i < h->folders; i++) {
        struct heartbeat_folder *f = &h->folder[i];
        int wanted = f->source.kind == KIND_COLLECTION ? status_wanted(x->status, f->source.collection) : 0;
        f->wanted = wanted < 0 ? HEARTBEAT_UNKNOWN : wanted ? HEARTBEAT_WANTED : HEARTBEAT_UNWANTED;
    }
    if (h->folders > 1)
        qsort(h->folder, h->folders, sizeof *h->folder, newest_first);
    return true;
}

void heartbeat_writer_later(struct heartbeat_writer *p)
{
    (void)pthread_mutex_lock(&p->mutex);
    p->writing = false;
    p->apart_end = clock_ms() + HEARTBEAT_WRITER_APART;
    if (p->published < 0)
        p->published = clock_ms();
    (void)pthread_mutex_unlock(&p->mutex);
}

/* One that was written is the newest proof that EFS works, and one that was not that it may not. */
static void tell(const struct heartbeat_writer *p, const struct heartbeat *h, const struct err *e)
{
    struct err why = {0};
    if (!e->text[0]) {
        status_heartbeat(p->context->status, h->written);
        efs_check_works(p->context);
        return;
    }
    if (!p->failed)
        log_line(LOG_WARN, "heartbeat_failed", "%s", e->text);
    status_heartbeat_failed(p->context->status, e->text, time(NULL));
    (void)efs_check(p->context, false, &why);
}

static void ended(struct heartbeat_writer *p, const struct heartbeat *h, const struct err *e)
{
    bool good = !e->text[0];
    tell(p, h, e);
    (void)pthread_mutex_lock(&p->mutex);
    p->failed = !good;
    p->written = p->written || good;
    p->writing = false;
    (void)pthread_mutex_unlock(&p->mutex);
    if (!good)
        heartbeat_writer_later(p);
}

void heartbeat_writer_write(struct heartbeat_writer *p)
{
    cleanup_heartbeat struct heartbeat h = {0};
    struct err e = {0};
    cleanup_free char *json = fill(p, &h) ? heartbeat_print(&h) : NULL;
    if (!json)
        (void)err_set(&e, ENOMEM, "cannot write a heartbeat", NULL, NULL);
    else if (history_add(p->context->settings.base, &history_heartbeats, h.node, h.written, json, &e) == 0)
        log_line(LOG_DEBUG, "heartbeat", "of %zu folders", h.folders);
    ended(p, &h, &e);
}
