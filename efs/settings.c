#include "efs/settings.h"
#include "common/cleanup.h"
#include "common/files.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

static const struct row {
    const char *name, *help, *standard;
    bool secret;
} table[] = {
    {"EFS_ROOT", "where EFS is mounted", "required", false},
    {"SNAPSHOTS_DIR", "Qdrant's snapshots", "QDRANT__STORAGE__SNAPSHOTS_PATH, else /qdrant/snapshots", false},
    {"TIER", "environment; with CPU_ARCH the tree {EFS_ROOT}/{TIER}-{CPU_ARCH}", "default", false},
    {"CPU_ARCH", "processor", "the machine's", false},
    {"NODE_NAME", "a name of this node that outlives its task", "the peer id", false},
    {"COMPRESSION", "none, or zstd:1 to zstd:19", "zstd:1", false},
    {"COMPRESSION_THREADS", "0 to 64", "2", false},
    {"RETENTION", "per tier a count or an age (m h d w)", "15min=24h,hourly=7d,daily=35d,monthly=13", false},
    {"LOCAL_KEEP", "published snapshots of a collection that stay on the local disk", "1", false},
    {"QDRANT_URL", "Qdrant's REST address", "http://QDRANT_FQDN:6333, else http://127.0.0.1:6333", false},
    {"QDRANT_FQDN", "Qdrant's host name, when QDRANT_URL is not set", "", false},
    {"QDRANT_API_KEY", "API key", "QDRANT__SERVICE__API_KEY", true},
    {"QDRANT_API_KEY_FILE", "a file that holds the API key", "", false},
    {"LOG_LEVEL", "debug, info, warn or error", "info", false},
    {"LOG_FORMAT", "json or text", "json", false},
};
enum { ROWS = sizeof table / sizeof *table };

static void flag_of(const char *name, char out[64])
{
    size_t n = 0;
    out[n++] = '-';
    out[n++] = '-';
    for (; *name && n < 63; name++)
        out[n++] = *name == '_' ? '-' : (char)tolower((unsigned char)*name);
    out[n] = 0;
}

int settings_flag(const char *flag, const char *next, bool *took_next)
{
    char ours[64];
    size_t n = strcspn(flag, "=");
    *took_next = false;
    for (size_t i = 0; i < ROWS; i++) {
        flag_of(table[i].name, ours);
        if (table[i].secret || strlen(ours) != n || strncmp(ours, flag, n) != 0)
            continue;
        *took_next = flag[n] != '=';
        const char *value = *took_next ? next : flag + n + 1;
        return value && setenv(table[i].name, value, 1) == 0 ? 1 : -1;
    }
    return 0;
}

void settings_help(FILE *to)
{
    char flag[64];
    (void)fprintf(
        to, "Settings, from the environment or as a flag (COMPRESSION=zstd:3 is --compression zstd:3):\n");
    for (size_t i = 0; i < ROWS; i++) {
        flag_of(table[i].name, flag);
        (void)fprintf(to, "  %-22s%s%s%s%s%s\n", table[i].name, table[i].help, *table[i].standard ? " (" : "",
                      table[i].standard, *table[i].standard ? ")" : "",
                      table[i].secret ? "; no flag: arguments are public" : "");
    }
}

static const char *env(const char *name, const char *standard)
{
    const char *v = getenv(name);
    return v && *v ? v : standard;
}

static int wrong(struct err *e, const char *name, const char *value, const char *allowed)
{
    char what[768], clean[201];
    size_t n = 0;
    for (const char *p = value; *p && n < sizeof clean - 1; p++)
        clean[n++] = (unsigned char)*p < 0x20 || *p == 0x7f ? '?' : *p;
    clean[n] = 0;
    (void)snprintf(what, sizeof what, "%s=%s is not allowed; use %s", name, clean, allowed);
    return err_set(e, 0, what, NULL, NULL);
}

static int copy_text(char *out, size_t size, const char *name, const char *value, struct err *e)
{
    return (size_t)snprintf(out, size, "%s", value) < size ? 0 : wrong(e, name, value, "a shorter value");
}

/* One spelling of a path, for the places where two are compared: no "//", "/./" or final slash. */
static void clean_path(char *path)
{
    char *to = path;
    for (const char *p = path; *p;) {
        if (*p == '/' && (p[1] == '/' || (p[1] == '.' && (p[2] == '/' || !p[2])))) {
            p += p[1] == '/' ? 1 : 2;
            if (!*p && to == path)
                *to++ = '/';
        } else {
            *to++ = *p++;
        }
    }
    while (to > path + 1 && to[-1] == '/')
        to--;
    *to = 0;
}

static int number(const char *name, const char *standard, long min, long max, long *out, struct err *e)
{
    char *end = NULL, allowed[64];
    const char *v = env(name, standard);
    *out = strtol(v, &end, 10);
    (void)snprintf(allowed, sizeof allowed, "a whole number from %ld to %ld", min, max);
    if (*v < '0' || *v > '9' || *end || *out < min || *out > max)
        return wrong(e, name, v, allowed);
    return 0;
}

static int word(const char *name, const char *v, struct err *e)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    if (strlen(v) > 64 || v[0] == '.' || v[0] == '-' || strspn(v, letters) != strlen(v))
        return wrong(e, name, v, "up to 64 letters, digits, '.', '_' and '-', not '.' or '-' first");
    return 0;
}

