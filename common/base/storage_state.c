#include "common/base/storage_state.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* "state" is the marker's first member: the beginning is enough to tell. */
enum { HEAD = 256 };

/* Whatever cannot be looked at counts as one: it must not be taken for an empty disk. */
static bool is_collection(int folder, const char *name)
{
    char path[512];
    struct stat st;
    if (name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2])))
        return false;
    (void)snprintf(path, sizeof path, "%.255s/config.json", name);
    return fstatat(folder, path, &st, 0) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

int storage_has_collections(const char *storage)
{
    int found = 0, root = open(storage, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return errno == ENOENT ? 0 : -1;
    int fd = openat(root, STORAGE_COLLECTIONS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int why = errno;
    (void)close(root); /* only read from */
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d) {
        if (fd >= 0)
            (void)close(fd);
        errno = why;
        return fd < 0 && why == ENOENT ? 0 : -1;
    }
    errno = 0;
    for (struct dirent *de; !found && (de = readdir(d)); errno = 0)
        found = is_collection(fd, de->d_name);
    why = found ? 0 : errno;
    (void)closedir(d); /* only read from */
    errno = why;
    return why ? -1 : found;
}

/* -1 with errno; ENOENT: there is none. */
static int read_head(const char *storage, char head[HEAD])
{
    int root = open(storage, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd = root < 0 ? -1 : openat(root, STORAGE_MARKER, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    ssize_t n = fd < 0 ? -1 : read(fd, head, HEAD - 1);
    int why = errno;
    if (fd >= 0)
        (void)close(fd); /* only read from */
    if (root >= 0)
        (void)close(root);
    head[n > 0 ? n : 0] = '\0';
    errno = why;
    return n < 0 ? -1 : 0;
}

/* Each Qdrant leaves its peer id there at its first start: without it the marker tells of a storage that is
 * gone (emptied by rm -rf storage/\*, which leaves what begins with a dot). */
static bool has_peer(const char *storage)
{
    char path[4096];
    struct stat st;
    return (size_t)snprintf(path, sizeof path, "%s/raft_state.json", storage) >= sizeof path ||
           stat(path, &st) == 0 || errno != ENOENT;
}

enum storage_state storage_look(const char *storage)
{
    char head[HEAD];
    bool marked = read_head(storage, head) == 0;
    if (!marked && errno != ENOENT)
        return STORAGE_UNKNOWN;
    if (marked && !strstr(head, "\"state\":\"done\""))
        return STORAGE_RESTORING;
    if (marked && has_peer(storage))
        return STORAGE_SETTLED;
    int has = storage_has_collections(storage);
    return has < 0 ? STORAGE_UNKNOWN : has ? STORAGE_DATA : STORAGE_EMPTY;
}
