#include "efs/replica/replica.h"
#include "common/base/cleanup.h"
#include "common/base/files.h"
#include "efs/restore/restore.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLOCK_SLACK = 60 }; /* seconds between a task's clock and AWS's */

const char *replica_what_text(enum replica_what w)
{
    static const char *const text[] = {"good",      "only_here", "missing",   "cut_short",
                                       "different", "corrupt",   "unreadable"};
    return text[w];
}

const char *replica_state_text(enum replica_state s)
{
    static const char *const text[] = {"complete", "missing", "behind", "late", "none", "unknown", "left"};
    return text[s];
}

void replica_wants_free(struct replica_wants *w)
{
    free(w->v);
    *w = (struct replica_wants){0};
}

void replica_rows_free(struct replica_rows *r)
{
    for (size_t i = 0; i < r->n; i++) {
        for (size_t k = 0; k < r->v[i].problems; k++)
            free(r->v[i].problem[k].why);
        free(r->v[i].problem);
    }
    free(r->v);
    *r = (struct replica_rows){0};
}

const char *replica_node(const struct manifest *m)
{
    return strcmp(m->node, m->source.peer) == 0 ? "" : m->node;
}

/* --- what must be here */

static int want(struct replica_wants *w, const struct replica_want *one, struct err *e)
{
    struct replica_want *more = realloc(w->v, (w->n + 1) * sizeof *more);
    if (!more)
        return err_set(e, ENOMEM, "cannot compare", one->snapshot, NULL);
    w->v = more;
    more[w->n++] = *one;
    return 0;
}

/* One that is just being published, pruned or is broken there is nothing that replication owes us. */
int replica_wants_of(const char *base, const char *folder, struct replica_wants *out, struct err *e)
{
    cleanup_backup_list struct backup_list list = {0};
    if (backup_list_folder(base, folder, &list, e) != 0)
        return -1;
    for (size_t i = 0; i < list.n; i++) {
        struct backup *b = &list.v[i];
        struct replica_want one = {.frequency = b->frequency};
        if (backup_load(b, e) != 0)
            return -1;
        if (b->state != ENTRY_COMPLETE) {
            out->doubtful = true;
            continue;
        }
        (void)snprintf(one.snapshot, sizeof one.snapshot, "%s", b->m.source.stem);
        (void)snprintf(one.node, sizeof one.node, "%s", replica_node(&b->m));
        one.taken = backup_time(b);
        one.published = b->written;
        one.stored_size = b->m.content.stored_size;
        memcpy(one.stored_sha256, b->m.content.stored_sha256, sizeof one.stored_sha256);
        if (want(out, &one, e) != 0)
            return -1;
    }
    return 0;
}

int replica_wants_told(const struct heartbeat *h, const struct heartbeat_folder *f, struct replica_wants *out,
                       struct err *e)
{
    size_t before = out->n;
    for (int t = 0; t < FREQUENCY_COUNT; t++) {
        const struct heartbeat_backup *b = &f->frequency[t];
        struct replica_want one = {
            .frequency = (enum frequency)t, .taken = b->taken, .published = b->published};
        if (!b->snapshot[0])
            continue;
        memcpy(one.snapshot, b->snapshot, sizeof one.snapshot);
        memcpy(one.node, h->node, sizeof one.node);
        one.stored_size = b->stored_size;
        memcpy(one.stored_sha256, b->stored_sha256, sizeof one.stored_sha256);
        if (want(out, &one, e) != 0)
            return -1;
    }
    return out->n == before;
}

/* --- what is here */

struct seen { /* beside each entry of the list */
    enum replica_what what;
    char why[600];
    bool wanted;
    time_t published; /* as it was wanted */
};
struct looking {
    const struct replica_look *l;
    struct backup_list list;
    struct seen *seen;
    size_t first; /* this folder's rows in `out` */
    struct replica_rows *out;
};

static bool is_there(const struct backup *b, const char *name)
{
    char path[PATH_MAX];
    struct stat st;
    return *name && files_join(path, sizeof path, b->dir, name, NULL) == 0 && stat(path, &st) == 0;
}

