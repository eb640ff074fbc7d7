#include "replicator/core/disk.h"
#include "common/base/files.h"
#include "common/log.h"
#include "common/base/storage_state.h"
#include "common/base/string_list.h"
#include <errno.h>
#include <fts.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { ENTRIES_MAX = 1000000 };

struct count {
    char *collection; /* "": of the whole storage */
    unsigned n;
};
struct disk_found {
    struct count *v;
    size_t n, size;
};
struct disk {
    struct disk_places places;
    struct disk_marks marks;
    pthread_mutex_t mutex; /* for all below */
    int wake_fd;
    uint64_t wanted, releasable, left;
    int64_t wanted_until;
    struct disk_found *found;
    char **present; /* sorted */
    size_t n_present;
    time_t present_when; /* 0: not known */
    unsigned present_number;
    bool looked;
};

struct disk *disk_new(const struct disk_places *places, uint64_t min_free, uint64_t wal_mib)
{
    struct disk *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    d->places = *places;
    d->marks = disk_marks(min_free, wal_mib);
    d->wake_fd = -1;
    if (pthread_mutex_init(&d->mutex, NULL) != 0)
        return free(d), NULL;
    return d;
}

static void found_free(struct disk_found *f)
{
    for (size_t i = 0; f && i < f->n; i++)
        free(f->v[i].collection);
    if (f)
        free(f->v);
    free(f);
}

void disk_free(struct disk *d)
{
    if (!d)
        return;
    found_free(d->found);
    string_list_free(d->present, d->n_present);
    (void)pthread_mutex_destroy(&d->mutex);
    free(d);
}

static void lock(struct disk *d) { (void)pthread_mutex_lock(&d->mutex); }
static void unlock(struct disk *d) { (void)pthread_mutex_unlock(&d->mutex); }

struct disk_marks disk_marks_of(const struct disk *d) { return d->marks; }

/* --- looking */

static bool left_at(const char *dir, uint64_t *out)
{
    struct statvfs fs;
    if (statvfs(dir, &fs) != 0)
        return false;
    *out = (uint64_t)fs.f_bavail * fs.f_frsize;
    return true;
}

bool disk_left(const struct disk *d, uint64_t *out) { return left_at(d->places.snapshots, out); }

bool disk_left_for(const struct disk *d, bool whole, uint64_t *out)
{
    const char *temp = d->places.temp[0] ? d->places.temp : whole ? d->places.storage : "";
    uint64_t there;
    if (!left_at(d->places.snapshots, out))
        return false;
    if (*temp && left_at(temp, &there) && there < *out) /* one that is not there yet says nothing */
        *out = there;
    return true;
}

/* Qdrant adds and removes files all the while: what is gone by now is left out. */
int64_t disk_of_collection(const struct disk *d, const char *collection)
{
    char base[PATH_MAX], path[PATH_MAX];
    if (files_join(base, sizeof base, d->places.storage, STORAGE_COLLECTIONS, NULL) != 0 ||
        files_join(path, sizeof path, base, collection ? collection : ".", NULL) != 0 ||
        access(path, R_OK | X_OK) != 0)
        return -1;
    char *const roots[] = {path, NULL};
    FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
    int64_t bytes = 0;
    unsigned n = 0;
    if (!tree)
        return -1;
    for (const FTSENT *f; n < ENTRIES_MAX && (f = fts_read(tree)); n++)
        if (f->fts_info == FTS_F)
            bytes += (int64_t)f->fts_statp->st_blocks * 512;
    (void)fts_close(tree); /* only read from */
    return n < ENTRIES_MAX ? bytes : -1;
}

/* --- what is wanted */

void disk_wakes(struct disk *d, int fd)
{
    lock(d);
    d->wake_fd = fd;
    unlock(d);
}

/* With the mutex held: whoever closes it says so first. */
static void wake_locked(struct disk *d)
{
    uint64_t one = 1;
    if (d->wake_fd >= 0 && write(d->wake_fd, &one, sizeof one) < 0 && errno != EAGAIN)
        log_line(LOG_ERROR, "internal", "eventfd: %s", strerror(errno));
}

