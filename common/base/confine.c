#include "common/base/confine.h"
#include "common/base/cleanup.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As in the kernel's header; the one that we are built with may be older than the kernel that runs.
 */
enum {
    RULE_PATH_BENEATH = 1,
    VERSION_REFER = 2, /* without it nothing can be renamed from one folder to another */
    VERSION_TRUNCATE = 3,
    VERSION_TCP = 4,
    VERSION_SCOPE = 6,
};
#define FS_EXECUTE (1ULL << 0)
#define FS_WRITE_FILE (1ULL << 1)
#define FS_READ_FILE (1ULL << 2)
#define FS_READ_DIR (1ULL << 3)
#define FS_TO_REFER ((1ULL << 14) - 1) /* all up to LANDLOCK_ACCESS_FS_REFER */
#define FS_TRUNCATE (1ULL << 14)
#define FS_OF_FILES (FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE)
#define NET_CONNECT_TCP (1ULL << 1)
#define SCOPE_SOCKETS_AND_SIGNALS 3ULL
struct ruleset {
    uint64_t fs, net, scoped;
};

int confine_version(void)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return version >= VERSION_REFER ? (int)version : 0;
}

static uint64_t all_of(int version) { return FS_TO_REFER | (version >= VERSION_TRUNCATE ? FS_TRUNCATE : 0); }

int confine_open(bool tcp)
{
    int version = confine_version();
    struct ruleset r = {.fs = all_of(version),
                        .net = !tcp && version >= VERSION_TCP ? NET_CONNECT_TCP : 0,
                        .scoped = version >= VERSION_SCOPE ? SCOPE_SOCKETS_AND_SIGNALS : 0};
    /* An older kernel takes a longer one when what it does not know is zero. */
    if (version == 0)
        return errno = EOPNOTSUPP, -1;
    return (int)syscall(SYS_landlock_create_ruleset, &r, sizeof r, 0);
}

