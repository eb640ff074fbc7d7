/* check: the settings, the mount, writing to it, clocks, the local disk; what replicators and drills left. */
#include "efs/cli/cmd_check.h"
#include "common/base/cleanup.h"
#include "common/base/files.h"
#include "common/base/text.h"
#include "common/json.h"
#include "efs/cli/cmd_page.h"
#include "efs/cli/cmd_table.h"
#include "efs/replica/replica.h"
#include "efs/repo/mount.h"
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

enum { ROUNDS = 5, BLOCK = 4096 };

struct check {
    const struct options *o;
    size_t count[CHECK_FAILED + 1];
    struct page page;
    cJSON *all, *list; /* with --json */
};

const struct options *check_options(const struct check *k) { return k->o; }

static void say_line(const struct check *k, enum check_state state, const char *name, const char *text,
                     const char *remedy)
{
    static const char *const paint[] = {"\033[32m", "", "\033[33m", "\033[31m"};
    bool colour = cmd_colour() && state != CHECK_OFF;
    (void)k;
    (void)printf("%s%-8s%s %-11s %s\n", colour ? paint[state] : "", check_state_text(state),
                 colour ? "\033[0m" : "", name, text);
    if (remedy)
        (void)printf("%20s do: %s\n", "", remedy);
    (void)fflush(stdout); /* the next one may take long, or hang */
}

