#include "efs/repo/settings.h"
#include "efs/repo/backup.h"
#include "efs/repo/signed.h"
#include "common/config.h"
#include "common/base/files.h"
#include <stdio.h>
#include <stdlib.h>
#include <errno.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static const struct config_row table[] = {
    {"EFS_ROOT", "where EFS is mounted", "", "required", false},
    {"EFS_ALLOW_LOCAL", "1: EFS_ROOT may be on a local disk, as on a laptop or in a test", "0", NULL, false},
    {"EFS_MODE", "rights on EFS: 0644 (data 0600), or 0640 or 0600 for all", "0644", NULL, false},
    {"SNAPSHOTS_DIR", "Qdrant's snapshots", "/qdrant/snapshots",
     "QDRANT__STORAGE__SNAPSHOTS_PATH, snapshots_path of Qdrant's files, else /qdrant/snapshots", false},
    {"TIER", "environment; with CPU_ARCH the tree {EFS_ROOT}/{TIER}-{CPU_ARCH}", "default", NULL, false},
    {"CPU_ARCH", "processor", "", "the machine's", false},
    {"NODE_NAME", "a name of this node that outlives its task", "", "the peer id", false},
    {"COMPRESSION", "delta, none, or zstd:1 to zstd:19", "delta", NULL, false},
    {"COMPRESSION_THREADS", "0 to 64", "2", NULL, false},
    {"RETENTION", "per frequency a count or an age (m h d w)", RETENTION_STANDARD, NULL, false},
    {"LOCAL_KEEP", "published snapshots of a collection that stay on the local disk", "1", NULL, false},
    {"SIGNING_KEY_FILE", "sign manifests with this Ed25519 private key (a PEM file)", "", "not signed",
     false},
    {"VERIFY_KEYS",
     "Ed25519 public keys to check signatures with: PEM files and folders of them, with : between", "",
     "not checked", false},
    {"REQUIRE_SIGNATURE", "1: restore and verify only what one of VERIFY_KEYS signed", "0", NULL, false},
    {"LOG_LEVEL", "debug, info, warn or error", "info", NULL, false},
    {"LOG_FORMAT", "json or text", "json", NULL, false},
};
enum { ROWS = sizeof table / sizeof *table };

static const char *standard(const char *name) { return config_standard(table, ROWS, name); }

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

bool settings_name_tree(void) { return *config_env("TIER", "") || *config_env("CPU_ARCH", ""); }

static int compression(struct settings *s, struct err *e)
{
    const char *v = config_env("COMPRESSION", standard("COMPRESSION"));
    long n;
    char *end = NULL;
    s->delta = strcmp(v, "delta") == 0;
    if (strcmp(v, "none") == 0)
        s->level = 0;
    else if (s->delta)
        s->level = 1;
    else {
        long level = strncmp(v, "zstd:", 5) == 0 && v[5] >= '1' && v[5] <= '9' ? strtol(v + 5, &end, 10) : 0;
        if (level < 1 || level > 19 || *end)
            return config_wrong(e, "COMPRESSION", v, "none, zstd:1 to zstd:19, or delta");
        s->level = (int)level;
    }
    if (config_number("COMPRESSION_THREADS", standard("COMPRESSION_THREADS"), 0, 64, &n, e) != 0)
        return -1;
    s->threads = (int)n;
    return 0;
}

