#include "efs/drill/resources.h"
#include "common/base/cleanup.h"
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }

static void filep(FILE **f)
{
    if (*f)
        (void)fclose(*f); /* only read from */
}
#define cleanup_file __attribute__((cleanup(filep)))

/* The number behind `key` in a file of lines "key[:] number"; of the whole file with an empty key. */
static bool number(const char *dir, const char *name, const char *key, uint64_t *out)
{
    char path[PATH_MAX], line[256];
    size_t n = strlen(key);
    if ((size_t)snprintf(path, sizeof path, "%s/%s", dir, name) >= sizeof path)
        return false;
    cleanup_file FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f)) {
        if (strncmp(line, key, n) != 0 || (n > 0 && !strchr(": \t", line[n])))
            continue;
        const char *from = line + n + strspn(line + n, ": \t");
        char *end = NULL;
        *out = strtoull(from, &end, 10); /* of v1's "no limit", near 2^63, too; v2 says "max" */
        return end != from;
    }
    return false;
}

/* What a cgroup has left. Page cache counts as used there, but for the part that is given up at once. */
static uint64_t left(const char *dir, const char *max, const char *used, const char *idle)
{
    uint64_t limit, current, cache = 0;
    if (!number(dir, max, "", &limit) || !number(dir, used, "", &current))
        return UINT64_MAX;
    (void)number(dir, "memory.stat", idle, &cache);
    current -= least(cache, current);
    return limit - least(current, limit);
}

/* Each folder from `path` up to `root` has a limit of its own. Inside a container the path may be that of the
 * host, and only the root is there. */
static uint64_t hierarchy(const char *root, const char *path, bool two)
{
    char dir[PATH_MAX];
    uint64_t room = UINT64_MAX;
    size_t base = strlen(root);
    if ((size_t)snprintf(dir, sizeof dir, "%s%s", root, path) >= sizeof dir)
        return room;
    for (;;) {
        room = least(
            room, two ? left(dir, "memory.max", "memory.current", "inactive_file")
                      : left(dir, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"));
        char *slash = strrchr(dir, '/');
        if (!slash || (size_t)(slash - dir) < base)
            return room;
        *slash = 0;
    }
}

uint64_t resources_memory(void)
{
    char line[PATH_MAX + 64];
    uint64_t kib, room = UINT64_MAX;
    if (number("/proc", "meminfo", "MemAvailable", &kib))
        room = kib * 1024;
    cleanup_file FILE *f = fopen("/proc/self/cgroup", "re");
    while (f && fgets(line, sizeof line, f)) { /* "4:memory:/path" of v1, "0::/path" of v2 */
        line[strcspn(line, "\n")] = 0;
        char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = 0;
        controllers++;
        if (!*controllers)
            room = least(room, hierarchy("/sys/fs/cgroup", path, true));
        else if (strcmp(controllers, "memory") == 0)
            room = least(room, hierarchy("/sys/fs/cgroup/memory", path, false));
    }
    return room;
}

bool resources_is_same(const struct resources_id *a, const struct resources_id *b)
{
    return a->device == b->device || a->bytes == b->bytes;
}

static bool id_of(const char *dir, struct resources_id *out)
{
    struct stat st;
    struct statvfs fs;
    if (stat(dir, &st) != 0 || statvfs(dir, &fs) != 0)
        return false;
    *out = (struct resources_id){.device = st.st_dev, .bytes = (uint64_t)fs.f_blocks * fs.f_frsize};
    return true;
}

bool resources_shared(const char *a, const char *b)
{
    struct resources_id x, y;
    return !id_of(a, &x) || !id_of(b, &y) || resources_is_same(&x, &y);
}

uint64_t resources_disk(const char *dir)
{
    struct statvfs fs;
    return statvfs(dir, &fs) == 0 ? (uint64_t)fs.f_bavail * fs.f_frsize : 0;
}