void check_say(struct check *k, enum check_state state, const char *name, const char *remedy, const char *fmt,
               ...)
{
    char raw[2048], text[2048];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(raw, sizeof raw, fmt, ap);
    va_end(ap);
    (void)text_printable(raw, text, sizeof text);
    k->count[state]++;
    if (!k->all)
        return say_line(k, state, name, text, remedy);
    static const char *const word[] = {"ok", "off", "warning", "failed"};
    cJSON *o = page_element(&k->page, k->list);
    page_text(&k->page, o, "name", name);
    page_text(&k->page, o, "state", word[state]);
    page_text(&k->page, o, "text", text);
    page_text(&k->page, o, "remedy", remedy ? remedy : "");
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

static bool look_at_mount(struct check *k, struct check_mount *m)
{
    char type[64] = "", options[512] = "";
    const char *remedy, *root = k->o->root;
    struct statvfs fs;
    struct stat st;
    bool there = statvfs(root, &fs) == 0 && stat(root, &st) == 0;
    if (!there || !S_ISDIR(st.st_mode)) {
        check_say(k, CHECK_FAILED, "mount", "mount EFS there, or set EFS_ROOT to where it is", "%s: %s", root,
                  strerror(there ? ENOTDIR : errno));
        return false;
    }
    (void)find_mount(root, type, options);
    *m = (struct check_mount){.network = mount_on_network(root, k->o->settings.snapshots_dir),
                              .allowed_local = k->o->settings.allow_local,
                              .soft = has_option(options, "soft") || has_option(options, "softerr"),
                              .read_only = (fs.f_flag & ST_RDONLY) != 0};
    enum check_state state = check_mount_rule(m, &remedy);
    check_say(k, state, "mount", remedy, "%s: %s%s%s%s%s", root,
              m->network ? "a network file system" : "a local disk", *type ? ", " : "", type,
              *options ? ": " : "", options);
    return true;
}

/* --- writing */

struct written {
    long ms[ROUNDS]; /* each create, write, sync, read and delete */
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

static int write_all(const char *dir, struct written *w, struct err *e)
{
    for (int i = 0; i < ROUNDS; i++) {
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

static void look_at_writing(struct check *k, const char *dir)
{
    struct written w = {{0}};
    struct err e = {0};
    const char *remedy;
    if (write_all(dir, &w, &e) != 0) {
        check_say(k, CHECK_FAILED, "write",
                  "let this user write there: an access point of its uid, or chown; and its IAM rights", "%s",
                  e.text);
        return;
    }
    qsort(w.ms, ROUNDS, sizeof *w.ms, by_size);
    enum check_state state = check_write_rule(w.ms[ROUNDS / 2], &remedy);
    check_say(k, state, "write", remedy,
              "4 KiB created, synced, read and deleted %d times: %ld ms, at most %ld ms", ROUNDS,
              w.ms[ROUNDS / 2], w.ms[ROUNDS - 1]);
}

static void look_at_clock(struct check *k, const char *dir)
{
    struct err e = {0};
    const char *remedy;
    time_t server, now;
    if (files_server_time(dir, &server, &e) != 0) {
        check_say(k, CHECK_FAILED, "clock", "see the line above", "%s", e.text);
        return;
    }
    now = time(NULL);
    enum check_state state = check_clock_rule((long)(now - server), &remedy);
    if (now == server)
        check_say(k, state, "clock", remedy, "as that of EFS's server");
    else
        check_say(k, state, "clock", remedy, "%ld s %s that of EFS's server", labs((long)(now - server)),
                  now > server ? "ahead of" : "behind");
}

static void look_at_efs(struct check *k)
{
    struct check_mount m;
    struct stat st;
    char tree[PATH_MAX];
    const char *name = strrchr(k->o->settings.base, '/'), *dir = k->o->root;
    if (name && files_join(tree, sizeof tree, k->o->root, name + 1, NULL) == 0 && stat(tree, &st) == 0 &&
        S_ISDIR(st.st_mode))
        dir = tree;
    if (!look_at_mount(k, &m))
        return;
    if (m.read_only) {
        check_say(k, CHECK_OFF, "write", NULL, "read-only, as a replica is: no backup can be made here");
        return;
    }
    look_at_writing(k, dir);
    look_at_clock(k, dir);
}

/* --- the local disk */

static void look_at_disk(struct check *k)
{
    const char *dir = k->o->settings.snapshots_dir;
    struct err e = {0};
    struct statvfs fs;
    uint64_t least;
    char has[16], of[16], wants[16];
    if (config_bytes("MIN_FREE", config_standard(drill_rows, DRILL_ROWS, "MIN_FREE"), &least, &e) != 0) {
        check_say(k, CHECK_FAILED, "disk", "correct MIN_FREE", "%s", e.text);
        return;
    }
    if (statvfs(dir, &fs) != 0) {
        check_say(k, CHECK_WARNING, "disk",
                  "on the machine of Qdrant set SNAPSHOTS_DIR to its snapshots; elsewhere this is fine",
                  "%s: %s", dir, strerror(errno));
        return;
    }
    uint64_t left = (uint64_t)fs.f_bavail * fs.f_frsize, all = (uint64_t)fs.f_blocks * fs.f_frsize;
    check_say(k, left < least ? CHECK_FAILED : CHECK_OK, "disk",
              left < least ? "give the task more ephemeral storage: below MIN_FREE no snapshot is made"
                           : NULL,
              "%s: %s of %s free, MIN_FREE is %s", dir, cmd_human(left, has), cmd_human(all, of),
              cmd_human(least, wants));
}

/* --- what was left on EFS */

struct trees {
    struct check *k;
    size_t n;
};

static void look_at_beats(struct check *k, const char *base, const char *tree)
{
    struct replica_beats beats = {0};
    struct err e = {0};
    char age[32], safe[600];
    size_t n = 0;
    if (replica_beats_read(base, &beats, &e) != 0)
        check_say(k, CHECK_FAILED, "replicator", "let this user read there", "%s", e.text);
    for (size_t i = 0; i < beats.n; i++) {
        const struct replica_beat *b = &beats.v[i];
        if (!b->read || replica_beat_gone(&beats, b))
            continue;
        time_t old = replica_age(b->h.written, time(NULL));
        n++;
        check_say(k, old > CHECK_BEAT ? CHECK_WARNING : CHECK_OK, "replicator",
                  old > CHECK_BEAT ? "see that the task of this node runs, and its log" : NULL,
                  "%s: heartbeat of %s, %s ago", tree,
                  b->h.node[0] ? text_printable(b->h.node, safe, sizeof safe) : "a node without NODE_NAME",
                  table_age(old, age));
    }
    if (n == 0 && !e.text[0])
        check_say(k, CHECK_WARNING, "replicator", "start qdrant-replicator, and see its log",
                  "%s: no heartbeat, so that no replicator has published there", tree);
    replica_beats_free(&beats);
}

static void look_at_drills(struct check *k, const char *base, const char *tree)
{
    struct err e = {0};
    time_t when = 0;
    char age[32];
    const char *remedy;
    cleanup_free char *text = history_last_text(base, &history_drills, NULL, &when, &e);
    cleanup_json cJSON *o = text ? cJSON_Parse(text) : NULL;
    if (!text && when == 0) {
        check_say(k, CHECK_WARNING, "drill", "set DRILL_SCHEDULE, or run qdrant-efs drill --keep-report",
                  "%s: no backup was ever restored for proof", tree);
        return;
    }
    if (!cJSON_IsObject(o)) {
        check_say(k, CHECK_FAILED, "drill", "run qdrant-efs drill --keep-report",
                  "%s: the report of the last one cannot be read", tree);
        return;
    }
    time_t old = replica_age(when, time(NULL));
    enum check_state state = check_drill_rule(json_text(o, "verdict"), old, &remedy);
    check_say(k, state, "drill", remedy, "%s: %s, %s ago", tree, json_text(o, "verdict"),
              table_age(old, age));
}

static int look_at_tree(const struct options *o, const char *base, void *arg, struct err *e)
{
    struct trees *t = arg;
    const char *tree = strrchr(base, '/') + 1;
    struct stat st;
    (void)o;
    (void)e;
    if (stat(base, &st) != 0)
        return 0;
    t->n++;
    look_at_beats(t->k, base, tree);
    look_at_drills(t->k, base, tree);
    return 0;
}

static void look_at_trees(struct check *k)
{
    struct trees t = {.k = k};
    struct err e = {0};
    struct stat st;
    if (stat(k->o->root, &st) != 0 || !S_ISDIR(st.st_mode))
        return; /* that was said */
    if (cmd_each_tree(k->o, look_at_tree, &t, &e) != 0)
        check_say(k, CHECK_FAILED, "backups", "let this user read there", "%s", e.text);
    else if (t.n == 0)
        check_say(k, CHECK_WARNING, "backups",
                  "start qdrant-replicator with this EFS_ROOT, TIER and CPU_ARCH",
                  "no tree of backups below %s", k->o->root);
}

/* --- all */

static void look_at_settings(struct check *k)
{
    const struct settings *s = &k->o->settings;
    const char *unsigned_why = settings_unsigned(s);
    check_say(k, unsigned_why ? CHECK_WARNING : CHECK_OK, "settings",
              unsigned_why ? "give writers and readers keys of one pair" : NULL, "tree %s below %s, %s%s%s%s",
              strrchr(s->base, '/') ? strrchr(s->base, '/') + 1 : "-", k->o->root,
              s->node[0] ? "node " : "without NODE_NAME", s->node, unsigned_why ? "; " : "",
              unsigned_why ? unsigned_why : "");
}

static int finish(struct check *k)
{
    size_t bad = k->count[CHECK_FAILED];
    int rc;
    if (k->all) {
        page_flag(&k->page, k->all, "good", bad == 0);
        rc = page_print(&k->page, k->all);
    } else {
        (void)printf("%zu ok, %zu warning%s, %zu failed, %zu off\n", k->count[CHECK_OK],
                     k->count[CHECK_WARNING], k->count[CHECK_WARNING] == 1 ? "" : "s", bad,
                     k->count[CHECK_OFF]);
        rc = fflush(stdout) == 0 ? 0 : EXIT_DEFECT;
    }
    return bad > 0 ? EXIT_DEFECT : rc;
}

int cmd_check(const struct options *o)
{
    struct check k = {.o = o, .all = o->json ? cJSON_CreateObject() : NULL};
    k.page.ok = true;
    k.list = k.all ? page_array(&k.page, k.all, "checks") : NULL;
    if (o->json && !k.list)
        return cmd_print_json(NULL);
    look_at_settings(&k);
    look_at_efs(&k);
    look_at_disk(&k);
    look_at_trees(&k);
    check_remote(&k);
    return finish(&k);
}
