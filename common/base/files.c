#include "common/base/files.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { REMOVE_DEEP = 32, REMOVE_TRIES = 20, REMOVE_PAUSE_MS = 100 };

int files_each(const char *dir, int (*visit)(const struct dirent *de, void *arg, struct err *e), void *arg,
               struct err *e)
{
    cleanup_dir DIR *d = opendir(dir);
    if (!d)
        return errno == ENOENT || errno == ENOTDIR
                   ? 0
                   : err_set(e, errno, "cannot list", dir, "check who owns it");
    for (;;) {
        errno = 0;
        const struct dirent *de = readdir(d);
        if (!de)
            return errno ? err_set(e, errno, "cannot list", dir, NULL) : 0;
        if (de->d_name[0] != '.' && visit(de, arg, e) != 0)
            return -1;
    }
}

int files_server_time(const char *dir, time_t *now, struct err *e)
{
    char path[PATH_MAX];
    struct stat st;
    if (files_partial(dir, path, sizeof path, e) != 0)
        return -1;
    cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set(e, errno, "cannot create", path, "check who may write there");
    int rc = fstat(fd, &st) == 0 ? 0 : err_set(e, errno, "cannot look at", path, NULL);
    if (unlink(path) != 0 && errno != ENOENT && rc == 0)
        rc = err_set(e, errno, "cannot delete", path, NULL);
    if (rc == 0)
        *now = st.st_mtime;
    return rc;
}

int files_join(char *out, size_t size, const char *dir, const char *name, struct err *e)
{
    int n = snprintf(out, size, "%s/%s", dir, name);
    if (n < 0 || (size_t)n >= size)
        return err_set(e, ENAMETOOLONG, "cannot use", dir, "use a shorter root");
    return 0;
}

int files_sync_dir(const char *path, struct err *e)
{
    cleanup_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* EINVAL: a file system that has nothing to sync about a folder. */
    if (fd < 0 || (fsync(fd) != 0 && errno != EINVAL))
        return err_set(e, errno, "cannot sync folder", path, NULL);
    return 0;
}

/* Of text, folders and data. */
static mode_t text_mode = 0644, folder_mode = 0755, data_mode = 0600;

void files_modes(mode_t text, mode_t folder, mode_t data)
{
    text_mode = text;
    folder_mode = folder;
    data_mode = data;
}

mode_t files_data_mode(void) { return data_mode; }

int files_mkdirs(const char *root, const char *relative, struct err *e)
{
    char path[PATH_MAX], parent[PATH_MAX];
    if (files_join(path, sizeof path, root, relative, e) != 0)
        return -1;
    for (char *p = path + strlen(root) + 1;; p++) {
        p = strchrnul(p, '/');
        char keep = *p;
        *p = 0;
        if (mkdir(path, folder_mode) == 0) {
            (void)snprintf(parent, sizeof parent, "%s", path);
            *strrchr(parent, '/') = 0;
            if (files_sync_dir(*parent ? parent : "/", e) != 0)
                return -1;
        } else if (errno != EEXIST) {
            return err_set(e, errno, "cannot make folder", path,
                           "check that EFS is mounted read-write and who owns it");
        }
        *p = keep;
        if (!keep)
            return 0;
    }
}

/* An error is no matter: whoever uses the folder next finds it. */
static void ask_server(const char *path)
{
    struct statx st;
    (void)statx(AT_FDCWD, path, AT_STATX_FORCE_SYNC, STATX_MTIME, &st);
}

void files_refresh(const char *root, const char *relative)
{
    ask_server(root);
    files_refresh_below(root, relative);
}

void files_refresh_below(const char *root, const char *relative)
{
    char path[PATH_MAX];
    if (files_join(path, sizeof path, root, relative, NULL) != 0)
        return;
    for (char *p = path + strlen(root) + 1;; p++) {
        p = strchrnul(p, '/');
        char keep = *p;
        *p = 0;
        ask_server(path);
        *p = keep;
        if (!keep)
            return;
    }
}

int files_write_all(int fd, const void *data, size_t n, const char *path, struct err *e)
{
    const char *p = data;
    while (n > 0) {
        ssize_t did = write(fd, p, n);
        if (did < 0 && errno == EINTR)
            continue;
        if (did <= 0)
            return err_set(e, did < 0 ? errno : EIO, "cannot write", path, NULL);
        p += did;
        n -= (size_t)did;
    }
    return 0;
}

