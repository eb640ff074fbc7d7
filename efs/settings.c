#include "efs/settings.h"
#include "common/config.h"
#include "common/files.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static const struct config_row table[] = {
    {"EFS_ROOT", "where EFS is mounted", "required", false},
    {"SNAPSHOTS_DIR", "Qdrant's snapshots", "QDRANT__STORAGE__SNAPSHOTS_PATH, else /qdrant/snapshots", false},
    {"TIER", "environment; with CPU_ARCH the tree {EFS_ROOT}/{TIER}-{CPU_ARCH}", "default", false},
    {"CPU_ARCH", "processor", "the machine's", false},
    {"NODE_NAME", "a name of this node that outlives its task", "the peer id", false},
    {"COMPRESSION", "none, or zstd:1 to zstd:19", "zstd:1", false},
    {"COMPRESSION_THREADS", "0 to 64", "2", false},
    {"RETENTION", "per tier a count or an age (m h d w)", "15min=24h,hourly=7d,daily=35d,monthly=13", false},
    {"LOCAL_KEEP", "published snapshots of a collection that stay on the local disk", "1", false},
    {"LOG_LEVEL", "debug, info, warn or error", "info", false},
    {"LOG_FORMAT", "json or text", "json", false},
};
enum { ROWS = sizeof table / sizeof *table };

int settings_flag(const char *flag, const char *next, bool *took_next)
{
    return config_flag(table, ROWS, flag, next, took_next);
}

void settings_help(FILE *to)
{
    (void)fprintf(
        to, "Settings, from the environment or as a flag (COMPRESSION=zstd:3 is --compression zstd:3):\n");
    config_help(table, ROWS, to);
}

static int compression(struct settings *s, struct err *e)
{
    const char *v = config_env("COMPRESSION", "zstd:1");
    long n;
    char *end = NULL;
    if (strcmp(v, "none") == 0)
        s->level = 0;
    else {
        long level = strncmp(v, "zstd:", 5) == 0 && v[5] >= '1' && v[5] <= '9' ? strtol(v + 5, &end, 10) : 0;
        if (level < 1 || level > 19 || *end)
            return config_wrong(e, "COMPRESSION", v, "none, or zstd:1 to zstd:19");
        s->level = (int)level;
    }
    if (config_number("COMPRESSION_THREADS", "2", 0, 64, &n, e) != 0)
        return -1;
    s->threads = (int)n;
    return 0;
}

static int places(struct settings *s, struct err *e)
{
    struct utsname u;
    char tree[160], relative[PATH_MAX];
    const char *tier = config_env("TIER", "default"), *arch = getenv("CPU_ARCH"),
               *node = config_env("NODE_NAME", "");
    if (!arch || !*arch)
        arch = uname(&u) == 0 ? u.machine : "unknown";
    if (config_word("TIER", tier, e) != 0 || config_word("CPU_ARCH", arch, e) != 0 ||
        (*node && config_word("NODE_NAME", node, e) != 0) ||
        config_text(s->tier, sizeof s->tier, "TIER", tier, e) != 0 ||
        config_text(s->cpu_arch, sizeof s->cpu_arch, "CPU_ARCH", arch, e) != 0 ||
        config_text(s->node, sizeof s->node, "NODE_NAME", node, e) != 0 ||
        config_path(s->efs_root, PATH_MAX, "EFS_ROOT", config_env("EFS_ROOT", ""), e) != 0)
        return -1;
    const char *dir = getenv("SNAPSHOTS_DIR");
    if (!dir || !*dir) {
        /* Qdrant takes a relative path as below its working folder, which is /qdrant in its image. */
        dir = config_env("QDRANT__STORAGE__SNAPSHOTS_PATH", "/qdrant/snapshots");
        if (*dir != '/' && (size_t)snprintf(relative, sizeof relative, "/qdrant/%s", dir) < sizeof relative)
            dir = relative;
    }
    if (config_path(s->snapshots_dir, PATH_MAX, "SNAPSHOTS_DIR", dir, e) != 0)
        return -1;
    (void)snprintf(tree, sizeof tree, "%s-%s", tier, arch);
    return files_join(s->base, sizeof s->base, strcmp(s->efs_root, "/") == 0 ? "" : s->efs_root, tree, e);
}

static int logging(struct settings *s, struct err *e)
{
    const char *level = config_env("LOG_LEVEL", "info"), *format = config_env("LOG_FORMAT", "json");
    s->log_text = strcmp(format, "text") == 0;
    if (!s->log_text && strcmp(format, "json") != 0)
        return config_wrong(e, "LOG_FORMAT", format, "json or text");
    if (!log_level_parse(level, &s->log_level))
        return config_wrong(e, "LOG_LEVEL", level, "debug, info, warn or error");
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
    if (logging(s, e) != 0 || places(s, e) != 0 || compression(s, e) != 0 ||
        config_number("LOCAL_KEEP", "1", 0, 100000, &keep, e) != 0)
        return -1;
    s->local_keep = (unsigned)keep;
    if (!retention_parse(config_env("RETENTION", ""), &s->retention, part, sizeof part))
        return config_wrong(e, "RETENTION", part,
                            "tiers 15min, hourly, daily, monthly with a count or an age, as in "
                            "15min=24h,hourly=7d,daily=35d,monthly=13");
    return 0;
}