/* Are all bytes of its own there? */
static bool is_whole(const struct backup *b)
{
    char path[PATH_MAX];
    struct stat st;
    return b->m.content.sha256[0] && files_join(path, sizeof path, b->dir, b->data, NULL) == 0 &&
           stat(path, &st) == 0 && (uint64_t)st.st_size == b->m.content.stored_size;
}

/* Is the .sha256 a part of what it must be? It may be arriving. */
static bool sums_cut(const struct backup *b)
{
    char name[NAME_STORED + 32], path[PATH_MAX], line[NAME_MAX * 2 + 80];
    (void)snprintf(name, sizeof name, "%s.sha256", b->data);
    struct stat st;
    return name_sum_line(b->m.content.stored_sha256, b->data, line, sizeof line) &&
           files_join(path, sizeof path, b->dir, name, NULL) == 0 && stat(path, &st) == 0 &&
           (size_t)st.st_size < strlen(line);
}

static void look_at(struct backup *b, struct seen *s)
{
    struct err e = {0};
    enum entry_state state = ENTRY_CORRUPT;
    int loaded = backup_load(b, &e);
    if (loaded == 0)
        backup_trust(b);
    if (loaded != 0)
        s->what = REPLICA_UNREADABLE;
    else if (b->state == ENTRY_CORRUPT)
        s->what = REPLICA_CORRUPT;
    else if (b->state == ENTRY_INCOMPLETE || b->state == ENTRY_UNSIGNED)
        /* Its manifest or its data is cut short, or not there; or its signature is not, or what it is made
         * of. */
        s->what = b->has_manifest && !is_whole(b) && (!b->m.content.sha256[0] || is_there(b, b->data))
                      ? REPLICA_CUT
                      : REPLICA_ABSENT;
    else if ((state = backup_sums(b, &e)) != ENTRY_COMPLETE)
        s->what = state == ENTRY_INCOMPLETE ? REPLICA_ABSENT : sums_cut(b) ? REPLICA_CUT : REPLICA_CORRUPT;
    (void)snprintf(s->why, sizeof s->why, "%.590s", e.text[0] ? e.text : b->reason ? b->reason : "");
}

static void verify(const struct replica_look *l, struct backup *b, struct seen *s)
{
    backup_verify(b, l->watch);
    if (b->state == ENTRY_COMPLETE)
        return;
    s->what = b->state == ENTRY_INCOMPLETE ? REPLICA_ABSENT : REPLICA_CORRUPT;
    (void)snprintf(s->why, sizeof s->why, "%.590s", b->reason ? b->reason : "");
}

/* --- rows */

static struct replica_row *row_of(struct looking *k, const char *node)
{
    for (size_t i = k->first; i < k->out->n; i++)
        if (strcmp(k->out->v[i].node, node) == 0)
            return &k->out->v[i];
    struct replica_row *more = realloc(k->out->v, (k->out->n + 1) * sizeof *more);
    if (!more)
        return NULL;
    k->out->v = more;
    struct replica_row *r = memset(&more[k->out->n++], 0, sizeof *r);
    (void)snprintf(r->tree, sizeof r->tree, "%.159s", strrchr(k->l->base, '/') + 1);
    (void)snprintf(r->node, sizeof r->node, "%s", node);
    return r;
}

/* What a folder's name tells, for one of which nothing else is known. */
static void folder_source(const char *folder, struct source *out)
{
    char first[NAME_MAX + 1];
    const char *shard = strchr(folder, '/');
    *out = (struct source){.kind = name_is_storage(folder) ? KIND_STORAGE
                                   : shard                 ? KIND_SHARD
                                                           : KIND_COLLECTION};
    (void)snprintf(first, sizeof first, "%.*s", (int)strcspn(folder, "/"), folder);
    if (out->kind != KIND_STORAGE && !name_unescape(first, out->collection, sizeof out->collection))
        (void)snprintf(out->collection, sizeof out->collection, "%s", first);
    if (shard)
        (void)snprintf(out->shard, sizeof out->shard, "%.15s", shard + strlen("/%shard-"));
}

