#include "replicator/publish/pending.h"
#include "replicator/status/state.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/files.h"
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
    RETRY_HURRY = 2000,
    RETRY_MAX = 300000,
    RETRY_EACH = 1000, /* with many that fail: one of them is tried in so long */
    STUCK = 120000,    /* so long with the workers: EFS hangs */
    TELL = 500
};

enum state { WAITING, QUEUED, DONE, DELETING, REFUSED };
struct local_snapshot {
    const char *relative; /* key, points at `name` */
    struct source source;
    enum state state;
    bool safe;    /* on EFS, or retention let it go: may be deleted locally */
    bool unsafe;  /* tried, and not safe */
    bool refused; /* as it is, it is no backup: looked at again when it changes */
    bool bad;     /* a mismatch or a conflict: somebody must look at it */
    bool doubted; /* the status tells of it */
    bool again;   /* something happened while a worker had it */
    bool recheck; /* look at EFS even if the file is the one that was dealt with */
    bool seen, known;
    bool left;          /* a stop does not wait for it */
    bool failed;        /* its last try failed */
    struct stamp stamp; /* of the file that was last handed over, when `known` */
    uint64_t size;      /* what that takes of the disk */
    char checksum[65];  /* what Qdrant said of that file */
    char sha256[65];    /* of that file, once it was read */
    int64_t due, noted; /* `noted`: when the last event was, 0 for none */
    int64_t queued;     /* when the workers got it */
    unsigned attempts;
    char name[];
};
struct pending {
    const struct settings *settings;
    struct jobs *workers;
    struct status *status;
    struct disk *disk;
    void *tree;
    int64_t next, tidy; /* when there is something to do, -1 for never; `tidy`: on the local disk */
    int64_t look, tell; /* when to look at the disk; when to tell what there is, -1: nothing new */
    unsigned present;   /* the number of the collections that were told */
    bool once, reconcile, hurry;
    size_t waiting, queued;
    unsigned failures; /* in a row, of whichever snapshots */
    bool efs_bad;      /* as the workers found it last */
    char why[512];     /* of the last try that failed */
};
struct visit {
    struct pending *in;
    int64_t now;
    bool failed; /* for hasten */
    struct local_snapshot **list;
    size_t n, size;
};

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct local_snapshot *)a)->relative, ((const struct local_snapshot *)b)->relative);
}

struct pending *pending_new(const struct settings *s, struct jobs *w, struct status *l, struct disk *d,
                            bool once)
{
    struct pending *in = calloc(1, sizeof *in);
    if (in)
        *in = (struct pending){.settings = s,
                               .workers = w,
                               .status = l,
                               .disk = d,
                               .once = once,
                               .next = -1,
                               .tidy = -1,
                               .tell = -1};
    return in;
}

void pending_free(struct pending *in)
{
    if (in)
        tdestroy(in->tree, free);
    free(in);
}

static void set_state(struct pending *in, struct local_snapshot *it, enum state s)
{
    in->waiting -= it->state == WAITING;
    in->queued -= it->state == QUEUED;
    it->state = s;
    if (in->tell < 0)
        in->tell = 0;
    in->waiting += s == WAITING;
    in->queued += s == QUEUED;
}

static void wait_until(struct pending *in, struct local_snapshot *it, int64_t due)
{
    set_state(in, it, WAITING);
    it->due = due;
    if (in->next < 0 || due < in->next)
        in->next = due;
}

static struct local_snapshot *find(struct pending *in, const char *relative)
{
    struct local_snapshot key = {.relative = relative};
    struct local_snapshot **found = tfind(&key, &in->tree, by_path);
    return found ? *found : NULL;
}

