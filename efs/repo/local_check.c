#include "efs/repo/local_check.h"
#include "common/base/cleanup.h"
#include "common/base/files.h"
#include "common/base/text.h"
#include "efs/repo/backup.h"
#include "efs/repo/mount.h"
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 4096 };

const char *check_state_text(enum check_state s)
{
    static const char *const text[] = {"ok", "off", "WARNING", "FAILED"};
    return text[s];
}

/* --- rules */

static enum check_state rule(enum check_state s, const char **remedy, const char *what)
{
    *remedy = what;
    return s;
}

enum check_state check_mount_rule(const struct check_mount *m, const char **remedy)
{
    if (!m->network && !m->allowed_local)
        return rule(CHECK_FAILED, remedy,
                    "mount EFS there; EFS_ALLOW_LOCAL=1 allows a local disk, for a laptop or a test");
    if (m->soft)
        return rule(CHECK_WARNING, remedy,
                    "mount it with hard: a soft mount makes errors of what only takes long");
    return rule(CHECK_OK, remedy, NULL);
}

enum check_state check_clock_rule(long apart, const char **remedy)
{
    long n = apart < 0 ? -apart : apart;
    if (n > BACKUP_AHEAD)
        return rule(CHECK_FAILED, remedy, "set this machine's clock: backups get the times of EFS's server");
    return n > CHECK_CLOCK ? rule(CHECK_WARNING, remedy, "set this machine's clock, best by NTP or chrony")
                           : rule(CHECK_OK, remedy, NULL);
}

enum check_state check_write_rule(long ms, const char **remedy)
{
    return ms > CHECK_WRITE_MS
               ? rule(CHECK_WARNING, remedy,
                      "look at the file system's PercentIOLimit and throughput mode; elastic is quickest")
               : rule(CHECK_OK, remedy, NULL);
}

/* --- telling */

__attribute__((format(printf, 5, 6))) static void say(const struct local_check *c, enum check_state state,
                                                      const char *name, const char *remedy, const char *fmt,
                                                      ...)
{
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    c->say(c->arg, state, name, remedy, text);
}

/* --- the mount */

/* Of the longest mount point on the way to `path`. False when that cannot be told. */
static bool find_mount(const char *path, char type[64], char options[512])
{
    char real[PATH_MAX], line[4096];
    struct mntent m;
    size_t longest = 0;
    FILE *f = realpath(path, real) ? setmntent("/proc/self/mounts", "re") : NULL;
    while (f && getmntent_r(f, &m, line, sizeof line)) {
        size_t n = strlen(m.mnt_dir);
        bool on_way = strncmp(real, m.mnt_dir, n) == 0 && (n == 1 || !real[n] || real[n] == '/');
        if (!on_way || n < longest)
            continue;
        longest = n; /* of two at one place the later one counts */
        (void)snprintf(type, 64, "%.63s", m.mnt_type);
        (void)snprintf(options, 512, "%.511s", m.mnt_opts);
    }
    if (f)
        (void)endmntent(f); /* always 1 */
    return longest > 0;
}

static bool has_option(const char *options, const char *name)
{
    char copy[512];
    const struct mntent m = {.mnt_opts = copy};
    (void)snprintf(copy, sizeof copy, "%s", options);
    return hasmntopt(&m, name) != NULL;
}

static bool look_at_mount(const struct local_check *c, struct check_mount *m)
{
    char type[64] = "", options[512] = "";
    const char *remedy, *root = c->root;
    struct statvfs fs;
    struct stat st;
    bool there = statvfs(root, &fs) == 0 && stat(root, &st) == 0;
    if (!there || !S_ISDIR(st.st_mode)) {
        say(c, CHECK_FAILED, "mount", "mount EFS there, or set EFS_ROOT to where it is", "%s: %s", root,
            strerror(there ? ENOTDIR : errno));
        return false;
    }
    (void)find_mount(root, type, options);
    *m = (struct check_mount){.network = mount_on_network(root, c->settings->snapshots_dir),
                              .allowed_local = c->settings->allow_local,
                              .soft = has_option(options, "soft") || has_option(options, "softerr"),
                              .read_only = (fs.f_flag & ST_RDONLY) != 0};
    enum check_state state = check_mount_rule(m, &remedy);
    say(c, state, "mount", remedy, "%s: %s%s%s%s%s", root,
        m->network ? "a network file system" : "a local disk", *type ? ", " : "", type, *options ? ": " : "",
        options);
    return true;
}

/* --- writing */

struct written {
    long ms[LOCAL_CHECK_ROUNDS]; /* each create, write, sync, read and delete */
};

