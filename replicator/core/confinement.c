#include "replicator/core/confinement.h"
#include "common/base/clock.h"
#include "common/base/confine.h"
#include "common/base/thread.h"
#include "efs/repo/mount.h"
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EFS_MS = 5000 };

/* ---- EFS, which may hang */

struct efs {
    const struct context *x;
    int list, rc;
    struct err e;
};

static bool has_entries(const char *path)
{
    DIR *d = opendir(path);
    bool any = !d; /* better than to take it for empty */
    for (const struct dirent *de; d && !any && (de = readdir(d));)
        any = strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0;
    if (d)
        (void)closedir(d); /* only read */
    return any;
}

/* The folder that is allowed for EFS. What is mounted there later, or takes its place, is another one: of a
 * local folder that is empty that may come, and the one above it is allowed. NULL: that would be all. */
static const char *efs_place(const char *root, const char *snapshots, char above[PATH_MAX])
{
    if (mount_on_network(root, snapshots) || has_entries(root))
        return root;
    (void)snprintf(above, PATH_MAX, "%s", root);
    char *slash = strrchr(above, '/');
    if (!slash || slash == above)
        return NULL;
    *slash = 0;
    return above;
}

static void *allow_efs(void *arg)
{
    struct efs *t = arg;
    char above[PATH_MAX];
    const char *root = t->x->settings.efs_root, *from = t->x->options.restore_from;
    bool there = access(root, F_OK) == 0;
    const char *place = there ? efs_place(root, t->x->settings.snapshots_dir, above) : NULL;
    if (there && !place)
        t->rc = err_set(&t->e, 0, "is empty, and something may be mounted there later:", root, NULL);
    else if (!there || confine_allow(t->list, place, CONFINE_WRITE) != 0 ||
             (*from && confine_allow(t->list, from, CONFINE_READ) != 0))
        t->rc = err_set(&t->e, errno, "cannot look at", root, NULL);
    else if (mount_efs_is_local(&t->x->settings))
        t->rc = err_set(&t->e, 0, "EFS is not mounted at", root, NULL);
    return NULL;
}

/* In a thread, which is left behind with an EFS that hangs. */
static int with_efs(int list, const struct context *x, struct err *e)
{
    static struct efs t; /* the thread may outlive this call */
    pthread_t thread;
    t = (struct efs){.x = x, .list = list};
    int why = thread_start(&thread, "efs-look", allow_efs, &t);
    if (why != 0)
        return err_set(e, why, "cannot look at", x->settings.efs_root, NULL);
    if (!clock_join(thread, clock_ms() + EFS_MS))
        return err_set(e, ETIMEDOUT, "cannot look at", x->settings.efs_root, NULL);
    *e = t.e;
    return t.rc;
}

/* ---- local folders */

/* What is not there yet will be made below the next folder above it that is; below / that would be all. */
static int allow_place(int list, const char *path, enum confine_may may, struct err *e)
{
    char there[PATH_MAX];
    (void)snprintf(there, sizeof there, "%s", path);
    for (char *slash; access(there, F_OK) != 0 && (slash = strrchr(there, '/')); *slash = 0)
        if (slash == there)
            return err_set(e, ENOENT, "is below / and not there yet:", path, NULL);
    return confine_allow(list, there, may) == 0 ? 0 : err_set(e, errno, "cannot allow", there, NULL);
}

static int allow_folders(int list, const struct context *x, const char *scratch, struct err *e)
{
    const struct options *o = &x->options;
    enum confine_may storage = o->restore ? CONFINE_WRITE : CONFINE_READ;
    if (*scratch)
        (void)mkdir(scratch, 0700); /* a drill will say why it cannot be */
    return allow_place(list, x->settings.snapshots_dir, CONFINE_WRITE, e) ||
                   allow_place(list, o->storage, storage, e) ||
                   (*o->temp && allow_place(list, o->temp, storage, e)) ||
                   (*scratch && access(scratch, F_OK) == 0 && allow_place(list, scratch, CONFINE_WRITE, e))
               ? -1
               : 0;
}

/* ---- files that are read */

/* And its folder: a file that is replaced, as keys are when they are rotated, is another one. */
static int allow_file(int list, const char *path, struct err *e)
{
    char folder[PATH_MAX];
    if (!path || *path != '/')
        return 0;
    (void)snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    *slash = 0;
    if (confine_allow(list, path, CONFINE_READ) != 0)
        return err_set(e, errno, "cannot allow", path, NULL);
    return *folder ? allow_place(list, folder, CONFINE_READ, e) : 0;
}

/* VERIFY_KEYS, which drills read for themselves. */
static int allow_keys(int list, const char *paths, struct err *e)
{
    char one[PATH_MAX];
    for (const char *p = paths; p; p = strchr(p, ':') ? strchr(p, ':') + 1 : NULL) {
        (void)snprintf(one, sizeof one, "%.*s", (int)strcspn(p, ":"), p);
        if (allow_file(list, one, e) != 0)
            return -1;
    }
    return 0;
}

static int allow_files(int list, const struct context *x, struct err *e)
{
    return allow_file(list, x->qdrant_settings.ca_file, e) ||
                   allow_file(list, x->qdrant_settings.key_file, e) ||
                   allow_file(list, x->options.notify_url_file, e) ||
                   allow_file(list, getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"), e) ||
                   allow_file(list, getenv("QDRANT_CONFIG_PATH"), e) ||
                   allow_keys(list, getenv("VERIFY_KEYS"), e)
               ? -1
               : 0;
}

/* Our own programs are beside this one. */
static int allow_programs(int list, const struct context *x)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = 0;
    char *slash = strrchr(self, '/');
    if (slash && slash > self)
        *slash = 0;
    return (slash && confine_allow(list, self, CONFINE_READ)) ||
                   confine_allow(list, x->options.qdrant_bin, CONFINE_READ) ||
                   confine_allow_search(list, getenv("PATH")) ||
                   confine_allow_search(list, getenv("LD_LIBRARY_PATH")) ||
                   confine_allow_search(list, getenv("SSL_CERT_FILE")) ||
                   confine_allow_search(list, getenv("SSL_CERT_DIR"))
               ? -1
               : 0;
}

/* With /etc whole: TLS and the resolver read more of it than a second Qdrant does. /proc: a drill makes
 * itself the first to go when memory runs out. "config": Qdrant's files, which drills read for themselves. */
static int allow_system(int list)
{
    return confine_allow_system(list) || confine_allow(list, "/etc", CONFINE_READ) ||
                   confine_allow(list, "/run/systemd/resolve", CONFINE_READ) ||
                   confine_allow(list, "/proc", CONFINE_WRITE) || confine_allow(list, "config", CONFINE_READ)
               ? -1
               : 0;
}

static int enter(int list, const struct context *x, const char *scratch, struct err *e)
{
    if (allow_system(list) != 0 || allow_programs(list, x) != 0)
        return err_set(e, errno, "cannot allow what programs read", NULL, NULL);
    if (allow_folders(list, x, scratch, e) != 0 || allow_files(list, x, e) != 0 || with_efs(list, x, e) != 0)
        return -1;
    return confine_no_new_rights() == 0 && confine_enter(list) == 0
               ? 0
               : err_set(e, errno, "the kernel refuses", NULL, NULL);
}

int confinement_enter(const struct context *x, const char *scratch, struct err *e)
{
    int list = confine_open(true);
    if (list < 0)
        return err_set(e, errno, "cannot make a list", NULL, NULL);
    int rc = enter(list, x, scratch, e);
    (void)close(list); /* nothing was written */
    return rc;
}
