#include "replicator/intake.h"
#include "common/cleanup.h"
#include "common/files.h"
#include "common/log.h"
#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Milliseconds. TIDY: no snapshot was touched for so long, so no full-storage snapshot is collecting them. */
enum {
    SETTLE = 2000,
    QUIET = 10000,
    TIDY = 4000,
    TIDY_LATER = 15000,
    RETRY_FIRST = 1000,
    RETRY_MAX = 300000
};

enum state { WAITING, QUEUED, DONE, DELETING, REFUSED };
struct item {
    const char *relative; /* key, points at `name` */
    struct source source;
    enum state state;
    bool safe;    /* on EFS, or retention let it go: may be deleted locally */
    bool unsafe;  /* tried, and not safe */
    bool again;   /* something happened while a worker had it */
    bool recheck; /* look at EFS even if the file is the one that was dealt with */
    bool seen, known;
    struct stamp stamp; /* of the file that was last handed over, when `known` */
    char checksum[65];  /* what Qdrant said of that file */
    char sha256[65];    /* of that file, once it was read */
    int64_t due, noted; /* `noted`: when the last event was, 0 for none */
    unsigned attempts;
    char name[];
};
struct intake {
    const struct settings *settings;
    struct workers *workers;
    void *tree;
    int64_t next, tidy; /* when there is something to do, -1 for never; `tidy`: on the local disk */
    bool once, reconcile;
    size_t waiting, queued;
};
struct visit {
    struct intake *in;
    int64_t now;
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
        *in = (struct intake){.settings = s, .workers = w, .once = once, .next = -1, .tidy = -1};
    return in;
}

void intake_free(struct intake *in)
{
    if (in)
        tdestroy(in->tree, free);
    free(in);
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
    enum name_class class = name_source(relative, &src);
    if (class == NAME_NOT_SOURCE)
        return NULL;
    struct item *it = calloc(1, sizeof *it + strlen(relative) + 1);
    if (!it)
        return NULL;
    strcpy(it->name, relative); /* sized above */
    it->relative = it->name;
    it->source = src;
    it->state = class == NAME_SOURCE ? DONE : REFUSED;
    if (!tsearch(it, &in->tree, by_path)) {
        free(it);
        return NULL;
    }
    if (class == NAME_UNFIT) {
        it->unsafe = true;
        log_line(LOG_ERROR, "name_unfit",
                 "%s is NOT backed up: its name is not UTF-8, or has over 255 bytes once "
                 "escaped and with what is put behind it on EFS; use another name for the collection",
                 relative);
    }
    return it;
}

static struct item *find_or_add(struct intake *in, const char *relative)
{
    struct item *it = find(in, relative);
    if (!it)
        it = add(in, relative);
    if (it)
        it->seen = true;
    return it && it->state != REFUSED ? it : NULL;
}

static void look_again(struct intake *in, struct item *it, int64_t now)
{
    if (it->state == QUEUED || it->state == DELETING)
        it->again = true;
    else
        wait_until(in, it, now + (in->once ? 0 : SETTLE));
}

void intake_note(struct intake *in, const char *relative, int64_t now)
{
    struct item *it = find_or_add(in, relative);
    if (!it)
        return;
    it->noted = now;
    if (in->tidy >= 0)
        in->tidy = now + TIDY;
    look_again(in, it, now);
}

void intake_found(struct intake *in, const char *relative, int64_t now)
{
    struct item *it = find_or_add(in, relative);
    if (!it || it->state == WAITING)
        return;
    it->recheck = it->recheck || in->reconcile;
    look_again(in, it, now);
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
    if (it && (it->state == QUEUED || it->state == DELETING))
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
    if ((which == postorder || which == leaf) && !it->seen && it->state != QUEUED && it->state != DELETING)
        collect(arg, it);
}
void intake_scan_begin(struct intake *in, bool reconcile)
{
    in->reconcile = reconcile;
    twalk_r(in->tree, unsee, NULL);
}

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

/* An upload is finished when nothing has happened to it for a while, by events and by its own time. */
static int64_t quiet_left(const struct item *it, const struct stat *st, int64_t now)
{
    struct timespec wall;
    int64_t by_event = it->noted ? it->noted + QUIET - now : 0, by_time = 0;
    if (clock_gettime(CLOCK_REALTIME, &wall) == 0)
        by_time = QUIET - ((int64_t)wall.tv_sec - st->st_mtim.tv_sec) * 1000;
    if (by_time > QUIET)
        by_time = 0; /* a date in the future says nothing */
    return by_event > by_time ? by_event : by_time;
}

static void hand_over(struct intake *in, struct item *it, const struct stat *st, const char *checksum,
                      int64_t now)
{
    bool same = it->known && stamp_is(&it->stamp, st);
    struct job *j = job_new(JOB_PUBLISH, &it->source, it->relative);
    if (!j) {
        wait_until(in, it, now + RETRY_FIRST);
        return;
    }
    memcpy(j->checksum, checksum, sizeof j->checksum);
    if (!same) {
        it->sha256[0] = 0;
        it->safe = false;
    }
    memcpy(j->sha256, it->sha256, sizeof j->sha256);
    it->stamp = j->stamp = (struct stamp){st->st_ino, st->st_size, st->st_mtim};
    memcpy(it->checksum, checksum, sizeof it->checksum);
    it->known = true;
    it->recheck = false;
    set_state(in, it, QUEUED);
    workers_push(in->workers, j);
}