int confine_allow(int list, const char *path, enum confine_may may)
{
    static const uint64_t read = FS_EXECUTE | FS_READ_FILE | FS_READ_DIR;
    struct landlock_path_beneath_attr a = {.parent_fd = open(path, O_PATH | O_CLOEXEC)};
    struct stat st;
    uint64_t all = all_of(confine_version());
    if (a.parent_fd < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? 0 : -1;
    int rc = fstat(a.parent_fd, &st);
    a.allowed_access = may == CONFINE_READ ? read : may == CONFINE_WRITE ? all & ~FS_EXECUTE : all;
    if (rc == 0 && !S_ISDIR(st.st_mode))
        a.allowed_access &= FS_OF_FILES;
    if (rc == 0)
        rc = (int)syscall(SYS_landlock_add_rule, list, RULE_PATH_BENEATH, &a, 0);
    int why = errno;
    (void)close(a.parent_fd); /* only named something */
    errno = why;
    return rc;
}

/* --- the system */

int confine_allow_system(int list)
{
    static const char *const read[] = {"/usr",
                                       "/bin",
                                       "/sbin",
                                       "/lib",
                                       "/lib32",
                                       "/lib64",
                                       "/nix/store",
                                       "/proc",
                                       "/sys",
                                       "/etc/alternatives",
                                       "/etc/group",
                                       "/etc/host.conf",
                                       "/etc/hosts",
                                       "/etc/ld.so.cache",
                                       "/etc/ld.so.conf",
                                       "/etc/ld.so.conf.d",
                                       "/etc/ld.so.preload",
                                       "/etc/locale.alias",
                                       "/etc/localtime",
                                       "/etc/nsswitch.conf",
                                       "/etc/passwd",
                                       "/etc/qdrant",
                                       "/etc/ca-certificates",
                                       "/etc/pki/ca-trust",
                                       "/etc/pki/tls/cert.pem",
                                       "/etc/pki/tls/certs",
                                       "/etc/ssl/cert.pem",
                                       "/etc/ssl/certs",
                                       "/etc/ssl/openssl.cnf",
                                       "/etc/timezone"};
    static const char *const write[] = {"/dev/full", "/dev/null", "/dev/random", "/dev/urandom", "/dev/zero"};
    for (size_t i = 0; i < sizeof read / sizeof *read; i++)
        if (confine_allow(list, read[i], CONFINE_READ) != 0)
            return -1;
    for (size_t i = 0; i < sizeof write / sizeof *write; i++)
        if (confine_allow(list, write[i], CONFINE_WRITE) != 0)
            return -1;
    return 0;
}

int confine_allow_search(int list, const char *path)
{
    char one[PATH_MAX];
    for (const char *p = path; p; p = strchr(p, ':') ? strchr(p, ':') + 1 : NULL) {
        size_t n = strcspn(p, ":");
        if (*p != '/' || n >= sizeof one)
            continue;
        if (n > 5 && strncmp(p + n - 4, "/bin", 4) == 0)
            n -= 4;
        memcpy(one, p, n);
        one[n] = 0;
        if (one[1] && confine_allow(list, one, CONFINE_READ) != 0)
            return -1;
    }
    return 0;
}

/* --- all but */

struct but {
    const char *const *paths;
    size_t n;
};

/* Is `path` one of them? */
static bool is_one(const struct but *b, const char *path)
{
    for (size_t i = 0; i < b->n; i++)
        if (strcmp(b->paths[i], path) == 0)
            return true;
    return false;
}

/* Is one of them below it? */
static bool is_above_one(const struct but *b, const char *path)
{
    size_t n = strlen(path);
    for (size_t i = 0; i < b->n; i++)
        if (strncmp(b->paths[i], path, n) == 0 && (n == 1 || b->paths[i][n] == '/'))
            return true;
    return false;
}

static int allow_beside(int list, const struct but *b, const char *dir);

static int allow_one(int list, const struct but *b, const char *dir, const char *name)
{
    char path[PATH_MAX];
    struct stat st;
    if ((size_t)snprintf(path, sizeof path, "%s/%s", strcmp(dir, "/") == 0 ? "" : dir, name) >= sizeof path)
        return errno = ENAMETOOLONG, -1;
    if (is_one(b, path))
        return 0;
    if (is_above_one(b, path))
        return allow_beside(list, b, path);
    /* What a link points at is allowed at its own place, or is not to be. */
    if (lstat(path, &st) != 0 || S_ISLNK(st.st_mode))
        return 0;
    return confine_allow(list, path, CONFINE_ALL);
}

static int allow_beside(int list, const struct but *b, const char *dir)
{
    cleanup_dir DIR *d = opendir(dir);
    if (!d)
        return -1;
    for (struct dirent *de; (de = readdir(d));)
        if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0 &&
            allow_one(list, b, dir, de->d_name) != 0)
            return -1;
    return 0;
}

int confine_allow_but(int list, const char *const *paths, size_t n)
{
    struct but b = {paths, n};
    if (is_one(&b, "/"))
        return errno = ENOTSUP, -1;
    return allow_beside(list, &b, "/");
}

/* --- in the child */

int confine_no_new_rights(void) { return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); }

static int set_capabilities(uint32_t effective, uint32_t permitted)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{.effective = effective, .permitted = permitted}, {0}};
    return (int)syscall(SYS_capset, &head, data);
}

static uint32_t permitted_now(void)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0}};
    return syscall(SYS_capget, &head, data) == 0 ? data[0].permitted : 0;
}

int confine_drop_capabilities(const char *folder)
{
    uint32_t last = permitted_now() & (1U << CAP_DAC_OVERRIDE);
    /* There may be none that are raised at exec, and kernels before 4.3 have no such thing. */
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (set_capabilities(0, last) != 0)
        return -1;
    if (last && faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) != 0)
        return set_capabilities(last, last);
    return set_capabilities(0, 0);
}

int confine_enter(int list) { return (int)syscall(SYS_landlock_restrict_self, list, 0); }