static struct local_snapshot *add(struct pending *in, const char *relative)
{
    struct source src;
    enum name_class class = name_source(relative, &src);
    if (class == NAME_NOT_SOURCE)
        return NULL;
    struct local_snapshot *it = calloc(1, sizeof *it + strlen(relative) + 1);
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

static struct local_snapshot *find_or_add(struct pending *in, const char *relative)
{
    struct local_snapshot *it = find(in, relative);
    if (!it)
        it = add(in, relative);
    if (it)
        it->seen = true;
    return it && it->state != REFUSED ? it : NULL;
}

static void look_again(struct pending *in, struct local_snapshot *it, int64_t now)
{
    if (it->state == QUEUED || it->state == DELETING)
        it->again = true;
    else
        wait_until(in, it, now + (in->once || in->hurry ? 0 : SETTLE));
}

void pending_note(struct pending *in, const char *relative, int64_t now)
{
    struct local_snapshot *it = find_or_add(in, relative);
    jobs_snapshot_event(in->workers);
    if (!it)
        return;
    it->noted = now;
    if (in->tidy >= 0)
        in->tidy = now + TIDY;
    look_again(in, it, now);
}

void pending_found(struct pending *in, const char *relative, int64_t now)
{
    bool news = !find(in, relative);
    struct local_snapshot *it = find_or_add(in, relative);
    if (news)
        jobs_snapshot_event(in->workers); /* events were lost */
    if (!it || it->state == WAITING)
        return;
    it->recheck = it->recheck || in->reconcile;
    look_again(in, it, now);
}

static void drop(struct pending *in, struct local_snapshot *it)
{
    set_state(in, it, DONE);
    if (it->doubted)
        status_no_doubt(in->status, it->relative, it->source.collection);
    (void)tdelete(it, &in->tree, by_path);
    free(it);
}

void pending_forget(struct pending *in, const char *relative)
{
    struct local_snapshot *it = find(in, relative);
    if (it && (it->state == QUEUED || it->state == DELETING))
        it->again = true; /* the worker finds out; then it is looked at once more */
    else if (it)
        drop(in, it);
}

static void collect(struct visit *v, struct local_snapshot *it)
{
    if (v->n == v->size) {
        size_t size = v->size ? v->size * 2 : 64;
        struct local_snapshot **list = realloc(v->list, size * sizeof(struct local_snapshot *));
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
        (*(struct local_snapshot *const *)node)->seen = false;
}
static void unseen(const void *node, VISIT which, void *arg)
{
    struct local_snapshot *it = *(struct local_snapshot *const *)node;
    if ((which == postorder || which == leaf) && !it->seen && it->state != QUEUED && it->state != DELETING)
        collect(arg, it);
}
void pending_scan_begin(struct pending *in, bool reconcile)
{
    in->reconcile = reconcile;
    twalk_r(in->tree, unsee, NULL);
}

void pending_scan_end(struct pending *in)
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
static int64_t quiet_left(const struct local_snapshot *it, const struct stat *st, int64_t now)
{
    struct timespec wall;
    int64_t by_event = it->noted ? it->noted + QUIET - now : 0, by_time = 0;
    if (clock_gettime(CLOCK_REALTIME, &wall) == 0)
        by_time = QUIET - ((int64_t)wall.tv_sec - st->st_mtim.tv_sec) * 1000;
    if (by_time > QUIET)
        by_time = 0; /* a date in the future says nothing */
    return by_event > by_time ? by_event : by_time;
}

static void hand_over(struct pending *in, struct local_snapshot *it, const struct stat *st,
                      const char *checksum, int64_t now)
{
    bool same = it->known && stamp_is(&it->stamp, st) && strcmp(it->checksum, checksum) == 0;
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
    it->size = (uint64_t)st->st_blocks * 512;
    it->queued = now;
    memcpy(it->checksum, checksum, sizeof it->checksum);
    it->known = true;
    it->recheck = false;
    set_state(in, it, QUEUED);
    jobs_push(in->workers, j);
}

static void look(struct pending *in, struct local_snapshot *it, int64_t now)
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
        (!it->recheck || it->refused)) {
        set_state(in, it, DONE); /* the late CLOSE_WRITE of a file that was dealt with */
        return;
    }
    int64_t left = said ? 0 : in->hurry ? it->noted + SETTLE - now : quiet_left(it, &st, now);
    it->left = in->hurry && !said && left <= 0;
    if (it->left)
        set_state(in, it, DONE);
    else if (left > 0)
        wait_until(in, it, now + left);
    else
        hand_over(in, it, &st, checksum, now);
}

