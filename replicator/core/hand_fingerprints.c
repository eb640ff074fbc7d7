#include "replicator/core/hand_fingerprints.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/files.h"
#include "common/json.h"
#include "efs/repo/manifest.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOOK_MS = 100, TEXT_MAX = 64 << 10, OLD = 86400 };
static const char LOCK[] = ".by-hand", SUFFIX[] = ".print";

int hand_fingerprints_open(const char *dir)
{
    char path[PATH_MAX];
    struct err ignored;
    if (files_join(path, sizeof path, dir, LOCK, &ignored) != 0)
        return -1;
    int fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
    if (fd >= 0 &&
        flock(fd, LOCK_SH | LOCK_NB) != 0) { /* the replicator is looking: it sees nobody, for once */
        (void)close(fd);
        return -1;
    }
    return fd;
}

static bool being_made(const char *dir)
{
    char path[PATH_MAX];
    struct err ignored;
    if (files_join(path, sizeof path, dir, LOCK, &ignored) != 0)
        return false;
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

/* Those of snapshots that were never published. */
static void sweep(const char *folder)
{
    struct stat st;
    cleanup_dir DIR *d = opendir(folder);
    for (struct dirent *de; d && (de = readdir(d));) {
        size_t n = strlen(de->d_name), suffix = sizeof SUFFIX - 1;
        if (de->d_name[0] == '.' && n > suffix && strcmp(de->d_name + n - suffix, SUFFIX) == 0 &&
            fstatat(dirfd(d), de->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && time(NULL) - st.st_mtime > OLD)
            (void)unlinkat(dirfd(d), de->d_name, 0); /* the next one tries again */
    }
}

static bool place(const char *dir, const char *collection, const char *stem, char folder[PATH_MAX],
                  char name[NAME_MAX + 1])
{
    struct err ignored;
    return strcmp(collection, ".") != 0 && strcmp(collection, "..") != 0 && !strchr(collection, '/') &&
           !strchr(stem, '/') && files_join(folder, PATH_MAX, dir, collection, &ignored) == 0 &&
           snprintf(name, NAME_MAX + 1, ".%s%s", stem, SUFFIX) <= NAME_MAX;
}

bool hand_fingerprints_put(const char *dir, const char *collection, const char *stem, const struct content *c)
{
    char folder[PATH_MAX], name[NAME_MAX + 1];
    struct err ignored;
    struct manifest m = {.fingerprint = c->fingerprint, .aliases = c->aliases};
    cleanup_json cJSON *o = cJSON_CreateObject();
    if (!o || !place(dir, collection, stem, folder, name) || !manifest_add_content(o, &m) ||
        !cJSON_AddStringToObject(o, "sha256", c->sha256))
        return false;
    char *text = cJSON_PrintUnformatted(o);
    sweep(folder);
    bool good = text && files_put(folder, name, text, &ignored) == 0;
    cJSON_free(text);
    return good;
}

static bool take(const char *path, struct content *out)
{
    struct manifest m = {0};
    struct err ignored;
    cleanup_free char *text = files_get(path, TEXT_MAX, &ignored);
    cleanup_json cJSON *o = text ? cJSON_Parse(text) : NULL;
    const char *sha256 = json_string(o, "sha256");
    if (!text)
        return false;
    (void)unlink(path); /* else it is swept */
    manifest_get_content(o, &m);
    *out = (struct content){.fingerprint = m.fingerprint, .aliases = m.aliases};
    (void)snprintf(out->sha256, sizeof out->sha256, "%s", sha256 ? sha256 : "");
    return m.fingerprint.known;
}

bool hand_fingerprints_take(const char *dir, const char *collection, const char *stem,
                            const atomic_bool *stop, struct content *out)
{
    char folder[PATH_MAX], name[NAME_MAX + 1], path[PATH_MAX];
    struct err ignored;
    int64_t end = clock_ms() + SNAPSHOT_FINGERPRINTS_WAIT_MS;
    if (!place(dir, collection, stem, folder, name) ||
        files_join(path, sizeof path, folder, name, &ignored) != 0)
        return false;
    for (;;) {
        bool more = clock_ms() < end && !(stop && atomic_load(stop)) && being_made(dir);
        if (take(path, out))
            return true;
        if (!more)
            return false;
        clock_sleep(LOOK_MS);
    }
}
