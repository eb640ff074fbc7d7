#include "replicator/publish/watch.h"
#include "common/base/cleanup.h"
#include "common/base/files.h"
#include "common/base/text.h"
#include "common/log.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HOURLY = 3600000, WITHOUT_WATCHES = 30000, NOT_THERE = 1000, LOOK = 30000 };
static const uint32_t MASK =
    IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CLOSE_WRITE | IN_ONLYDIR | IN_EXCL_UNLINK;

struct watch {
    const struct settings *settings;
    struct pending *pending;
    int fd;
    char **dir; /* relative folder by watch descriptor; descriptors are small and grow */
    size_t dirs;
    bool short_of_watches, warned;
    bool incomplete; /* the last scan could not list all that is there */
    int said;        /* errno of SNAPSHOTS_DIR that was reported, so that it is said once */
    int64_t scan_due, reconcile_due, look_due;
    bool known; /* the folder that is watched as SNAPSHOTS_DIR: */
    dev_t device;
    ino_t inode;
};

struct watch *watch_new(const struct settings *s, struct pending *in, bool events)
{
    struct watch *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    *w = (struct watch){
        .settings = s, .pending = in, .fd = events ? inotify_init1(IN_NONBLOCK | IN_CLOEXEC) : -1};
    if (events && w->fd < 0)
        log_line(LOG_WARN, "no_inotify", "inotify_init1: %s; scanning every %d s instead", strerror(errno),
                 WITHOUT_WATCHES / 1000);
    return w;
}

void watch_free(struct watch *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < w->dirs; i++)
        free(w->dir[i]);
    free(w->dir);
    if (w->fd >= 0)
        (void)close(w->fd);
    free(w);
}

int watch_fd(const struct watch *w) { return w->fd; }
bool watch_incomplete(const struct watch *w) { return w->incomplete; }
int64_t watch_scan_due(const struct watch *w) { return w->scan_due; }

/* An EFS_ROOT inside SNAPSHOTS_DIR is no source, else its own files would come round again. Compared as text:
 * a look at EFS could hang. */
static bool is_efs(const struct watch *w, const char *path)
{
    const struct settings *s = w->settings;
    return strcmp(path, s->base) == 0 ||
           (strcmp(path, s->efs_root) == 0 && strcmp(path, s->snapshots_dir) != 0);
}

/* Collections at the top (but Qdrant's tmp), "shards" below one, numbers below that. */
static bool wanted_folder(const char *relative)
{
    const char *slash = strchr(relative, '/');
    if (!slash)
        return strcmp(relative, "tmp") != 0;
    if (strncmp(slash + 1, "shards", 6) != 0)
        return false;
    slash += 7;
    if (!*slash)
        return true;
    return *slash == '/' && slash[1] && strspn(slash + 1, "0123456789") == strlen(slash + 1);
}

static void forget_watch(struct watch *w, size_t at)
{
    free(w->dir[at]);
    w->dir[at] = NULL;
}

/* Note which folder a watch is for; a folder that was renamed comes back with the watch it had. */
static void name_watch(struct watch *w, size_t at, const char *relative)
{
    if (at >= w->dirs) {
        size_t size = at + 256;
        char **grown = realloc(w->dir, size * sizeof *grown);
        if (!grown) {
            w->short_of_watches = true;
            return;
        }
        memset(grown + w->dirs, 0, (size - w->dirs) * sizeof *grown);
        w->dir = grown;
        w->dirs = size;
    }
    if (w->dir[at] && strcmp(w->dir[at], relative) == 0)
        return;
    forget_watch(w, at);
    w->dir[at] = strdup(relative);
    if (!w->dir[at])
        w->short_of_watches = true;
}

static void add_watch(struct watch *w, const char *path, const char *relative)
{
    if (w->fd < 0)
        return;
    /* SNAPSHOTS_DIR itself may be a link; what is in it may not lead elsewhere. */
    int wd = inotify_add_watch(w->fd, path, *relative ? MASK | IN_DONT_FOLLOW : MASK | IN_MOVE_SELF);
    if (wd >= 0) {
        name_watch(w, (size_t)wd, relative);
        return;
    }
    if (errno == ENOENT || errno == ENOTDIR)
        return;
    w->short_of_watches = true;
    if (!w->warned)
        log_line(LOG_WARN, "no_watch", "cannot watch %s: %s; scanning every %d s instead%s", path,
                 strerror(errno), WITHOUT_WATCHES / 1000,
                 errno == ENOSPC ? " (fs.inotify.max_user_watches is used up)" : "");
    w->warned = true;
}

