#include "replicator/restore/stage.h"
#include "common/base/cleanup.h"
#include "common/base/files.h"
#include "common/base/storage_state.h"
#include "efs/drill/resources.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int stage_init(struct stage *s, const char *storage, struct err *e)
{
    if ((size_t)snprintf(s->storage, sizeof s->storage, "%s", storage) >= sizeof s->storage)
        return err_set(e, ENAMETOOLONG, "cannot use", storage, NULL);
    return files_join(s->dir, sizeof s->dir, storage, STORAGE_STAGING, e) ||
                   files_join(s->staged, sizeof s->staged, s->dir, "storage", e) ||
                   files_join(s->in, sizeof s->in, s->dir, "in", e)
               ? -1
               : 0;
}

static int make_dir(const char *path, struct err *e)
{
    return mkdir(path, 0755) == 0 || errno == EEXIST
               ? 0
               : err_set(e, errno, "cannot make", path,
                         "check who owns Qdrant's storage and whether it is writable");
}

static const struct marker_part *staged_part(const struct marker *m, const char *collection)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->v[i].state == PART_STAGED && strcmp(m->v[i].collection, collection) == 0)
            return &m->v[i];
    return NULL;
}

static bool is_dots(const char *name) { return strcmp(name, ".") == 0 || strcmp(name, "..") == 0; }

/* Folders with another ending than their collection's name, such as ".tmp", too: Qdrant would take them for
 * collections of that name at its next start. */
static int keep_staged(const char *collections, const struct marker *m, struct err *e)
{
    char path[PATH_MAX];
    cleanup_dir DIR *d = opendir(collections);
    if (!d)
        return err_set(e, errno, "cannot list", collections, NULL);
    for (struct dirent *de; (de = readdir(d));)
        if (!is_dots(de->d_name) && !staged_part(m, de->d_name) &&
            (files_join(path, sizeof path, collections, de->d_name, e) != 0 ||
             files_remove_dir(path, e) != 0))
            return -1;
    return 0;
}

int stage_open(struct stage *s, const struct marker *m, struct err *e)
{
    char collections[PATH_MAX];
    if (files_join(collections, sizeof collections, s->staged, STORAGE_COLLECTIONS, e) != 0 ||
        make_dir(s->storage, e) != 0)
        return -1;
    if (marker_count(m, PART_STAGED) == 0 && files_remove_dir(s->dir, e) != 0)
        return -1;
    if (make_dir(s->dir, e) != 0 || make_dir(s->staged, e) != 0 || make_dir(s->in, e) != 0 ||
        make_dir(collections, e) != 0)
        return -1;
    return stage_clear_in(s, e) == 0 ? keep_staged(collections, m, e) : -1;
}

void stage_file(const struct stage *s, size_t n, char out[PATH_MAX])
{
    (void)snprintf(out, PATH_MAX, "%.*s/%zu.snapshot", PATH_MAX - 64, s->in, n);
}

int stage_clear_in(const struct stage *s, struct err *e) { return files_empty_dir(s->in, e); }

int stage_clear_temporary(const struct stage *s, struct err *e)
{
    char path[PATH_MAX];
    return files_join(path, sizeof path, s->dir, "temporary", e) != 0 ? -1 : files_remove_dir(path, e);
}

static int path_of(const struct stage *s, const char *collection, char out[PATH_MAX], struct err *e)
{
    char collections[PATH_MAX];
    return files_join(collections, sizeof collections, s->staged, STORAGE_COLLECTIONS, e) ||
                   files_join(out, PATH_MAX, collections, collection, e)
               ? -1
               : 0;
}

bool stage_has(const struct stage *s, const char *collection)
{
    char path[PATH_MAX];
    struct stat st;
    return path_of(s, collection, path, NULL) == 0 && stat(path, &st) == 0;
}

int stage_drop(const struct stage *s, const char *collection, struct err *e)
{
    char path[PATH_MAX];
    return path_of(s, collection, path, e) == 0 ? files_remove_dir(path, e) : -1;
}

uint64_t stage_room(const struct stage *s) { return resources_disk(s->dir); }

/* --- to its place */

static bool is_there(const char *dir, const char *name)
{
    char path[PATH_MAX];
    struct stat st;
    return files_join(path, sizeof path, dir, name, NULL) == 0 && lstat(path, &st) == 0;
}

bool stage_is_moved(const struct stage *s) { return !is_there(s->staged, STORAGE_COLLECTIONS); }

/* What is in the way is of a Qdrant that had no collection: its peer, its aliases, leftovers of collections
 * that Qdrant would not take for any. Nobody misses it; but nothing of a storage is ever deleted here. */
static int make_way(const char *to, struct err *e)
{
    char aside[PATH_MAX];
    struct stat st;
    if (lstat(to, &st) != 0)
        return errno == ENOENT ? 0 : err_set(e, errno, "cannot look at", to, NULL);
    if (rmdir(to) == 0)
        return 0;
    if ((size_t)snprintf(aside, sizeof aside, "%s.before-%lld", to, (long long)time(NULL)) >= sizeof aside)
        return err_set(e, ENAMETOOLONG, "cannot move aside", to, NULL);
    return rename(to, aside) == 0 ? 0 : err_set(e, errno, "cannot move aside", to, NULL);
}

static int move_one(const struct stage *s, const char *name, struct err *e)
{
    char from[PATH_MAX], to[PATH_MAX];
    if (!is_there(s->staged, name))
        return 0; /* moved by an earlier try, or Qdrant made none */
    if (files_join(from, sizeof from, s->staged, name, e) != 0 ||
        files_join(to, sizeof to, s->storage, name, e) != 0 || make_way(to, e) != 0)
        return -1;
    return rename(from, to) == 0 ? 0 : err_set(e, errno, "cannot move to its place:", to, NULL);
}

/* Qdrant (1.18.2) has its peer id here, and the shards' replicas name it. */
static const char PEER[] = "raft_state.json", ALIASES[] = "aliases";

int stage_move(const struct stage *s, struct err *e)
{
    return move_one(s, PEER, e) || move_one(s, ALIASES, e) || files_sync_dir(s->storage, e) ||
                   move_one(s, STORAGE_COLLECTIONS, e) || files_sync_dir(s->storage, e)
               ? -1
               : 0;
}

int stage_sync(const struct stage *s, struct err *e)
{
    cleanup_close int fd = open(s->storage, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && syncfs(fd) == 0 ? 0 : err_set(e, errno, "cannot sync", s->storage, NULL);
}

int stage_remove(const struct stage *s, struct err *e) { return files_remove_dir(s->dir, e); }