int files_sync_close(int *fd, const char *path, struct err *e)
{
    int rc = fsync(*fd) == 0 ? 0 : err_set(e, errno, "cannot sync", path, NULL);
    if (close(*fd) != 0 && rc == 0)
        rc = err_set(e, errno, "cannot close", path, NULL);
    *fd = -1;
    return rc;
}

int files_rename(const char *from, const char *to, struct err *e)
{
    struct stat before, after;
    if (stat(from, &before) != 0)
        return err_set(e, errno, "cannot find", from, NULL);
    if (rename(from, to) == 0)
        return 0;
    int why = errno;
    if (stat(to, &after) == 0 && after.st_ino == before.st_ino && after.st_dev == before.st_dev)
        return 0;
    return err_set(e, why, "cannot rename to", to, NULL);
}

/* "HOST-NAMESPACE": containers of one task share a host name, but not their process numbers. */
static void place_name(char place[100])
{
    char host[65] = "";
    struct stat ns = {0};
    if (gethostname(host, sizeof host) != 0)
        host[0] = 0;
    host[64] = 0;
    (void)stat("/proc/self/ns/pid", &ns); /* without /proc all are taken for one */
    (void)snprintf(place, 100, "%s-%llx", host, (unsigned long long)ns.st_ino);
}

/* Tells this process from an earlier one of the same number on this host: restarted containers often
 * start with the same. */
static unsigned long long process_token(void)
{
    static _Atomic unsigned long long token;
    unsigned long long none = 0;
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail with this clock */
    (void)atomic_compare_exchange_strong(
        &token, &none, (unsigned long long)now.tv_sec * 1000000000ULL + (unsigned long long)now.tv_nsec + 1);
    return atomic_load(&token);
}

int files_partial(const char *dir, char *out, size_t size, struct err *e)
{
    static atomic_uint serial; /* unique among this process's threads */
    char place[100], name[200];
    place_name(place);
    (void)snprintf(name, sizeof name, "%s%s-%ld-%llx-%u", FILES_PARTIAL, place, (long)getpid(),
                   process_token(), atomic_fetch_add(&serial, 1));
    return files_join(out, size, dir, name, e);
}

bool files_partial_orphan(const char *name)
{
    char place[100], mine[120], token[24];
    place_name(place);
    int n = snprintf(mine, sizeof mine, "%s%s-", FILES_PARTIAL, place);
    if (n <= 0 || strncmp(name, mine, (size_t)n) != 0)
        return false;
    char *end = NULL;
    long pid = strtol(name + n, &end, 10);
    if (pid <= 0 || *end != '-')
        return false;
    (void)snprintf(token, sizeof token, "-%llx-", process_token());
    if (pid == getpid())
        return strncmp(end, token, strlen(token)) != 0;
    return kill((pid_t)pid, 0) != 0 && errno == ESRCH;
}

bool files_partial_before_restart(const char *name)
{
    char place[100], prefix[120];
    place_name(place);
    int whole = snprintf(prefix, sizeof prefix, "%s%s-", FILES_PARTIAL, place);
    int host = (int)strlen(FILES_PARTIAL) + (int)(strrchr(place, '-') - place) + 1;
    return strncmp(name, prefix, (size_t)host) == 0 && strncmp(name, prefix, (size_t)whole) != 0;
}