static int by_folder(const struct local_snapshot *x, const struct local_snapshot *y)
{
    int c = (int)x->source.kind - (int)y->source.kind;
    c = c ? c : strcmp(x->source.collection, y->source.collection);
    return c ? c : strcmp(x->source.shard, y->source.shard);
}
static int newest_first(const void *a, const void *b)
{
    const struct local_snapshot *x = *(struct local_snapshot *const *)a,
                                *y = *(struct local_snapshot *const *)b;
    time_t s = x->source.taken ? x->source.taken : x->stamp.mtime.tv_sec;
    time_t t = y->source.taken ? y->source.taken : y->stamp.mtime.tv_sec;
    int c = by_folder(x, y);
    return c ? c : s == t ? strcmp(y->relative, x->relative) : s < t ? 1 : -1;
}

/* --- the local disk */

/* Finished by Qdrant, and not on EFS, which is to have it. One that has just turned up is taken for one. */
static bool is_unpublished(const struct local_snapshot *it)
{
    if (!it->known)
        return it->state == WAITING && it->source.taken;
    return (it->state == WAITING || it->state == QUEUED || it->state == DONE) && it->checksum[0] &&
           !it->safe && !it->refused && !it->bad;
}

/* EFS was tried, or hangs. */
static bool is_stuck(const struct local_snapshot *it, int64_t now)
{
    return (it->state == WAITING && it->attempts > 0) || (it->state == QUEUED && now - it->queued > STUCK);
}

static struct disk_file as_file(const struct pending *in, const struct local_snapshot *it, int64_t now,
                                bool tidying)
{
    bool stuck = is_stuck(it, now), rests = it->state == DONE;
    return (struct disk_file){.taken = it->source.taken ? it->source.taken : it->stamp.mtime.tv_sec,
                              .size = it->size,
                              .safe = it->safe && (rests || (stuck && !tidying)),
                              .stuck = stuck && is_unpublished(it),
                              .gone = it->source.kind != KIND_STORAGE &&
                                      disk_is_gone(in->disk, it->source.collection, it->source.taken),
                              .going = it->state == DELETING};
}

static void delete_locally(struct pending *in, struct local_snapshot *it, int64_t chosen, bool urgent)
{
    if (it->state == QUEUED && !jobs_take_back(in->workers, it->relative))
        return; /* somebody reads it, and has it open: nothing would be won */
    struct job *j = job_new(JOB_DELETE_LOCAL, &it->source, it->relative);
    if (!j) {
        wait_until(in, it, 0); /* at the next turn */
        return;
    }
    j->stamp = it->stamp;
    j->chosen = chosen;
    j->urgent = urgent;
    j->given_up = !it->safe;
    set_state(in, it, DELETING);
    jobs_push(in->workers, j);
}

static void pick_known(const void *node, VISIT which, void *arg)
{
    struct visit *v = arg;
    struct local_snapshot *it = *(struct local_snapshot *const *)node;
    if ((which == postorder || which == leaf) && it->known && (it->safe || is_unpublished(it)))
        collect(v, it);
}

