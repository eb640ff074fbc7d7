#include "replicator/intake.h"
#include "common/cleanup.h"
#include "common/files.h"
#include "common/log.h"
#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { SETTLE = 1500, QUIET = 10000, RETRY_FIRST = 1000, RETRY_MAX = 300000 };

enum state { WAITING, QUEUED, DONE, DELETING };
struct stamp {
    ino_t ino;
    off_t size;
    struct timespec mtime;
};
struct item {
    const char *relative; /* key, points at `name` */
    struct source source;
    enum state state;
    bool published, unsafe, again, seen, known;
    struct stamp stamp; /* of the file that was last handed over */
    int64_t due, noted;
    unsigned attempts;
    char name[];
};
struct intake {
    const struct settings *settings;
    struct workers *workers;
    void *tree;
    int64_t next;
    bool once;
    size_t waiting, queued;
};
struct visit {
    struct intake *in;
    int64_t now;
    const struct source *folder;
    struct item **list;
    size_t n, size;
};

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct item *)a)->relative, ((const struct item *)b)->relative);
}

struct intake *intake_new(const struct settings *s, struct workers *w, bool once)
{
    struct intake *in = calloc(1, sizeof *in);
    if (in)
        *in = (struct intake){.settings = s, .workers = w, .once = once, .next = -1};
    return in;
}

static void set_state(struct intake *in, struct item *it, enum state s)
{
    in->waiting -= it->state == WAITING;
    in->queued -= it->state == QUEUED;
    it->state = s;
    in->waiting += s == WAITING;
    in->queued += s == QUEUED;
}

static void wait_until(struct intake *in, struct item *it, int64_t due)
{
    set_state(in, it, WAITING);
    it->due = due;
    if (in->next < 0 || due < in->next)
        in->next = due;
}

static struct item *find(struct intake *in, const char *relative)
{
    struct item key = {.relative = relative};
    struct item **found = tfind(&key, &in->tree, by_path);
    return found ? *found : NULL;
}

static struct item *add(struct intake *in, const char *relative)
{
    struct source src;
    if (!name_source(relative, &src))
        return NULL;
    struct item *it = calloc(1, sizeof *it + strlen(relative) + 1);
    if (!it)
        return NULL;
    strcpy(it->name, relative); /* sized above */
    it->relative = it->name;
    it->source = src;
    it->state = DONE;
    if (!tsearch(it, &in->tree, by_path)) {
        free(it);
        return NULL;
    }
    return it;
}

void intake_note(struct intake *in, const char *relative, int64_t now)
{
    struct item *it = find(in, relative);
    if (!it)
        it = add(in, relative);
    if (!it)
        return;
    it->seen = true;
    it->noted = now;
    if (it->state == QUEUED)
        it->again = true;
    else if (it->state != DELETING)
        wait_until(in, it, now + (in->once ? 0 : SETTLE));
}

static void drop(struct intake *in, struct item *it)
{
    set_state(in, it, DONE);
    (void)tdelete(it, &in->tree, by_path);
    free(it);
}

void intake_forget(struct intake *in, const char *relative)
{
    struct item *it = find(in, relative);
    if (it && it->state == QUEUED)
        it->again = true; /* the worker finds out; then it is looked at once more */
    else if (it)
        drop(in, it);
}

static void collect(struct visit *v, struct item *it)
{
    if (v->n == v->size) {
        size_t size = v->size ? v->size * 2 : 64;
        struct item **list = realloc(v->list, size * sizeof(struct item *));
        if (!list)
            return; /* seen again at the next turn */
        v->list = list;
        v->size = size;
    }
    v->list[v->n++] = it;
}

static void unsee(const void *node, VISIT which, void *arg)
{
    (void)arg;
    if (which == postorder || which == leaf)
        (*(struct item *const *)node)->seen = false;
}
static void unseen(const void *node, VISIT which, void *arg)
{
    struct item *it = *(struct item *const *)node;
    if ((which == postorder || which == leaf) && !it->seen && it->state != QUEUED)
        collect(arg, it);
}
void intake_scan_begin(struct intake *in) { twalk_r(in->tree, unsee, NULL); }
void intake_scan_end(struct intake *in)
{
    struct visit v = {.in = in};
    twalk_r(in->tree, unseen, &v);
    for (size_t i = 0; i < v.n; i++)
        drop(in, v.list[i]);
    free(v.list);
}

/* Qdrant's .checksum: 64 hex digits, no newline. Anything else is not one (yet). */
static bool read_checksum(const char *path, char out[65])
{
    char name[PATH_MAX + 16];
    (void)snprintf(name, sizeof name, "%s.checksum", path);
    cleanup_free char *text = files_get(name, 65, NULL);
    if (!text)
        return false;
    if (strlen(text) == 65 && text[64] == '\n')
        text[64] = 0;
    for (char *p = text; *p; p++)
        if (*p >= 'A' && *p <= 'F')
            *p = (char)(*p - 'A' + 'a');
    if (strlen(text) != 64 || strspn(text, "0123456789abcdef") != 64)
        return false;
    memcpy(out, text, 65);
    return true;
}

static int64_t quiet_left(const struct item *it, const struct stat *st, int64_t now)
{
    struct timespec wall;
    int64_t by_event = it->noted + QUIET - now, by_time = 0;
    if (clock_gettime(CLOCK_REALTIME, &wall) == 0)
        by_time = QUIET - ((int64_t)wall.tv_sec - st->st_mtim.tv_sec) * 1000;
    if (by_time > QUIET)
        by_time = 0; /* a date in the future says nothing */
    return by_event > by_time ? by_event : by_time;
}