void disk_want(struct disk *d, uint64_t bytes, int64_t until_ms)
{
    lock(d);
    d->wanted = bytes;
    d->wanted_until = until_ms;
    if (bytes > 0)
        wake_locked(d);
    unlock(d);
}

uint64_t disk_wanted(struct disk *d, int64_t now_ms)
{
    lock(d);
    uint64_t wanted = now_ms < d->wanted_until ? d->wanted : 0;
    unlock(d);
    return wanted;
}

/* --- which collections there are */

static bool same_names(const struct disk *d, const struct qdrant_names *names)
{
    if (d->present_when == 0 || d->n_present != names->n)
        return false;
    for (size_t i = 0; i < names->n; i++)
        if (strcmp(d->present[i], names->v[i]) != 0)
            return false;
    return true;
}

static char **copy_of(const struct qdrant_names *names)
{
    char **v = calloc(names->n + 1, sizeof *v);
    for (size_t i = 0; v && i < names->n; i++)
        if (!(v[i] = strdup(names->v[i])))
            return string_list_free(v, i), NULL;
    return v;
}

void disk_present(struct disk *d, const struct qdrant_names *names, time_t when)
{
    lock(d);
    bool same = same_names(d, names);
    char **v = same ? NULL : copy_of(names);
    if (v) {
        string_list_free(d->present, d->n_present);
        d->present = v;
        d->n_present = names->n;
        d->present_number++;
    }
    if (v || same)
        d->present_when = when;
    if (v)
        wake_locked(d);
    unlock(d);
}

unsigned disk_present_number(struct disk *d)
{
    lock(d);
    unsigned n = d->present_number;
    unlock(d);
    return n;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

bool disk_is_gone(struct disk *d, const char *collection, time_t taken)
{
    lock(d);
    bool gone =
        taken > 0 && taken < d->present_when &&
        (d->n_present == 0 || !bsearch(&collection, d->present, d->n_present, sizeof(char *), by_name));
    unlock(d);
    return gone;
}

/* --- what is not on EFS */

struct disk_found *disk_found_begin(void) { return calloc(1, sizeof(struct disk_found)); }

static bool grow(struct disk_found *f)
{
    size_t size = f->size ? f->size * 2 : 16;
    struct count *v = f->n < f->size ? f->v : realloc(f->v, size * sizeof *v);
    if (!v)
        return false;
    f->size = f->n < f->size ? f->size : size;
    f->v = v;
    return true;
}

void disk_found_one(struct disk_found *f, const struct source *source)
{
    if (!f || source->kind == KIND_SHARD)
        return;
    const char *name = source->kind == KIND_STORAGE ? "" : source->collection;
    if (f->n > 0 && strcmp(f->v[f->n - 1].collection, name) == 0) { /* those of a folder come in a row */
        f->v[f->n - 1].n++;
        return;
    }
    char *copy = grow(f) ? strdup(name) : NULL;
    if (copy)
        f->v[f->n++] = (struct count){copy, 1};
}

void disk_found_end(struct disk *d, struct disk_found *f, uint64_t releasable)
{
    lock(d);
    if (f) {
        found_free(d->found);
        d->found = f;
    }
    d->releasable = releasable;
    unlock(d);
}

unsigned disk_unpublished(struct disk *d, const char *collection)
{
    unsigned n = 0;
    lock(d);
    for (size_t i = 0; d->found && i < d->found->n; i++)
        if (strcmp(d->found->v[i].collection, collection ? collection : "") == 0)
            n += d->found->v[i].n;
    unlock(d);
    return n;
}

uint64_t disk_releasable(struct disk *d)
{
    lock(d);
    uint64_t bytes = d->releasable;
    unlock(d);
    return bytes;
}

void disk_looked(struct disk *d, uint64_t left)
{
    lock(d);
    d->left = left;
    d->looked = true;
    unlock(d);
}

bool disk_near_end(struct disk *d)
{
    lock(d);
    bool near = d->looked && d->left < d->marks.last;
    unlock(d);
    return near;
}