/* By the rules of disk_rule.h. */
static void let_go(struct pending *in, int64_t now, struct disk_need *need)
{
    struct visit v = {.in = in};
    int64_t chosen = clock_ms();
    twalk_r(in->tree, pick_known, &v);
    if (v.n > 1)
        qsort(v.list, v.n, sizeof(struct local_snapshot *), newest_first);
    cleanup_free struct disk_file *files = calloc(v.n + 1, sizeof *files);
    cleanup_free struct disk_file **list = calloc(v.n + 1, sizeof(struct disk_file *));
    for (size_t i = 0; files && list && i < v.n; i++) {
        files[i] = as_file(in, v.list[i], now, need->tidy);
        files[i].folder = i == 0 ? 0 : files[i - 1].folder + (by_folder(v.list[i - 1], v.list[i]) != 0);
        list[i] = &files[i];
    }
    bool urgent = need->free < need->marks.floor;
    if (files && list) /* without memory at the next turn */
        (void)disk_choose(list, v.n, need);
    for (size_t i = 0; files && list && i < v.n; i++)
        if (files[i].going && v.list[i]->state != DELETING)
            delete_locally(in, v.list[i], chosen, urgent || !files[i].safe);
    free(v.list);
}

/* What is safe but for the newest few of each folder, and of deleted collections all. */
static void tidy(struct pending *in, int64_t now)
{
    struct disk_need need = {.free = UINT64_MAX, .keep = in->settings->local_keep, .tidy = true};
    in->tidy = -1;
    let_go(in, now, &need);
}

/* Is there room for Qdrant, and for the snapshot that is to be made? */
static void look_at_disk(struct pending *in, int64_t now)
{
    struct disk_need need = {.marks = disk_marks_of(in->disk)};
    unsigned present = disk_present_number(in->disk);
    if (present != in->present && in->tidy < 0)
        in->tidy = now + TIDY;
    in->present = present;
    if (!disk_left(in->disk, &need.free)) {
        in->look = now + TIDY_LATER; /* no folder yet */
        return;
    }
    disk_looked(in->disk, need.free);
    status_disk(in->status, need.free, need.marks.floor);
    need.wanted = disk_wanted(in->disk, now);
    if (need.free < need.marks.floor || need.wanted > need.free - need.marks.floor)
        let_go(in, now, &need);
    in->look = now + disk_next_look(need.free, need.marks.floor);
}

struct telling {
    struct disk_found *found;
    uint64_t releasable;
    unsigned unpublished;
    int64_t now;
};

static void tell_one(const void *node, VISIT which, void *arg)
{
    const struct local_snapshot *it = *(struct local_snapshot *const *)node;
    struct telling *t = arg;
    if (which != postorder && which != leaf)
        return;
    bool stuck = is_stuck(it, t->now);
    if (is_unpublished(it)) {
        if (stuck) /* one that is on its way, or was found a moment ago, may be on EFS in the next */
            disk_found_one(t->found, &it->source);
        t->unpublished++;
        t->releasable += stuck ? 0 : it->size; /* on its way to EFS */
    } else if (it->safe && (it->state == DONE || stuck))
        t->releasable += it->size;
}

static void tell_disk(struct pending *in, int64_t now)
{
    struct telling t = {.found = disk_found_begin(), .now = now};
    twalk_r(in->tree, tell_one, &t);
    disk_found_end(in->disk, t.found, t.releasable);
    status_unpublished(in->status, t.unpublished);
    in->tell = -1;
}

static int64_t sooner(int64_t a, int64_t b) { return a < 0 || (b >= 0 && b < a) ? b : a; }

/* Returns when to call again. */
static int64_t see_to_disk(struct pending *in, int64_t now)
{
    if (now >= in->look || disk_wanted(in->disk, now) > 0 || disk_present_number(in->disk) != in->present)
        look_at_disk(in, now);
    if (in->tidy >= 0 && in->tidy <= now)
        tidy(in, now);
    if (in->tell == 0)
        in->tell = now + TELL;
    else if (in->tell > 0 && in->tell <= now)
        tell_disk(in, now);
    return sooner(in->look, sooner(in->tell, in->tidy));
}