static void look(struct intake *in, struct item *it, int64_t now)
{
    char path[PATH_MAX], checksum[65] = "";
    struct stat st;
    if (files_join(path, sizeof path, in->settings->snapshots_dir, it->relative, NULL) != 0 ||
        lstat(path, &st) != 0 || !S_ISREG(st.st_mode)) {
        drop(in, it); /* gone, or never a snapshot */
        return;
    }
    bool said = read_checksum(path, checksum);
    if (it->known && stamp_is(&it->stamp, &st) && strcmp(it->checksum, checksum) == 0 && it->attempts == 0 &&
        !it->recheck) {
        set_state(in, it, DONE); /* the late CLOSE_WRITE of a file that was dealt with */
        return;
    }
    int64_t left = said ? 0 : quiet_left(it, &st, now);
    if (left > 0)
        wait_until(in, it, now + left);
    else
        hand_over(in, it, &st, checksum, now);
}

static void pick_safe(const void *node, VISIT which, void *arg)
{
    struct visit *v = arg;
    struct item *it = *(struct item *const *)node;
    if ((which == postorder || which == leaf) && it->safe && it->state == DONE)
        collect(v, it);
}
static int by_folder(const struct item *x, const struct item *y)
{
    int c = (int)x->source.kind - (int)y->source.kind;
    c = c ? c : strcmp(x->source.collection, y->source.collection);
    return c ? c : strcmp(x->source.shard, y->source.shard);
}
static int newest_first(const void *a, const void *b)
{
    const struct item *x = *(struct item *const *)a, *y = *(struct item *const *)b;
    time_t s = x->source.taken ? x->source.taken : x->stamp.mtime.tv_sec;
    time_t t = y->source.taken ? y->source.taken : y->stamp.mtime.tv_sec;
    int c = by_folder(x, y);
    return c ? c : s == t ? strcmp(y->relative, x->relative) : s < t ? 1 : -1;
}

static void delete_locally(struct intake *in, struct item *it)
{
    struct job *j = job_new(JOB_DELETE_LOCAL, &it->source, it->relative);
    if (!j)
        return; /* at the next turn */
    j->stamp = it->stamp;
    set_state(in, it, DELETING);
    workers_push(in->workers, j);
}

/* In each folder, all that is safe but the newest few. */
static void tidy(struct intake *in)
{
    struct visit v = {.in = in};
    in->tidy = -1;
    twalk_r(in->tree, pick_safe, &v);
    if (v.n > 1)
        qsort(v.list, v.n, sizeof(struct item *), newest_first);
    for (size_t i = 0, rank = 0; i < v.n; i++) {
        rank = i > 0 && by_folder(v.list[i - 1], v.list[i]) == 0 ? rank + 1 : 0;
        if (rank >= in->settings->local_keep)
            delete_locally(in, v.list[i]);
    }
    free(v.list);
}

static void publish_result(struct intake *in, struct item *it, const struct job *j, int64_t now)
{
    bool on_efs = j->outcome == PUBLISHED || j->outcome == PUBLISH_SAME;
    it->safe = on_efs || j->outcome == PUBLISH_EXPIRED;
    it->unsafe = !it->safe && j->outcome != PUBLISH_VANISHED;
    if (on_efs)
        memcpy(it->sha256, j->sha256, sizeof it->sha256);
    if (j->outcome == PUBLISH_VANISHED) {
        it->known = false;
        it->again = true;
    }
    if (j->outcome == PUBLISH_FAILED && !in->once) {
        int64_t wait = (int64_t)RETRY_FIRST << (it->attempts < 9 ? it->attempts : 9);
        it->attempts++;
        wait_until(in, it, now + (wait < RETRY_MAX ? wait : RETRY_MAX));
        return;
    }
    it->attempts = 0;
    if (it->again)
        wait_until(in, it, now);
}

static void result(struct intake *in, const struct job *j, int64_t now)
{
    struct item *it = find(in, j->relative);
    if (!it)
        return;
    set_state(in, it, DONE);
    if (j->kind == JOB_PUBLISH) {
        publish_result(in, it, j, now);
        if (it->safe && in->tidy < 0)
            in->tidy = now + (in->once ? 0 : TIDY);
    } else if (j->postponed && !it->again) {
        in->tidy = in->once ? in->tidy : now + TIDY_LATER;
    } else {
        wait_until(in, it, now); /* gone, or one that took its place: look */
    }
    it->again = false;
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
        job_free(j);
    }
    if (in->next >= 0 && in->next <= now) {
        struct visit v = {.in = in, .now = now};
        in->next = -1;
        twalk_r(in->tree, find_due, &v);
        for (size_t i = 0; i < v.n; i++)
            look(in, v.list[i], now);
        free(v.list);
    }
    if (in->once && intake_busy(in))
        return in->next; /* what becomes safe is tidied at the end, all at once */
    if (in->tidy >= 0 && in->tidy <= now)
        tidy(in);
    return in->tidy >= 0 && (in->next < 0 || in->tidy < in->next) ? in->tidy : in->next;
}

struct oldest {
    time_t when;
};

static void find_oldest(const void *node, VISIT which, void *arg)
{
    const struct item *it = *(struct item *const *)node;
    struct oldest *o = arg;
    if ((which == postorder || which == leaf) && (it->state == WAITING || it->state == QUEUED) && it->known &&
        !it->safe && (!o->when || it->stamp.mtime.tv_sec < o->when))
        o->when = it->stamp.mtime.tv_sec;
}

struct ledger_queue intake_queue(const struct intake *in)
{
    struct ledger_queue q = {.waiting = (unsigned)in->waiting, .publishing = (unsigned)in->queued};
    struct oldest o = {0};
    if (intake_busy(in))
        twalk_r(in->tree, find_oldest, &o);
    double age = o.when ? difftime(time(NULL), o.when) : 0;
    q.oldest = age > 0 ? age : 0;
    return q;
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
