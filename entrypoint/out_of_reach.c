#include "entrypoint/out_of_reach.h"
#include "common/base/confine.h"
#include "entrypoint/log.h"
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROOTS = 2 };

/* The mount point in a line of mountinfo, with its escapes undone: "36 25 0:32 / /mnt/efs rw … - nfs4 …". */
static bool mount_point(const char *line, char out[PATH_MAX])
{
    size_t n = 0;
    for (int field = 0; line && field < 4; field++)
        line = strchr(line, ' ') ? strchr(line, ' ') + 1 : NULL;
    for (; line && *line && *line != ' ' && n < PATH_MAX - 1; n++) {
        bool escaped = line[0] == '\\' && strspn(line + 1, "01234567") >= 3;
        out[n] = escaped ? (char)((line[1] - '0') * 64 + (line[2] - '0') * 8 + line[3] - '0') : *line;
        line += escaped ? 4 : 1;
    }
    out[n] = 0;
    return n > 0;
}

static bool is_in(const char *path, const char *folder)
{
    size_t n = strlen(folder);
    return strncmp(path, folder, n) == 0 && (path[n] == '/' || !path[n]);
}

/* With EFS_ROOT in the middle of a file system of the network, all of that: the folders on the way could not
 * be looked at without it. Is it where something is mounted? */
static bool widen(char path[PATH_MAX])
{
    bool mounted = false;
    char line[PATH_MAX * 4], mount[PATH_MAX];
    FILE *f = fopen("/proc/self/mountinfo", "re");
    while (f && fgets(line, sizeof line, f)) {
        if (!mount_point(line, mount) || !mount[1] || !is_in(path, mount))
            continue;
        if (strstr(line, " - nfs"))
            path[strlen(mount)] = 0;
        mounted = mounted || strcmp(path, mount) == 0;
    }
    if (f)
        (void)fclose(f); /* only read */
    return mounted;
}

/* In one spelling, without links on the way: else it would be another folder that is left out. */
static bool plain(const char *value, char out[PATH_MAX])
{
    char way[PATH_MAX];
    size_t n = strlen(value);
    struct stat st;
    while (n > 1 && value[n - 1] == '/')
        n--;
    if (*value != '/' || n >= PATH_MAX || strstr(value, "//") || strstr(value, "/./") ||
        strstr(value, "/../"))
        return errno = EINVAL, false;
    (void)snprintf(out, PATH_MAX, "%.*s", (int)n, value);
    bool mounted = widen(out);
    (void)snprintf(way, sizeof way, "%s", out);
    for (char *p = strchr(way + 1, '/'); p; p = strchr(p + 1, '/')) {
        *p = 0;
        if (lstat(way, &st) != 0 || !S_ISDIR(st.st_mode))
            return errno = ENOTDIR, false;
        *p = '/';
    }
    /* Where something is mounted there is no link, and a look might hang with EFS. */
    return mounted || readlink(out, way, sizeof way) < 0 || (errno = ELOOP, false);
}

/* Qdrant makes files in its working folder, such as its mark of a finished start. */
static bool works_beside(const char *const *paths, size_t n)
{
    char here[PATH_MAX];
    if (!getcwd(here, sizeof here))
        return false;
    for (size_t i = 0; i < n; i++)
        if (strcmp(here, "/") == 0 || is_in(paths[i], here) || is_in(here, paths[i]))
            return errno = EBUSY, false;
    return true;
}

static bool shut(void)
{
    static char path[ROOTS][PATH_MAX];
    static const char *const names[ROOTS] = {"EFS_ROOT", "RESTORE_FROM"};
    const char *paths[ROOTS];
    size_t n = 0;
    for (size_t i = 0; i < ROOTS; i++) {
        const char *value = getenv(names[i]);
        if (!value || *value != '/')
            continue; /* not set, or a tree's name */
        if (!plain(value, path[n]))
            return false;
        paths[n] = path[n];
        n++;
    }
    if (n == 0)
        return true;
    int list = confine_open(true);
    bool good = list >= 0 && works_beside(paths, n) && confine_allow_but(list, paths, n) == 0 &&
                confine_no_new_rights() == 0 && confine_enter(list) == 0;
    int why = errno;
    if (list >= 0)
        (void)close(list); /* nothing was written */
    errno = why;
    return good;
}

void out_of_reach(void)
{
    if (shut())
        return;
    say(SAY_WARN, "not_confined",
        "CONFINE=all: EFS cannot be put out of Qdrant's reach (%s)%s; Qdrant starts as it is",
        strerror(errno),
        errno == EOPNOTSUPP ? ", since this kernel has no Landlock"
        : errno == EBUSY    ? ", since it works in a folder on the way there"
        : errno == ELOOP || errno == ENOTDIR || errno == EINVAL
            ? ", since EFS_ROOT or RESTORE_FROM is no plain path without links"
            : "");
}
