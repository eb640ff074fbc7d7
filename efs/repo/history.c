#include "efs/repo/history.h"
#include "common/base/cleanup.h"
#include "common/base/files.h"
#include "common/base/string_list.h"
#include "efs/repo/name.h"
#include "efs/repo/signed.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Heartbeats: as many as are written while replication copies them, of which the newest may arrive cut short.
 */
const struct history_folder history_drills = {.name = "drills", .keep = 60},
                            history_heartbeats = {.name = "heartbeat", .keep = 20},
                            history_restores = {.name = "restores", .keep = 1000, .obeyed = true},
                            history_stops = {.name = "stops", .keep = 100};

enum {
    NAME_SIZE = 40,
    TRIES = 5,
    HISTORY_MAX = 16 << 20, /* a drill of 10,000 collections */
};
static const char SHAPE[] = "%Y-%m-%dT%H-%M-%SZ.json"; /* a name for any file system */

static bool name_of(time_t when, char out[NAME_SIZE])
{
    struct tm tm;
    return gmtime_r(&when, &tm) && strftime(out, NAME_SIZE, SHAPE, &tm) > 0;
}

/* 0: not one of ours. strptime takes "2026-1-2" and a sixtieth second, too. */
static time_t time_of(const char *name)
{
    struct tm tm = {0};
    char again[NAME_SIZE];
    const char *end = strptime(name, SHAPE, &tm);
    time_t t = end && !*end ? timegm(&tm) : 0;
    return t > 0 && name_of(t, again) && strcmp(name, again) == 0 ? t : 0;
}

