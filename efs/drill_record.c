#include "efs/drill_record.h"
#include "common/cleanup.h"
#include "common/files.h"
#include "efs/name.h"
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char FOLDER[] = "drills", SHAPE[] = "%Y-%m-%dT%H-%M-%SZ.json"; /* a name for any file system */

/* 0: not one of ours. */
static time_t time_of(const char *name)
{
    struct tm tm = {0};
    const char *end = strptime(name, SHAPE, &tm);
    return end && !*end ? timegm(&tm) : 0;
}

static int newest_first(const void *a, const void *b)
{
    time_t x = *(const time_t *)a, y = *(const time_t *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* The times of the records in `dir`, newest first; caller frees. None where there is no folder. */
static size_t list(const char *dir, time_t **times)
{
    cleanup_dir DIR *d = opendir(dir);
    size_t n = 0;
    *times = NULL;
    for (struct dirent *de; d && (de = readdir(d));) {
        time_t t = time_of(de->d_name);
        time_t *more = t ? realloc(*times, (n + 1) * sizeof *more) : NULL;
        if (!more)
            continue;
        *times = more;
        more[n++] = t;
    }
    if (n > 1)
        qsort(*times, n, sizeof **times, newest_first);
    return n;
}

static bool name_of(time_t when, char out[40])
{
    struct tm tm;
    return gmtime_r(&when, &tm) && strftime(out, 40, SHAPE, &tm) > 0;
}

static void prune(const char *dir)
{
    cleanup_free time_t *times = NULL;
    size_t n = list(dir, &times);
    char name[40], path[PATH_MAX];
    struct err ignored;
    for (size_t i = RECORDS_KEPT; i < n; i++)
        if (name_of(times[i], name) && files_join(path, sizeof path, dir, name, &ignored) == 0)
            (void)unlink(path); /* the next one tries again */
}

int drill_record_keep(const char *base, const char *node, time_t when, const char *json, struct err *e)
{
    char safe[NAME_MAX + 1], relative[NAME_MAX + 16], dir[PATH_MAX], root[PATH_MAX], below[PATH_MAX],
        name[40];
    const char *tree = strrchr(base, '/');
    if (!name_escape(node, safe, sizeof safe) || !name_of(when, name) || !tree)
        return err_set(e, EINVAL, "cannot name a record of a drill in", base, NULL);
    (void)snprintf(relative, sizeof relative, "%s/%s", FOLDER, safe);
    (void)snprintf(root, sizeof root, "%.*s", tree == base ? 1 : (int)(tree - base), base);
    if (files_join(below, sizeof below, tree + 1, relative, e) != 0 ||
        files_join(dir, sizeof dir, base, relative, e) != 0 || files_mkdirs(root, below, e) != 0 ||
        files_put(dir, name, json, e) != 0)
        return -1;
    prune(dir);
    return 0;
}

static time_t last_in(const char *dir)
{
    cleanup_free time_t *times = NULL;
    return list(dir, &times) > 0 ? times[0] : 0;
}

time_t drill_record_last(const char *base, const char *node)
{
    char drills[PATH_MAX], dir[PATH_MAX], safe[NAME_MAX + 1];
    struct err ignored;
    time_t last = 0;
    if (files_join(drills, sizeof drills, base, FOLDER, &ignored) != 0)
        return 0;
    if (node)
        return name_escape(node, safe, sizeof safe) &&
                       files_join(dir, sizeof dir, drills, safe, &ignored) == 0
                   ? last_in(dir)
                   : 0;
    cleanup_dir DIR *d = opendir(drills);
    for (struct dirent *de; d && (de = readdir(d));) {
        time_t t = de->d_name[0] != '.' && files_join(dir, sizeof dir, drills, de->d_name, &ignored) == 0
                       ? last_in(dir)
                       : 0;
        last = t > last ? t : last;
    }
    return last;
}