/* Qdrant puts the snapshots of a collection named "tmp" into its own temporary folder, and empties that at
 * each start: such a collection cannot be backed up, and better its owner knows. */
static void warn_of_tmp(struct watch *w)
{
    char path[PATH_MAX];
    if (files_join(path, sizeof path, w->settings->snapshots_dir, "tmp", NULL) != 0)
        return;
    cleanup_dir DIR *d = opendir(path);
    for (struct dirent *de; d && (de = readdir(d));)
        if (strncmp(de->d_name, "tmp-", 4) == 0 && text_ends(de->d_name, ".snapshot.checksum")) {
            log_line(LOG_ERROR, "collection_tmp",
                     "the collection \"tmp\" is NOT backed up: Qdrant keeps its snapshots in its own "
                     "temporary folder %s; use another name for the collection",
                     path);
            return;
        }
}

/* What to do with each snapshot found: a new folder's are news, a full scan's may be known. */
typedef void found(struct pending *in, const char *relative, int64_t now);
static bool scan_folder(struct watch *w, const char *relative, found *tell, int64_t now);

static void scan_one(struct watch *w, const char *relative, const struct dirent *de, found *tell, int64_t now)
{
    char sub[PATH_MAX], path[PATH_MAX];
    struct stat st;
    int n = snprintf(sub, sizeof sub, "%s%s%s", relative, *relative ? "/" : "", de->d_name);
    if (n < 0 || (size_t)n >= sizeof sub)
        return;
    unsigned char type = de->d_type;
    if (type == DT_UNKNOWN && files_join(path, sizeof path, w->settings->snapshots_dir, sub, NULL) == 0 &&
        lstat(path, &st) == 0)
        type = S_ISDIR(st.st_mode) ? DT_DIR : DT_REG;
    if (type == DT_DIR && wanted_folder(sub))
        (void)scan_folder(w, sub, tell, now);
    else if (type != DT_DIR && text_ends(sub, ".snapshot"))
        tell(w->pending, sub, now);
}

/* False, so that it can be returned. A folder that went away is none of our business. */
static bool cannot_list(struct watch *w, const char *path, const char *relative)
{
    int why = errno;
    if (why == ENOENT || why == ENOTDIR)
        return false;
    w->incomplete = true;
    if (*relative || w->said != why)
        log_line(LOG_ERROR, "scan_failed", "cannot list %s: %s; its snapshots are NOT backed up", path,
                 strerror(why));
    if (!*relative)
        w->said = why;
    return false;
}

/* Watch first, then scan: Qdrant makes a collection's folder and writes into it at once. */
static bool scan_folder(struct watch *w, const char *relative, found *tell, int64_t now)
{
    char path[PATH_MAX];
    if (*relative ? files_join(path, sizeof path, w->settings->snapshots_dir, relative, NULL) != 0
                  : (size_t)snprintf(path, sizeof path, "%s", w->settings->snapshots_dir) >= sizeof path)
        return false;
    if (is_efs(w, path))
        return true;
    add_watch(w, path, relative);
    cleanup_dir DIR *d = opendir(path);
    if (!d)
        return cannot_list(w, path, relative);
    w->said = *relative ? w->said : 0;
    for (;;) {
        errno = 0;
        struct dirent *de = readdir(d);
        if (!de)
            return errno == 0 || cannot_list(w, path, relative) || *relative;
        if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
            scan_one(w, relative, de, tell, now);
    }
}

static bool is_another(const struct watch *w, const struct stat *st)
{
    return w->known && (st->st_dev != w->device || st->st_ino != w->inode);
}

int64_t watch_look(struct watch *w, int64_t now)
{
    struct stat st;
    if (now < w->look_due)
        return w->look_due;
    w->look_due = now + LOOK;
    if (stat(w->settings->snapshots_dir, &st) == 0 ? is_another(w, &st) : w->known)
        w->scan_due = now;
    return w->look_due;
}

/* The watches are of the folder that was there, whatever its name is now: with a descriptor of its own for
 * the new one, no event can be taken for one of the other. */
