#include "efs/drill/scratch.h"
#include "common/base/cleanup.h"
#include "common/base/files.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* The kernel lets go of the lock when its holder dies, however: who has it may sweep all that is there. OURS
 * is a folder that nobody else has a reason to make: whatever lies beside it, however it is called, is a
 * person's. */
static const char OURS[] = ".qdrant-drill", LOCK[] = "lock", PREFIX[] = "drill-";

static int sweep(const char *place, struct err *e)
{
    cleanup_dir DIR *d = opendir(place);
    char path[PATH_MAX];
    if (!d)
        return err_set(e, errno, "cannot list", place, NULL);
    for (struct dirent *de; (de = readdir(d));)
        if (strncmp(de->d_name, PREFIX, sizeof PREFIX - 1) == 0 &&
            (files_join(path, sizeof path, place, de->d_name, e) != 0 || files_remove_dir(path, e) != 0))
            return -1;
    return 0;
}

/* In /tmp others may have put something else there. */
static int make_place(const char *place, struct err *e)
{
    struct stat st;
    struct statfs fs;
    if (mkdir(place, 0700) != 0 && errno != EEXIST)
        return err_set(e, errno, "cannot make", place, "set DRILL_DIR to a folder on a local disk with room");
    if (lstat(place, &st) != 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid())
        return err_set(e, 0, "is not a folder of this user:", place, "set DRILL_DIR to another one");
    if (statfs(place, &fs) == 0 && fs.f_type == NFS_SUPER_MAGIC)
        return err_set(e, 0, "Qdrant does not support storage on NFS:", place,
                       "set DRILL_DIR to a folder on a local disk");
    return 0;
}

static int take_lock(const char *place, struct scratch *s, struct err *e)
{
    char path[PATH_MAX], who[64];
    if (files_join(path, sizeof path, place, LOCK, e) != 0)
        return -1;
    s->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->lock < 0)
        return err_set(e, errno, "cannot open", path, NULL);
    if (flock(s->lock, LOCK_EX | LOCK_NB) != 0)
        return err_set(e, errno == EWOULDBLOCK ? EBUSY : errno, "another drill runs in", place,
                       "wait for its end, or set DRILL_DIR");
    int n = snprintf(who, sizeof who, "%d\n", (int)getpid()); /* for people alone */
    if (ftruncate(s->lock, 0) != 0 || pwrite(s->lock, who, (size_t)n, 0) != n)
        return err_set(e, errno, "cannot write", path, NULL);
    return 0;
}

static int own_folder(const char *ours, char path[PATH_MAX], struct err *e)
{
    char name[64];
    (void)snprintf(name, sizeof name, "%s%d", PREFIX, (int)getpid());
    return files_join(path, PATH_MAX, ours, name, e);
}

static int make_folder(const char *ours, struct scratch *s, struct err *e)
{
    if (own_folder(ours, s->path, e) != 0)
        return -1;
    return mkdir(s->path, 0700) == 0 ? 0 : err_set(e, errno, "cannot make", s->path, NULL);
}

bool scratch_place(const char *snapshots_dir, char out[PATH_MAX])
{
    const char *slash = strrchr(snapshots_dir, '/'), *temporary = getenv("TMPDIR");
    (void)snprintf(out, PATH_MAX, "%.*s", slash ? (int)(slash - snapshots_dir) : 0, snapshots_dir);
    if (!*out || access(out, W_OK | X_OK) != 0)
        (void)snprintf(out, PATH_MAX, "%s", temporary && *temporary == '/' ? temporary : "/tmp");
    size_t n = strlen(out);
    return (size_t)snprintf(out + n, PATH_MAX - n, "/qdrant-drill") < PATH_MAX - n;
}

int scratch_open(const char *place, struct scratch *s, struct err *e)
{
    char ours[PATH_MAX];
    *s = (struct scratch){.lock = -1};
    int rc = make_place(place, e) || files_join(ours, sizeof ours, place, OURS, e) || make_place(ours, e) ||
                     take_lock(ours, s, e) || sweep(ours, e) || make_folder(ours, s, e)
                 ? -1
                 : 0;
    if (rc != 0 && s->lock >= 0)
        (void)close(s->lock); /* nothing in it matters */
    return rc;
}

int scratch_empty(const struct scratch *s, struct err *e) { return files_empty_dir(s->path, e); }

int scratch_close(struct scratch *s, struct err *e)
{
    int rc = files_remove_dir(s->path, e);
    (void)close(s->lock); /* the last, since it keeps others out */
    return rc;
}

void scratch_abandon(const char *place)
{
    char ours[PATH_MAX], path[PATH_MAX];
    struct err ignored; /* the next drill sweeps */
    if (files_join(ours, sizeof ours, place, OURS, &ignored) == 0 && own_folder(ours, path, &ignored) == 0)
        (void)files_remove_dir(path, &ignored);
}