static bool add_problem(const struct looking *k, struct replica_row *r, const struct replica_problem *p,
                        const char *why, time_t published)
{
    struct replica_problem *more = realloc(r->problem, (r->problems + 1) * sizeof *more);
    if (!more)
        return false;
    r->problem = more;
    more[r->problems] = *p;
    more[r->problems].why = strdup(why);
    more[r->problems++].promised =
        p->what != REPLICA_ONLY_HERE && published > 0 && published + CLOCK_SLACK <= k->l->synced;
    r->count[p->what]++;
    return true;
}

static bool entry_problem(const struct looking *k, struct replica_row *r, size_t i, enum replica_what what)
{
    const struct backup *b = &k->list.v[i];
    struct replica_problem p = {.what = what, .frequency = b->frequency};
    (void)snprintf(p.snapshot, sizeof p.snapshot, "%s", b->m.source.stem);
    return add_problem(k, r, &p, k->seen[i].why, k->seen[i].published);
}

static size_t find(const struct backup_list *list, const struct replica_want *w)
{
    char stored[NAME_STORED];
    size_t i = 0;
    name_stored(w->snapshot, stored);
    while (i < list->n && (list->v[i].frequency != w->frequency || strcmp(list->v[i].stem, stored) != 0))
        i++;
    return i;
}

static bool check_want(struct looking *k, const struct replica_want *w)
{
    struct replica_row *r = row_of(k, w->node);
    size_t i = find(&k->list, w);
    if (!r)
        return false;
    r->told = true;
    r->expected++;
    if (w->taken > r->newest) {
        r->newest = w->taken;
        (void)snprintf(r->newest_snapshot, sizeof r->newest_snapshot, "%s", w->snapshot);
    }
    if (i == k->list.n) {
        struct replica_problem p = {.what = REPLICA_ABSENT, .frequency = w->frequency};
        (void)snprintf(p.snapshot, sizeof p.snapshot, "%s", w->snapshot);
        return add_problem(k, r, &p, "nothing of it is here", w->published);
    }
    struct seen *s = &k->seen[i];
    const struct copy_result *c = &k->list.v[i].m.content;
    s->wanted = true;
    s->published = w->published;
    if (s->what == REPLICA_GOOD &&
        (c->stored_size != w->stored_size || strcmp(c->stored_sha256, w->stored_sha256) != 0)) {
        s->what = REPLICA_DIFFERENT;
        (void)snprintf(s->why, sizeof s->why, "the primary has another one of this name");
    }
    return s->what == REPLICA_GOOD || entry_problem(k, r, i, s->what);
}

/* What is here and not among the wants. */
static bool check_rest(struct looking *k)
{
    for (size_t i = 0; i < k->list.n; i++) {
        const struct backup *b = &k->list.v[i];
        struct seen *s = &k->seen[i];
        bool readable = b->m.content.sha256[0] != 0;
        /* Whose one is that cannot be read is not known. */
        const char *node = readable || k->out->n == k->first ? replica_node(&b->m) : k->out->v[k->first].node;
        struct replica_row *r = readable || k->l->suspect || k->l->all ? row_of(k, node) : NULL;
        if (!r && (readable || k->l->suspect || k->l->all))
            return false;
        if (!r)
            continue;
        r->here += s->what == REPLICA_GOOD;
        if (s->wanted)
            continue;
        if (k->l->all ? !entry_problem(k, r, i, REPLICA_ONLY_HERE)
                      : k->l->suspect && s->what != REPLICA_GOOD && !entry_problem(k, r, i, s->what))
            return false;
    }
    return true;
}

static size_t newest_good(const struct looking *k, const char *node)
{
    size_t best = k->list.n;
    for (size_t i = 0; i < k->list.n; i++)
        if (k->seen[i].what == REPLICA_GOOD && strcmp(replica_node(&k->list.v[i].m), node) == 0 &&
            (best == k->list.n || backup_time(&k->list.v[i]) >= backup_time(&k->list.v[best])))
            best = i;
    return best;
}