static int64_t retry_wait(const struct pending *in, const struct local_snapshot *it)
{
    int64_t wait = (int64_t)RETRY_FIRST << (it->attempts < 9 ? it->attempts : 9);
    if (wait < (int64_t)in->failures * RETRY_EACH)
        wait = (int64_t)in->failures * RETRY_EACH;
    int64_t most = in->hurry ? RETRY_HURRY : RETRY_MAX;
    return wait < most ? wait : most;
}

/* None of these sleeps out its wait: all that are not on EFS, or those alone whose last try failed. */
static void hasten(const void *node, VISIT which, void *arg)
{
    struct visit *v = arg;
    struct local_snapshot *it = *(struct local_snapshot *const *)node;
    if ((which == postorder || which == leaf) && it->state == WAITING && (v->failed ? it->failed : !it->safe))
        wait_until(v->in, it, v->now);
}

/* What ailed the others is most likely over for them, too: none sleeps out its wait. */
static void efs_takes_again(struct pending *in, int64_t now)
{
    struct visit v = {.in = in, .now = now, .failed = true};
    if (in->failures > 0)
        twalk_r(in->tree, hasten, &v);
    in->failures = 0;
}

static void publish_result(struct pending *in, struct local_snapshot *it, const struct job *j, int64_t now)
{
    bool on_efs = j->outcome == PUBLISHED || j->outcome == PUBLISH_SAME;
    /* An EFS that cannot be asked takes nothing back. */
    it->safe = !j->local && (on_efs || j->outcome == PUBLISH_EXPIRED || j->outcome == PUBLISH_NOTHING ||
                             (it->safe && j->outcome == PUBLISH_FAILED));
    it->failed = j->outcome == PUBLISH_FAILED;
    if (it->failed)
        memcpy(in->why, j->why, sizeof in->why);
    it->refused = j->outcome == PUBLISH_REFUSED;
    it->bad = j->outcome == PUBLISH_MISMATCH || j->outcome == PUBLISH_CONFLICT;
    it->doubted = it->refused || j->outcome == PUBLISH_WAITS || (it->doubted && j->outcome == PUBLISH_FAILED);
    it->unsafe = !it->safe && j->outcome != PUBLISH_VANISHED;
    if (on_efs) {
        memcpy(it->sha256, j->sha256, sizeof it->sha256);
        efs_takes_again(in, now);
    }
    in->failures += it->failed;
    if (j->outcome == PUBLISH_VANISHED) {
        it->known = false;
        it->again = true;
    }
    if ((j->outcome == PUBLISH_FAILED || j->outcome == PUBLISH_WAITS) && !in->once) {
        wait_until(in, it, now + retry_wait(in, it));
        it->attempts++;
        return;
    }
    it->attempts = 0;
    if (it->again)
        wait_until(in, it, now);
}