static bool same_file(const struct item *it, const struct stat *st)
{
    return it->known && it->stamp.ino == st->st_ino && it->stamp.size == st->st_size &&
           it->stamp.mtime.tv_sec == st->st_mtim.tv_sec && it->stamp.mtime.tv_nsec == st->st_mtim.tv_nsec;
}

static void look(struct intake *in, struct item *it, int64_t now)
{
    char path[PATH_MAX];
    struct stat st;
    if (files_join(path, sizeof path, in->settings->snapshots_dir, it->relative, NULL) != 0 ||
        lstat(path, &st) != 0 || !S_ISREG(st.st_mode)) {
        drop(in, it); /* gone, or never a snapshot */
        return;
    }
    if (same_file(it, &st) && it->attempts == 0) {
        set_state(in, it, DONE); /* the late CLOSE_WRITE of a file that was dealt with */
        return;
    }
    struct job *j = calloc(1, sizeof *j);
    if (!j) {
        wait_until(in, it, now + RETRY_FIRST);
        return;
    }
    int64_t left = read_checksum(path, j->checksum) ? 0 : quiet_left(it, &st, now);
    if (left > 0) {
        free(j);
        wait_until(in, it, now + left);
        return;
    }
    j->kind = JOB_PUBLISH;
    j->source = it->source;
    (void)snprintf(j->relative, sizeof j->relative, "%s", it->relative);
    it->stamp = (struct stamp){st.st_ino, st.st_size, st.st_mtim};
    it->known = true;
    it->published = false;
    set_state(in, it, QUEUED);
    workers_push(in->workers, j);
}

static void pick_published(const void *node, VISIT which, void *arg)
{
    struct visit *v = arg;
    struct item *it = *(struct item *const *)node;
    if ((which == postorder || which == leaf) && it->published && it->state == DONE &&
        it->source.kind == v->folder->kind && strcmp(it->source.collection, v->folder->collection) == 0 &&
        strcmp(it->source.shard, v->folder->shard) == 0)
        collect(v, it);
}
static int newest_first(const void *a, const void *b)
{
    const struct item *x = *(struct item *const *)a, *y = *(struct item *const *)b;
    time_t s = x->source.taken ? x->source.taken : x->stamp.mtime.tv_sec;
    time_t t = y->source.taken ? y->source.taken : y->stamp.mtime.tv_sec;
    return s == t ? strcmp(y->relative, x->relative) : s < t ? 1 : -1;
}

static void keep_few(struct intake *in, const struct source *folder)
{
    struct visit v = {.in = in, .folder = folder};
    twalk_r(in->tree, pick_published, &v);
    if (v.n > 1)
        qsort(v.list, v.n, sizeof(struct item *), newest_first);
    for (size_t i = in->settings->local_keep; i < v.n; i++) {
        struct job *j = calloc(1, sizeof *j);
        if (!j)
            break;
        j->kind = JOB_DELETE_LOCAL;
        j->source = v.list[i]->source;
        (void)snprintf(j->relative, sizeof j->relative, "%s", v.list[i]->relative);
        set_state(in, v.list[i], DELETING);
        workers_push(in->workers, j);
    }
    free(v.list);
}

static void result(struct intake *in, const struct job *j, int64_t now)
{
    struct item *it = find(in, j->relative);
    if (!it)
        return;
    set_state(in, it, DONE);
    bool good = j->outcome == PUBLISHED || j->outcome == PUBLISH_SAME;
    it->published = good;
    it->unsafe = !good && j->outcome != PUBLISH_VANISHED;
    if (j->outcome == PUBLISH_VANISHED) {
        it->known = false;
        it->again = true;
    }
    if (j->outcome == PUBLISH_FAILED && !in->once) {
        int64_t wait = RETRY_FIRST << (it->attempts < 9 ? it->attempts : 9);
        it->attempts++;
        wait_until(in, it, now + (wait < RETRY_MAX ? wait : RETRY_MAX));
    } else {
        it->attempts = 0;
        if (it->again)
            wait_until(in, it, now);
    }
    it->again = false;
    if (good)
        keep_few(in, &j->source);
}

static void find_due(const void *node, VISIT which, void *arg)
{
    struct visit *v = arg;
    struct item *it = *(struct item *const *)node;
    if ((which != postorder && which != leaf) || it->state != WAITING)
        return;
    if (it->due <= v->now)
        collect(v, it);
    else if (v->in->next < 0 || it->due < v->in->next)
        v->in->next = it->due;
}

int64_t intake_step(struct intake *in, int64_t now)
{
    for (struct job *j; (j = workers_take_done(in->workers));) {
        result(in, j, now);
        free(j);
    }
    if (in->next >= 0 && in->next <= now) {
        struct visit v = {.in = in, .now = now};
        in->next = -1;
        twalk_r(in->tree, find_due, &v);
        for (size_t i = 0; i < v.n; i++)
            look(in, v.list[i], now);
        free(v.list);
    }
    return in->next;
}

bool intake_busy(const struct intake *in) { return in->waiting > 0 || in->queued > 0; }

static void count_unsafe(const void *node, VISIT which, void *arg)
{
    if (which == postorder || which == leaf)
        *(unsigned *)arg += (*(struct item *const *)node)->unsafe;
}
unsigned intake_unsafe(const struct intake *in)
{
    unsigned n = 0;
    twalk_r(in->tree, count_unsafe, &n);
    return n;
}