static bool find_point(struct looking *k, struct replica_row *r)
{
    size_t i;
    while ((i = newest_good(k, r->node)) < k->list.n) {
        struct backup *b = &k->list.v[i];
        if (k->l->verify)
            verify(k->l, b, &k->seen[i]);
        if (k->seen[i].what != REPLICA_GOOD) {
            r->here--;
            if (!entry_problem(k, r, i, k->seen[i].what))
                return false;
            continue;
        }
        r->verified = k->l->verify;
        r->taken = backup_time(b);
        r->frequency = b->frequency;
        (void)snprintf(r->snapshot, sizeof r->snapshot, "%s", b->m.source.stem);
        return files_join(r->path, sizeof r->path, b->dir, b->data, NULL) == 0;
    }
    return true;
}

static bool fill_rows(struct looking *k)
{
    for (size_t i = 0; i < k->list.n; i++)
        look_at(&k->list.v[i], &k->seen[i]);
    for (size_t i = 0; i < k->l->wants->n; i++)
        if (!check_want(k, &k->l->wants->v[i]))
            return false;
    if (!check_rest(k))
        return false;
    for (size_t i = k->first; i < k->out->n; i++) {
        folder_source(k->l->folder, &k->out->v[i].source);
        if (!find_point(k, &k->out->v[i]))
            return false;
    }
    return true;
}

int replica_folder(const struct replica_look *l, struct replica_rows *out, struct err *e)
{
    struct looking k = {.l = l, .first = out->n, .out = out};
    int rc = backup_list_folder(l->base, l->folder, &k.list, e);
    k.seen = rc == 0 ? calloc(k.list.n + 1, sizeof *k.seen) : NULL;
    if (rc == 0 && (!k.seen || !fill_rows(&k)))
        rc = err_set(e, ENOMEM, "cannot compare", l->base, NULL);
    free(k.seen);
    backup_list_free(&k.list);
    return rc;
}

/* --- judging */

time_t replica_age(time_t since, time_t now) { return now > since ? now - since : 0; }

/* Nothing on EFS says that a collection was deleted, but a heartbeat. Without one, what is by days older than
 * the newest of its tree may have been. */
bool replica_held(enum heartbeat_wanted wanted, enum kind kind, time_t newest, time_t of_tree)
{
    if (wanted != HEARTBEAT_UNKNOWN || kind != KIND_COLLECTION)
        return wanted == HEARTBEAT_WANTED;
    return newest >= of_tree - RESTORE_APART;
}

static bool held(const struct replica_rows *rows, const struct replica_row *r)
{
    time_t newest = 0;
    for (size_t i = 0; i < rows->n; i++)
        if (strcmp(rows->v[i].tree, r->tree) == 0 && rows->v[i].newest > newest)
            newest = rows->v[i].newest;
    return replica_held(r->wanted, r->source.kind, r->newest, newest);
}

static enum replica_state judge(const struct replica_rows *rows, const struct replica_row *r, time_t now)
{
    bool late = held(rows, r) && replica_age(r->taken, now) > r->rpo, defect = false;
    for (int w = REPLICA_ABSENT; w < REPLICA_WHATS; w++)
        defect = defect || r->count[w] > 0;
    if (r->left)
        return REPLICA_LEFT;
    if (!r->path[0])
        return REPLICA_NONE;
    if (!r->told)
        return REPLICA_UNKNOWN;
    if (late)
        return REPLICA_LATE;
    if (r->taken < r->newest)
        return REPLICA_BEHIND;
    return defect ? REPLICA_MISSING : REPLICA_COMPLETE;
}

bool replica_judge(struct replica_rows *rows, time_t now)
{
    bool good = true;
    for (size_t i = 0; i < rows->n; i++) {
        struct replica_row *r = &rows->v[i];
        r->state = judge(rows, r, now);
        good = good && (r->state == REPLICA_COMPLETE || r->state == REPLICA_LEFT);
    }
    return good;
}