static void watch_anew(struct watch *w)
{
    struct stat st;
    if (stat(w->settings->snapshots_dir, &st) != 0)
        return;
    if (is_another(w, &st)) {
        log_line(LOG_WARN, "snapshots_dir_replaced",
                 "%s is another folder now, made anew or mounted over; it is watched, and what is in it is "
                 "published",
                 w->settings->snapshots_dir);
        for (size_t i = 0; i < w->dirs; i++)
            forget_watch(w, i);
        int fd = w->fd >= 0 ? inotify_init1(IN_NONBLOCK | IN_CLOEXEC) : -1;
        if (w->fd >= 0)
            (void)close(w->fd);
        w->fd = fd; /* -1: scanned every WITHOUT_WATCHES instead */
    }
    w->known = true;
    w->device = st.st_dev;
    w->inode = st.st_ino;
}

bool watch_scan(struct watch *w, int64_t now, bool *reconcile)
{
    watch_anew(w);
    *reconcile = now >= w->reconcile_due;
    w->short_of_watches = w->fd < 0;
    w->incomplete = false;
    pending_scan_begin(w->pending, *reconcile);
    bool there = scan_folder(w, "", pending_found, now);
    if (there && !w->incomplete)
        pending_scan_end(w->pending);
    if (there && *reconcile) {
        w->reconcile_due = now + HOURLY;
        warn_of_tmp(w);
    }
    w->scan_due = !there                ? now + (w->said ? WITHOUT_WATCHES : NOT_THERE)
                  : w->short_of_watches ? now + WITHOUT_WATCHES
                                        : w->reconcile_due;
    return there;
}

static void one_event(struct watch *w, const struct inotify_event *ev, int64_t now)
{
    char rel[PATH_MAX];
    if (ev->mask & IN_Q_OVERFLOW) {
        log_line(LOG_WARN, "overflow", "the kernel dropped file events; scanning all of %s",
                 w->settings->snapshots_dir);
        w->scan_due = now;
        return;
    }
    if (ev->wd < 0 || (size_t)ev->wd >= w->dirs || !w->dir[ev->wd])
        return;
    if (ev->mask & IN_IGNORED) {
        if (!*w->dir[ev->wd])
            w->scan_due = now; /* SNAPSHOTS_DIR itself was removed: wait for it to come back */
        forget_watch(w, (size_t)ev->wd);
        return;
    }
    if ((ev->mask & IN_MOVE_SELF) && !*w->dir[ev->wd])
        w->scan_due = now;
    if (ev->len == 0)
        return;
    const char *dir = w->dir[ev->wd];
    int n = snprintf(rel, sizeof rel, "%s%s%s", dir, *dir ? "/" : "", ev->name);
    if (n < 0 || (size_t)n >= sizeof rel)
        return;
    bool arrived = ev->mask & (IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE),
         left = ev->mask & (IN_MOVED_FROM | IN_DELETE);
    if (ev->mask & IN_ISDIR) {
        if (arrived && wanted_folder(rel))
            (void)scan_folder(w, rel, pending_note, now);
        else if (left && (ev->mask & IN_MOVED_FROM))
            w->scan_due =
                now; /* all that was in it is elsewhere now, under watches that still have its name */
    } else if (text_ends(rel, ".snapshot.checksum")) {
        rel[strlen(rel) - strlen(".checksum")] = 0;
        if (arrived)
            pending_note(w->pending, rel, now);
    } else if (text_ends(rel, ".snapshot")) {
        if (arrived)
            pending_note(w->pending, rel, now);
        else if (left)
            pending_forget(w->pending, rel);
    }
}

void watch_read(struct watch *w, int64_t now)
{
    _Alignas(struct inotify_event) char buf[65536];
    for (;;) {
        ssize_t n = read(w->fd, buf, sizeof buf);
        if (n <= 0) {
            if (n < 0 && errno != EAGAIN && errno != EINTR)
                log_line(LOG_ERROR, "internal", "reading file events: %s", strerror(errno));
            return;
        }
        for (char *p = buf; p < buf + n;) {
            const struct inotify_event *ev = (const struct inotify_event *)(const void *)p;
            one_event(w, ev, now);
            p += sizeof *ev + ev->len;
        }
        if (w->short_of_watches && w->scan_due > now + WITHOUT_WATCHES)
            w->scan_due = now + WITHOUT_WATCHES;
    }
}