void files_sweep_small(const char *dir)
{
    enum { ABANDONED = 3600 };
    struct stat st;
    cleanup_dir DIR *d = opendir(dir);
    for (struct dirent *de; d && (de = readdir(d));)
        if (strncmp(de->d_name, FILES_PARTIAL, strlen(FILES_PARTIAL)) == 0 &&
            (files_partial_orphan(de->d_name) ||
             (fstatat(dirfd(d), de->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
              time(NULL) - st.st_mtime > ABANDONED)))
            (void)unlinkat(dirfd(d), de->d_name, 0); /* best effort */
}

int files_name_new(const char *from, const char *to, struct err *e)
{
    struct stat ours, theirs;
    if (link(from, to) != 0) {
        int why = errno;
        if (why == EPERM || why == EOPNOTSUPP || why == ENOSYS || why == EMLINK)
            return lstat(to, &theirs) == 0 ? 1 : files_rename(from, to, e);
        /* A retried RPC finds the name taken by what it did itself the first time. */
        if (stat(from, &ours) != 0 || stat(to, &theirs) != 0 || ours.st_ino != theirs.st_ino ||
            ours.st_dev != theirs.st_dev)
            return why == EEXIST ? 1 : err_set(e, why, "cannot link to", to, NULL);
    }
    if (unlink(from) != 0 && errno != ENOENT)
        return err_set(e, errno, "cannot delete", from, NULL);
    return 0;
}

int files_give(int fd, const char *path, const struct stat *like, struct err *e)
{
    struct stat st; /* a server may give each file one owner, whoever we are */
    if (fstat(fd, &st) != 0)
        return err_set(e, errno, "cannot look at", path, NULL);
    if (st.st_uid != like->st_uid && fchown(fd, like->st_uid, like->st_gid) != 0)
        return err_set(e, errno, "cannot give to the owner of the other backups:", path,
                       "run it as the user that the tasks have");
    return fchmod(fd, like->st_mode & 0777) == 0 ? 0
                                                 : err_set(e, errno, "cannot set the mode of", path, NULL);
}

/* `like` may be NULL. */
static int write_partial(const char *partial, const void *data, size_t n, const struct stat *like,
                         struct err *e)
{
    cleanup_close int fd = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, text_mode);
    if (fd < 0)
        return err_set(e, errno, "cannot create", partial, NULL);
    if ((like && files_give(fd, partial, like, e) != 0) || files_write_all(fd, data, n, partial, e) != 0)
        return -1;
    return files_sync_close(&fd, partial, e);
}

static int put(const char *dir, const char *name, const void *data, size_t n, const struct stat *like,
               int (*name_it)(const char *, const char *, struct err *), struct err *e)
{
    char partial[PATH_MAX], final[PATH_MAX];
    if (files_partial(dir, partial, sizeof partial, e) != 0 ||
        files_join(final, sizeof final, dir, name, e) != 0)
        return -1;
    int rc = write_partial(partial, data, n, like, e);
    if (rc == 0)
        rc = name_it(partial, final, e);
    if (rc != 0)
        (void)unlink(partial); /* best effort: the sweep finds what is left */
    return rc != 0 ? rc : files_sync_dir(dir, e);
}

int files_put(const char *dir, const char *name, const char *text, struct err *e)
{
    return put(dir, name, text, strlen(text), NULL, files_rename, e);
}

int files_put_new(const char *dir, const char *name, const char *text, struct err *e)
{
    return put(dir, name, text, strlen(text), NULL, files_name_new, e);
}

int files_put_new_bytes(const char *dir, const char *name, const void *data, size_t n, struct err *e)
{
    return put(dir, name, data, n, NULL, files_name_new, e);
}

int files_put_like(const char *dir, const char *name, const void *data, size_t n, const struct stat *like,
                   struct err *e)
{
    return put(dir, name, data, n, like, files_rename, e);
}

char *files_get_sized(const char *path, size_t max, size_t *got, struct err *e)
{
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0)
        return (void)err_set(e, errno, "cannot read", path, NULL), NULL;
    if (!S_ISREG(st.st_mode) || (size_t)st.st_size > max)
        return (void)err_set(e, S_ISREG(st.st_mode) ? EFBIG : EINVAL, "cannot read", path, NULL), NULL;
    size_t size = (size_t)st.st_size, done = 0;
    char *text = malloc(size + 1);
    if (!text)
        return (void)err_set(e, ENOMEM, "cannot read", path, NULL), NULL;
    while (done < size) {
        ssize_t n = read(fd, text + done, size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    text[done] = 0;
    if (done != size) {
        free(text);
        return (void)err_set(e, EIO, "cut short", path, NULL), NULL;
    }
    *got = size;
    return text;
}

char *files_get(const char *path, size_t max, struct err *e)
{
    size_t ignored;
    return files_get_sized(path, max, &ignored, e);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    (void)st;
    (void)type;
    return walk->level > 0 && remove(path) != 0 && errno != ENOENT ? -1 : 0;
}

int files_empty_dir(const char *path, struct err *e)
{
    for (int i = 0;
         nftw(path, remove_one, REMOVE_DEEP, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) != 0 && errno != ENOENT; i++) {
        if (i == REMOVE_TRIES)
            return err_set(e, errno, "cannot remove what is in", path, "remove it by hand");
        clock_sleep(REMOVE_PAUSE_MS);
    }
    return 0;
}

int files_remove_dir(const char *path, struct err *e)
{
    if (files_empty_dir(path, e) != 0)
        return -1;
    return rmdir(path) == 0 || errno == ENOENT ? 0 : err_set(e, errno, "cannot remove", path, NULL);
}