static void result(struct pending *in, const struct job *j, int64_t now)
{
    struct local_snapshot *it = find(in, j->relative);
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

/* A look found EFS usable, before any of those that wait was tried again. */
static void look_at_efs(struct pending *in, int64_t now)
{
    bool bad = jobs_efs_bad(in->workers);
    if (in->efs_bad && !bad)
        efs_takes_again(in, now);
    in->efs_bad = bad;
}

static void find_due(const void *node, VISIT which, void *arg)
{
    struct visit *v = arg;
    struct local_snapshot *it = *(struct local_snapshot *const *)node;
    if ((which != postorder && which != leaf) || it->state != WAITING)
        return;
    if (it->due <= v->now)
        collect(v, it);
    else if (v->in->next < 0 || it->due < v->in->next)
        v->in->next = it->due;
}

int64_t pending_step(struct pending *in, int64_t now)
{
    for (struct job *j; (j = jobs_take_done(in->workers));) {
        result(in, j, now);
        job_free(j);
    }
    look_at_efs(in, now);
    if (in->next >= 0 && in->next <= now) {
        struct visit v = {.in = in, .now = now};
        in->next = -1;
        twalk_r(in->tree, find_due, &v);
        for (size_t i = 0; i < v.n; i++)
            look(in, v.list[i], now);
        free(v.list);
    }
    if (in->once && pending_busy(in))
        return in->next; /* what becomes safe is tidied at the end, all at once */
    if (in->hurry)
        return in->next;
    if (!in->once)
        return sooner(in->next, see_to_disk(in, now));
    if (in->tidy >= 0 && in->tidy <= now)
        tidy(in, now);
    return sooner(in->next, in->tidy);
}

struct oldest {
    time_t when;
    unsigned failing;
};

static void find_oldest(const void *node, VISIT which, void *arg)
{
    const struct local_snapshot *it = *(struct local_snapshot *const *)node;
    struct oldest *o = arg;
    if (which == postorder || which == leaf)
        o->failing += it->failed && (it->state == WAITING || it->state == QUEUED);
    if ((which == postorder || which == leaf) && (it->state == WAITING || it->state == QUEUED) && it->known &&
        !it->safe && (!o->when || it->stamp.mtime.tv_sec < o->when))
        o->when = it->stamp.mtime.tv_sec;
}

struct status_queue pending_queue(const struct pending *in)
{
    struct status_queue q = {.waiting = (unsigned)in->waiting, .publishing = (unsigned)in->queued};
    struct oldest o = {0};
    if (pending_busy(in))
        twalk_r(in->tree, find_oldest, &o);
    double age = o.when ? difftime(time(NULL), o.when) : 0;
    q.oldest = age > 0 ? age : 0;
    q.failing = o.failing;
    if (q.failing > 0)
        memcpy(q.why, in->why, sizeof q.why);
    return q;
}

bool pending_busy(const struct pending *in) { return in->waiting > 0 || in->queued > 0; }

static void count_unsafe(const void *node, VISIT which, void *arg)
{
    if (which == postorder || which == leaf)
        *(unsigned *)arg += (*(struct local_snapshot *const *)node)->unsafe;
}
unsigned pending_unsafe(const struct pending *in)
{
    unsigned n = 0;
    twalk_r(in->tree, count_unsafe, &n);
    return n;
}

/* --- a stop */

void pending_hurry(struct pending *in, int64_t now)
{
    struct visit v = {.in = in, .now = now};
    in->hurry = true;
    twalk_r(in->tree, hasten, &v);
}

static bool is_open(const struct local_snapshot *it)
{
    return (it->state == WAITING || it->state == QUEUED) && !it->safe;
}
static void count_open(const void *node, VISIT which, void *arg)
{
    if (which == postorder || which == leaf)
        *(unsigned *)arg += is_open(*(struct local_snapshot *const *)node);
}
unsigned pending_hurried(const struct pending *in)
{
    unsigned n = 0;
    if (pending_busy(in))
        twalk_r(in->tree, count_open, &n);
    return n;
}

struct left {
    unsigned n;
    char names[1500];
};
static void name_left(const void *node, VISIT which, void *arg)
{
    const struct local_snapshot *it = *(struct local_snapshot *const *)node;
    struct left *l = arg;
    size_t used = strlen(l->names), more = strlen(it->relative) + 3;
    if ((which != postorder && which != leaf) || (!is_open(it) && !it->left))
        return;
    if (used + more < sizeof l->names)
        (void)snprintf(l->names + used, sizeof l->names - used, "%s%s", l->n > 0 ? ", " : "", it->relative);
    l->n++;
}
void pending_say_left(const struct pending *in)
{
    struct left l = {0};
    twalk_r(in->tree, name_left, &l);
    if (l.n > 0)
        log_line(LOG_ERROR, "left_unpublished",
                 "%u snapshots were not on EFS when the time for the stop was over, and are on the local "
                 "disk alone: %s",
                 l.n, l.names);
}