static int write_once(const char *path, struct err *e)
{
    char block[BLOCK], back[BLOCK];
    memset(block, 'x', sizeof block);
    cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set(e, errno, "cannot create", path, NULL);
    if (files_write_all(fd, block, sizeof block, path, e) != 0 || files_sync_close(&fd, path, e) != 0)
        return -1;
    cleanup_close int in = open(path, O_RDONLY | O_CLOEXEC);
    if (in < 0 || read(in, back, sizeof back) != (ssize_t)sizeof back)
        return err_set(e, errno, "cannot read again", path, NULL);
    return memcmp(block, back, sizeof block) == 0 ? 0
                                                  : err_set(e, 0, "reads otherwise than written", path, NULL);
}

static long ms_since(const struct timespec *a)
{
    struct timespec b;
    (void)clock_gettime(CLOCK_MONOTONIC, &b); /* cannot fail */
    return (b.tv_sec - a->tv_sec) * 1000 + (b.tv_nsec - a->tv_nsec) / 1000000;
}

static int write_all(const char *dir, int rounds, struct written *w, struct err *e)
{
    for (int i = 0; i < rounds; i++) {
        char path[PATH_MAX];
        struct timespec begun;
        (void)clock_gettime(CLOCK_MONOTONIC, &begun); /* cannot fail */
        if (files_partial(dir, path, sizeof path, e) != 0)
            return -1;
        int rc = write_once(path, e);
        if (unlink(path) != 0 && rc == 0)
            rc = err_set(e, errno, "cannot delete", path, NULL);
        if (rc != 0)
            return -1;
        w->ms[i] = ms_since(&begun);
    }
    return 0;
}

static int by_size(const void *a, const void *b)
{
    long x = *(const long *)a, y = *(const long *)b;
    return (x > y) - (x < y);
}

static void look_at_writing(const struct local_check *c, const char *dir)
{
    struct written w = {{0}};
    struct err e = {0};
    const char *remedy;
    if (write_all(dir, c->rounds, &w, &e) != 0) {
        say(c, CHECK_FAILED, "write",
            "let this user write there: an access point of its uid, or chown; and its IAM rights", "%s",
            e.text);
        return;
    }
    qsort(w.ms, (size_t)c->rounds, sizeof *w.ms, by_size);
    enum check_state state = check_write_rule(w.ms[c->rounds / 2], &remedy);
    say(c, state, "write", remedy, "4 KiB created, synced, read and deleted %d times: %ld ms, at most %ld ms",
        c->rounds, w.ms[c->rounds / 2], w.ms[c->rounds - 1]);
}

static void look_at_clock(const struct local_check *c, const char *dir)
{
    struct err e = {0};
    const char *remedy;
    time_t server, now;
    if (files_server_time(dir, &server, &e) != 0) {
        say(c, CHECK_FAILED, "clock", "see the line above", "%s", e.text);
        return;
    }
    now = time(NULL);
    enum check_state state = check_clock_rule((long)(now - server), &remedy);
    if (now == server)
        say(c, state, "clock", remedy, "as that of EFS's server");
    else
        say(c, state, "clock", remedy, "%ld s %s that of EFS's server", labs((long)(now - server)),
            now > server ? "ahead of" : "behind");
}

void local_check_efs(const struct local_check *c)
{
    struct check_mount m;
    struct stat st;
    char tree[PATH_MAX];
    const char *name = strrchr(c->settings->base, '/'), *dir = c->root;
    if (name && files_join(tree, sizeof tree, c->root, name + 1, NULL) == 0 && stat(tree, &st) == 0 &&
        S_ISDIR(st.st_mode))
        dir = tree;
    if (!look_at_mount(c, &m) || c->rounds == 0)
        return;
    if (m.read_only) {
        say(c, CHECK_OFF, "write", NULL, "read-only, as a replica is: no backup can be made here");
        return;
    }
    look_at_writing(c, dir);
    look_at_clock(c, dir);
}

/* --- the local disk */

void local_check_disk(const struct local_check *c, uint64_t min_free)
{
    const char *dir = c->settings->snapshots_dir;
    struct statvfs fs;
    char has[16], of[16], wants[16];
    if (statvfs(dir, &fs) != 0) {
        say(c, CHECK_WARNING, "disk",
            "on the machine of Qdrant set SNAPSHOTS_DIR to its snapshots; elsewhere this is fine", "%s: %s",
            dir, strerror(errno));
        return;
    }
    uint64_t left = (uint64_t)fs.f_bavail * fs.f_frsize, all = (uint64_t)fs.f_blocks * fs.f_frsize;
    say(c, left < min_free ? CHECK_FAILED : CHECK_OK, "disk",
        left < min_free ? "give the task more ephemeral storage: below MIN_FREE no snapshot is made" : NULL,
        "%s: %s of %s free, MIN_FREE is %s", dir, text_bytes(left, has), text_bytes(all, of),
        text_bytes(min_free, wants));
}