static int newest_first(const void *a, const void *b)
{
    time_t x = *(const time_t *)a, y = *(const time_t *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

struct times {
    const char *dir;
    time_t *v;
    size_t n;
};

static int add_time(const struct dirent *de, void *arg, struct err *e)
{
    struct times *to = arg;
    time_t t = time_of(de->d_name);
    if (!t)
        return 0;
    time_t *more = realloc(to->v, (to->n + 1) * sizeof *more);
    if (!more)
        return err_set(e, ENOMEM, "cannot list", to->dir, NULL);
    to->v = more;
    more[to->n++] = t;
    return 0;
}

/* What was found is the caller's, also after an error. */
static int list(const char *dir, time_t **times, size_t *n, struct err *e)
{
    struct times found = {.dir = dir};
    int rc = files_each(dir, add_time, &found, e);
    *times = found.v;
    *n = found.n;
    if (rc == 0 && found.n > 1)
        qsort(found.v, found.n, sizeof *found.v, newest_first);
    return rc;
}

static int dir_of(const char *base, const struct history_folder *folder, const char *name, char out[PATH_MAX],
                  struct err *e)
{
    char rel[2 * NAME_MAX + 2];
    (void)snprintf(rel, sizeof rel, "%.200s%s%.255s", folder->name, *name ? "/" : "", name);
    return files_join(out, PATH_MAX, base, rel, e);
}

static bool folder_name(const char *node, char out[NAME_MAX + 1])
{
    return *node ? name_escape(node, out, NAME_MAX + 1)
                 : snprintf(out, NAME_MAX + 1, "%s", HISTORY_UNNAMED) > 0;
}

/* --- writing */

/* What cannot be deleted now, the next one tries again. */
static void prune(const char *dir, unsigned keep)
{
    cleanup_free time_t *times = NULL;
    char name[NAME_SIZE];
    size_t n = 0;
    files_sweep_small(dir);
    cleanup_dir DIR *d = opendir(dir);
    if (!d)
        return;
    if (list(dir, &times, &n, NULL) != 0)
        return;
    /* Too many: those of a clock that ran ahead first, which would else push out all that come after them. */
    size_t ahead = 0, gone = n > keep ? n - keep : 0;
    while (ahead < n && times[ahead] > time(NULL) + HISTORY_AHEAD)
        ahead++;
    for (size_t i = 0; i < gone; i++)
        if (name_of(times[i < ahead ? i : n - 1 - (i - ahead)], name) && unlinkat(dirfd(d), name, 0) == 0)
            (void)signed_remove(dir, name, NULL);
}

/* 1: the name is taken. Its signature comes first, and so must not be that of another record. */
static int put_new(const struct history_folder *folder, const char *dir, const char *name, const char *json,
                   struct err *e)
{
    char path[PATH_MAX];
    struct stat st;
    if (!folder->obeyed)
        return files_put_new(dir, name, json, e);
    if (files_join(path, sizeof path, dir, name, e) != 0)
        return -1;
    if (lstat(path, &st) == 0)
        return 1;
    return signed_put(dir, name, json, e) != 0 ? -1 : files_put_new(dir, name, json, e);
}

int history_add_at(const char *base, const struct history_folder *folder, const char *node, time_t *when,
                   const char *json, struct err *e)
{
    char safe[NAME_MAX + 1], dir[PATH_MAX], root[PATH_MAX], name[NAME_SIZE];
    const char *tree = strrchr(base, '/');
    if (!folder_name(node, safe) || !tree)
        return err_set(e, EINVAL, "cannot name a record in", base, NULL);
    (void)snprintf(root, sizeof root, "%.*s", tree == base ? 1 : (int)(tree - base), base);
    if (dir_of(base, folder, safe, dir, e) != 0 || files_mkdirs(root, dir + (tree + 1 - base), e) != 0)
        return -1;
    int rc = 1;
    for (int i = 0; rc > 0 && i < TRIES; i++) {
        *when += i > 0;
        if (!name_of(*when, name))
            return err_set(e, EINVAL, "cannot name a record in", dir, NULL);
        rc = put_new(folder, dir, name, json, e);
    }
    if (rc == 0)
        prune(dir, folder->keep);
    return rc > 0 ? err_set(e, EEXIST, "too many records of one moment in", dir, NULL) : rc;
}

int history_add(const char *base, const struct history_folder *folder, const char *node, time_t when,
                const char *json, struct err *e)
{
    return history_add_at(base, folder, node, &when, json, e);
}

int history_replace(const char *base, const struct history_folder *folder, const char *node, time_t when,
                    const char *json, struct err *e)
{
    char safe[NAME_MAX + 1], dir[PATH_MAX], name[NAME_SIZE];
    if (!folder_name(node, safe) || !name_of(when, name))
        return err_set(e, EINVAL, "cannot name a record in", base, NULL);
    return dir_of(base, folder, safe, dir, e) != 0 ? -1 : files_put(dir, name, json, e);
}

/* --- reading */

static time_t last_in(const char *base, const struct history_folder *folder, const char *name)
{
    cleanup_free time_t *times = NULL;
    size_t n = 0;
    return history_times(base, folder, name, &times, &n, NULL) == 0 && n > 0 ? times[0] : 0;
}

/* And the folder that it is in. */
static time_t find_last(const char *base, const struct history_folder *folder, const char *node,
                        char in[NAME_MAX + 1])
{
    char **names = NULL;
    size_t n = 0;
    time_t last = 0;
    if (node)
        return folder_name(node, in) ? last_in(base, folder, in) : 0;
    if (history_nodes(base, folder, &names, &n, NULL) != 0)
        return 0;
    for (size_t i = 0; i < n; i++) {
        time_t t = last_in(base, folder, names[i]);
        if (t > last)
            (void)snprintf(in, NAME_MAX + 1, "%s", names[i]);
        last = t > last ? t : last;
    }
    history_nodes_free(names, n);
    return last;
}

time_t history_last(const char *base, const struct history_folder *folder, const char *node)
{
    char in[NAME_MAX + 1];
    return find_last(base, folder, node, in);
}

char *history_last_text(const char *base, const struct history_folder *folder, const char *node, time_t *when,
                        struct err *e)
{
    char in[NAME_MAX + 1], path[PATH_MAX];
    *when = find_last(base, folder, node, in);
    if (*when == 0 || history_path(base, folder, in, *when, path, e) != 0)
        return NULL;
    return files_get(path, HISTORY_MAX, e);
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

struct nodes {
    const char *dir;
    char **names;
    size_t n;
};

static int add_node(const struct dirent *de, void *arg, struct err *e)
{
    struct nodes *to = arg;
    if (de->d_type != DT_DIR && de->d_type != DT_UNKNOWN)
        return 0;
    return string_list_add(&to->names, &to->n, de->d_name) ? 0
                                                           : err_set(e, ENOMEM, "cannot list", to->dir, NULL);
}

int history_nodes(const char *base, const struct history_folder *folder, char ***names, size_t *n,
                  struct err *e)
{
    char dir[PATH_MAX];
    struct nodes found = {.dir = dir};
    *names = NULL;
    *n = 0;
    if (dir_of(base, folder, "", dir, e) != 0)
        return -1;
    files_refresh(base, folder->name);
    if (files_each(dir, add_node, &found, e) != 0) {
        history_nodes_free(found.names, found.n);
        return -1;
    }
    if (found.n > 1)
        qsort(found.names, found.n, sizeof(char *), by_name);
    *names = found.names;
    *n = found.n;
    return 0;
}

void history_nodes_free(char **names, size_t n) { string_list_free(names, n); }

int history_times(const char *base, const struct history_folder *folder, const char *name, time_t **times,
                  size_t *n, struct err *e)
{
    char dir[PATH_MAX];
    *times = NULL;
    *n = 0;
    if (dir_of(base, folder, name, dir, e) != 0)
        return -1;
    files_refresh(dir, ".");
    if (list(dir, times, n, e) == 0)
        return 0;
    free(*times);
    *times = NULL;
    *n = 0;
    return -1;
}

int history_path(const char *base, const struct history_folder *folder, const char *name, time_t when,
                 char out[PATH_MAX], struct err *e)
{
    char dir[PATH_MAX], file[NAME_SIZE];
    return !name_of(when, file)                      ? err_set(e, EINVAL, "no such time", NULL, NULL)
           : dir_of(base, folder, name, dir, e) != 0 ? -1
                                                     : files_join(out, PATH_MAX, dir, file, e);
}
