#include "efs/settings.h"
#include "common/cleanup.h"
#include "common/files.h"
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

static const char *env(const char *name, const char *standard)
{
    const char *v = getenv(name);
    return v && *v ? v : standard;
}

static int wrong(struct err *e, const char *name, const char *value, const char *allowed)
{
    char what[512];
    (void)snprintf(what, sizeof what, "%s=%.200s is not allowed; use %s", name, value, allowed);
    return err_set(e, 0, what, NULL, NULL);
}

static int copy_text(char *out, size_t size, const char *name, const char *value, struct err *e)
{
    return (size_t)snprintf(out, size, "%s", value) < size ? 0 : wrong(e, name, value, "a shorter value");
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
    if (strlen(v) > 64 || v[0] == '.' || v[0] == '-' || strspn(v, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != strlen(v))
        return wrong(e, name, v, "up to 64 letters, digits, '.', '_' and '-'");
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

static int places(struct settings *s, struct err *e)
{
    struct utsname u;
    char tree[160];
    const char *tier = env("TIER", "default"), *arch = getenv("CPU_ARCH");
    if (!arch || !*arch)
        arch = uname(&u) == 0 ? u.machine : "unknown";
    const char *dir = env("SNAPSHOTS_DIR", env("QDRANT__STORAGE__SNAPSHOTS_PATH", "/qdrant/snapshots"));
    if (word("TIER", tier, e) != 0 || word("CPU_ARCH", arch, e) != 0 || word("NODE_NAME", env("NODE_NAME", "node"), e) != 0)
        return -1;
    (void)snprintf(tree, sizeof tree, "%s-%s", tier, arch);
    if (copy_text(s->efs_root, sizeof s->efs_root, "EFS_ROOT", env("EFS_ROOT", ""), e) != 0 ||
        copy_text(s->snapshots_dir, sizeof s->snapshots_dir, "SNAPSHOTS_DIR", dir, e) != 0 ||
        copy_text(s->node, sizeof s->node, "NODE_NAME", env("NODE_NAME", ""), e) != 0)
        return -1;
    if (s->efs_root[0] && s->efs_root[0] != '/')
        return wrong(e, "EFS_ROOT", s->efs_root, "an absolute path");
    return files_join(s->base, sizeof s->base, s->efs_root, tree, e);
}

static int qdrant(struct settings *s, struct err *e)
{
    char from_fqdn[300];
    const char *fqdn = getenv("QDRANT_FQDN"), *file = getenv("QDRANT_API_KEY_FILE");
    (void)snprintf(from_fqdn, sizeof from_fqdn, "http://%.250s:6333", fqdn ? fqdn : "");
    const char *url = env("QDRANT_URL", fqdn && *fqdn ? from_fqdn : "http://127.0.0.1:6333");
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        return wrong(e, "QDRANT_URL", url, "an http:// or https:// address");
    if (copy_text(s->qdrant_url, sizeof s->qdrant_url, "QDRANT_URL", url, e) != 0)
        return -1;
    s->qdrant_url[strcspn(s->qdrant_url, " ")] = 0;
    size_t n = strlen(s->qdrant_url);
    if (n > 0 && s->qdrant_url[n - 1] == '/')
        s->qdrant_url[n - 1] = 0;
    const char *key = env("QDRANT_API_KEY", env("QDRANT__SERVICE__API_KEY", ""));
    cleanup_free char *text = file && *file ? files_get(file, sizeof s->api_key - 1, e) : NULL;
    if (file && *file) {
        if (!text)
            return wrong(e, "QDRANT_API_KEY_FILE", file, "a readable file of less than 1 KiB that holds the key");
        text[strcspn(text, "\r\n")] = 0;
        key = text;
    }
    if ((size_t)snprintf(s->api_key, sizeof s->api_key, "%s", key) >= sizeof s->api_key)
        return wrong(e, "QDRANT_API_KEY", "(not shown)", "a key of less than 1 KiB");
    return 0;
}

int settings_read(struct settings *s, struct err *e)
{
    char part[256];
    char host[65] = "";
    long keep;
    memset(s, 0, sizeof *s);
    if (gethostname(host, sizeof host - 1) != 0)
        host[0] = 0;
    (void)snprintf(s->written_by, sizeof s->written_by, "qdrant-replicator@%s", host);
    if (places(s, e) != 0 || compression(s, e) != 0 || qdrant(s, e) != 0 ||
        number("LOCAL_KEEP", "1", 0, 100000, &keep, e) != 0)
        return -1;
    s->local_keep = (unsigned)keep;
    if (!retention_parse(env("RETENTION", ""), &s->retention, part, sizeof part))
        return wrong(e, "RETENTION", part, "tiers 15min, hourly, daily, monthly with a count or an age, as in 15min=24h,hourly=7d,daily=35d,monthly=13");
    return 0;
}