static int places(struct settings *s, struct err *e)
{
    struct utsname u;
    char tree[160], relative[PATH_MAX];
    const char *tier = config_env("TIER", standard("TIER")), *arch = getenv("CPU_ARCH"),
               *node = config_env("NODE_NAME", standard("NODE_NAME"));
    if (!arch || !*arch)
        arch = uname(&u) == 0 ? u.machine : "unknown";
    if (config_word("TIER", tier, e) != 0 || config_word("CPU_ARCH", arch, e) != 0 ||
        (*node && config_word("NODE_NAME", node, e) != 0) ||
        config_text(s->tier, sizeof s->tier, "TIER", tier, e) != 0 ||
        config_text(s->cpu_arch, sizeof s->cpu_arch, "CPU_ARCH", arch, e) != 0 ||
        config_text(s->node, sizeof s->node, "NODE_NAME", node, e) != 0 ||
        config_path(s->efs_root, PATH_MAX, "EFS_ROOT", config_env("EFS_ROOT", standard("EFS_ROOT")), e) != 0)
        return -1;
    const char *dir = getenv("SNAPSHOTS_DIR");
    if (!dir || !*dir) {
        /* Qdrant takes a relative path as below its working folder, which is /qdrant in its image. */
        dir = config_env("QDRANT__STORAGE__SNAPSHOTS_PATH", standard("SNAPSHOTS_DIR"));
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
    const char *level = config_env("LOG_LEVEL", standard("LOG_LEVEL")),
               *format = config_env("LOG_FORMAT", standard("LOG_FORMAT"));
    s->log_text = strcmp(format, "text") == 0;
    if (!s->log_text && strcmp(format, "json") != 0)
        return config_wrong(e, "LOG_FORMAT", format, "json or text");
    if (!log_level_parse(level, &s->log_level))
        return config_wrong(e, "LOG_LEVEL", level, "debug, info, warn or error");
    return 0;
}

static int require_signature(struct settings *s, struct err *e)
{
    static const char *const off_on[] = {"0", "1", NULL};
    unsigned n = 0;
    if (config_choice("REQUIRE_SIGNATURE", standard("REQUIRE_SIGNATURE"), off_on, &n, e) != 0)
        return -1;
    s->require_signature = n == 1;
    return n == 1 && !*config_env("VERIFY_KEYS", standard("VERIFY_KEYS"))
               ? config_wrong(e, "REQUIRE_SIGNATURE", "1", "1 with VERIFY_KEYS alone, by which it is checked")
               : 0;
}

/* `why` names the file. */
static int wrong_key(const char *name, const struct err *why, struct err *e)
{
    return err_set(e, EINVAL, name, why->text, NULL);
}

int settings_keys(struct settings *s, bool sign, struct err *e)
{
    const char *own = config_env("SIGNING_KEY_FILE", standard("SIGNING_KEY_FILE")),
               *others = config_env("VERIFY_KEYS", standard("VERIFY_KEYS"));
    struct err why = {0};
    if (sign && *own && !(s->sign = signing_key_load(own, &why)))
        return wrong_key("SIGNING_KEY_FILE:", &why, e);
    if (*others && !(s->verify_keys = verify_keys_load(others, &why)))
        return wrong_key("VERIFY_KEYS:", &why, e);
    backup_verify_keys(s->verify_keys, s->require_signature);
    signed_keys(s->sign, s->verify_keys, s->require_signature);
    return 0;
}

const char *settings_unsigned(const struct settings *s)
{
    static const char probe[] = "probe";
    unsigned char signature[SIGNATURE_SIZE];
    if (!s->verify_keys)
        return NULL;
    if (!s->sign)
        return s->require_signature ? "SIGNING_KEY_FILE is not set, and REQUIRE_SIGNATURE=1" : NULL;
    return signature_make(s->sign, probe, sizeof probe, signature, NULL) == 0 &&
                   signature_check(s->verify_keys, probe, sizeof probe, signature, sizeof signature) ==
                       SIGNATURE_GOOD
               ? NULL
               : "the public key of SIGNING_KEY_FILE is none of VERIFY_KEYS";
}

static int allow_local(struct settings *s, struct err *e)
{
    static const char *const off_on[] = {"0", "1", NULL};
    unsigned n = 0;
    if (config_choice("EFS_ALLOW_LOCAL", standard("EFS_ALLOW_LOCAL"), off_on, &n, e) != 0)
        return -1;
    s->allow_local = n == 1;
    return 0;
}

static int efs_mode(struct err *e)
{
    static const char *const words[] = {"0644", "0640", "0600", NULL};
    unsigned n = 0;
    if (config_choice("EFS_MODE", standard("EFS_MODE"), words, &n, e) != 0)
        return -1;
    if (n > 0)
        files_modes(n == 1 ? 0640 : 0600, n == 1 ? 0750 : 0700, n == 1 ? 0640 : 0600);
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
    if (logging(s, e) != 0 || places(s, e) != 0 || compression(s, e) != 0 || allow_local(s, e) != 0 ||
        efs_mode(e) != 0 || require_signature(s, e) != 0 ||
        config_number("LOCAL_KEEP", standard("LOCAL_KEEP"), 0, 100000, &keep, e) != 0)
        return -1;
    s->local_keep = (unsigned)keep;
    if (!retention_parse(config_env("RETENTION", standard("RETENTION")), &s->retention, part, sizeof part))
        return config_wrong(
            e, "RETENTION", part,
            "frequencies 15min, hourly, daily, monthly with a count or an age, as in " RETENTION_STANDARD);
    return 0;
}