static int compression(struct settings *s, struct err *e)
{
    const char *v = env("COMPRESSION", "zstd:1");
    long n;
    char *end = NULL;
    if (strcmp(v, "none") == 0)
        s->level = 0;
    else {
        long level = strncmp(v, "zstd:", 5) == 0 && v[5] >= '1' && v[5] <= '9' ? strtol(v + 5, &end, 10) : 0;
        if (level < 1 || level > 19 || *end)
            return wrong(e, "COMPRESSION", v, "none, or zstd:1 to zstd:19");
        s->level = (int)level;
    }
    if (number("COMPRESSION_THREADS", "2", 0, 64, &n, e) != 0)
        return -1;
    s->threads = (int)n;
    return 0;
}

static int absolute(char *out, const char *name, const char *value, struct err *e)
{
    if (copy_text(out, PATH_MAX, name, value, e) != 0)
        return -1;
    if (*out && *out != '/')
        return wrong(e, name, out, "an absolute path");
    clean_path(out);
    return 0;
}

static int places(struct settings *s, struct err *e)
{
    struct utsname u;
    char tree[160], relative[PATH_MAX];
    const char *tier = env("TIER", "default"), *arch = getenv("CPU_ARCH"), *node = env("NODE_NAME", "");
    if (!arch || !*arch)
        arch = uname(&u) == 0 ? u.machine : "unknown";
    if (word("TIER", tier, e) != 0 || word("CPU_ARCH", arch, e) != 0 ||
        (*node && word("NODE_NAME", node, e) != 0) ||
        copy_text(s->node, sizeof s->node, "NODE_NAME", node, e) != 0 ||
        absolute(s->efs_root, "EFS_ROOT", env("EFS_ROOT", ""), e) != 0)
        return -1;
    const char *dir = getenv("SNAPSHOTS_DIR");
    if (!dir || !*dir) {
        /* Qdrant takes a relative path as below its working folder, which is /qdrant in its image. */
        dir = env("QDRANT__STORAGE__SNAPSHOTS_PATH", "/qdrant/snapshots");
        if (*dir != '/' && (size_t)snprintf(relative, sizeof relative, "/qdrant/%s", dir) < sizeof relative)
            dir = relative;
    }
    if (absolute(s->snapshots_dir, "SNAPSHOTS_DIR", dir, e) != 0)
        return -1;
    (void)snprintf(tree, sizeof tree, "%s-%s", tier, arch);
    return files_join(s->base, sizeof s->base, strcmp(s->efs_root, "/") == 0 ? "" : s->efs_root, tree, e);
}

static int api_key(struct settings *s, struct err *e)
{
    const char *file = getenv("QDRANT_API_KEY_FILE"),
               *key = env("QDRANT_API_KEY", env("QDRANT__SERVICE__API_KEY", ""));
    cleanup_free char *text = file && *file ? files_get(file, sizeof s->api_key - 1, e) : NULL;
    if (file && *file) {
        if (!text)
            return wrong(e, "QDRANT_API_KEY_FILE", file,
                         "a readable file of less than 1 KiB that holds the key");
        text[strcspn(text, "\r\n")] = 0;
        key = text;
    }
    if (strlen(key) >= sizeof s->api_key || strpbrk(key, "\r\n")) /* a newline would end the header */
        return wrong(e, "QDRANT_API_KEY", "(not shown)", "one line of less than 1 KiB");
    (void)snprintf(s->api_key, sizeof s->api_key, "%s", key);
    return 0;
}

static int qdrant(struct settings *s, struct err *e)
{
    char from_fqdn[300];
    const char *fqdn = env("QDRANT_FQDN", "");
    if (strlen(fqdn) > 253)
        return wrong(e, "QDRANT_FQDN", fqdn, "a host name");
    (void)snprintf(from_fqdn, sizeof from_fqdn, "http://%.253s:6333", fqdn);
    const char *url = env("QDRANT_URL", *fqdn ? from_fqdn : "http://127.0.0.1:6333");
    if ((strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) || strpbrk(url, " \t\r\n?#@"))
        return wrong(e, "QDRANT_URL", strchr(url, '@') ? "(not shown)" : url,
                     "an http:// or https:// address without user, query or fragment");
    s->qdrant_shared = url == from_fqdn;
    if (copy_text(s->qdrant_url, sizeof s->qdrant_url, "QDRANT_URL", url, e) != 0)
        return -1;
    size_t n = strlen(s->qdrant_url);
    if (s->qdrant_url[n - 1] == '/')
        s->qdrant_url[n - 1] = 0;
    return api_key(s, e);
}

static int logging(struct settings *s, struct err *e)
{
    const char *level = env("LOG_LEVEL", "info"), *format = env("LOG_FORMAT", "json");
    s->log_text = strcmp(format, "text") == 0;
    if (!s->log_text && strcmp(format, "json") != 0)
        return wrong(e, "LOG_FORMAT", format, "json or text");
    if (!log_level_parse(level, &s->log_level))
        return wrong(e, "LOG_LEVEL", level, "debug, info, warn or error");
    return 0;
}

int settings_read(struct settings *s, struct err *e)
{
    char part[256];
    char host[65] = "";
    long keep;
    memset(s, 0, sizeof *s);
    s->log_level = LOG_INFO;
    if (gethostname(host, sizeof host - 1) != 0)
        host[0] = 0;
    (void)snprintf(s->written_by, sizeof s->written_by, "qdrant-replicator@%s", host);
    if (logging(s, e) != 0 || places(s, e) != 0 || compression(s, e) != 0 || qdrant(s, e) != 0 ||
        number("LOCAL_KEEP", "1", 0, 100000, &keep, e) != 0)
        return -1;
    s->local_keep = (unsigned)keep;
    if (!retention_parse(env("RETENTION", ""), &s->retention, part, sizeof part))
        return wrong(e, "RETENTION", part,
                     "tiers 15min, hourly, daily, monthly with a count or an age, as in "
                     "15min=24h,hourly=7d,daily=35d,monthly=13");
    return 0;
}
