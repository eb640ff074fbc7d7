#include "entrypoint/settings.h"
#include "common/base/listens.h"
#include "common/base/storage_state.h"
#include "entrypoint/qdrant_files.h"
#include "entrypoint/log.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILES_MS = 5000, GRACE_MAX = 3600 };

/* What --help prints and what counts when a variable is not set: the one place of these defaults. A text in
 * `words` is for people alone. 25 s are of the 30 s that Fargate gives by default (stopTimeout). */
static const struct row {
    const char *name, *help;
    char *standard;
    const char *words;
} rows[] = {
    {"EFS_ROOT", "where EFS is mounted; without it Qdrant runs alone", "", "no backups"},
    {"QDRANT_BIN", "the program to run as Qdrant", "/qdrant/qdrant", NULL},
    {"REPLICATOR_BIN", "the program to run as the replicator", "", "qdrant-replicator beside the entrypoint"},
    {"QDRANT_CONFIG_PATH", "Qdrant's file, of a command after -- that has no --config-path", "",
     "--config-path of Qdrant's arguments"},
    {"STOP_GRACE_SECONDS", "the one budget for a stop, 1 to 3600; keep it below the task's stopTimeout", "25",
     NULL},
    {"SNAPSHOT_ON_STOP", "at a stop, first snapshot what was written last: on, off, or auto for on ECS alone",
     "auto", NULL},
    {"RESTORE_ON_EMPTY", "hold Qdrant back until the replicator has restored an empty disk", "never", NULL},
    {"QDRANT_CLUSTER_DNS", "names or addresses of a cluster's nodes: join it, or found it by a claim on EFS",
     "", "Qdrant is started as its own settings have it"},
    {"QDRANT_ALLOW_RECOVERY_MODE", "true: a Qdrant killed at its start is started once more in recovery mode",
     "false", NULL},
    {"QDRANT_INIT_FILE_PATH", "Qdrant's mark of a finished start", ".qdrant-initialized", NULL},
    {"CONFINE", "all: Qdrant cannot reach EFS_ROOT (with Landlock)", "second", NULL},
    {"LOG_LEVEL", "debug, info, warn or error", "info", NULL},
    {"LOG_FORMAT", "json or text", "json", NULL},
};

static char *standard(const char *name)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].name, name) == 0)
            return rows[i].standard;
    abort(); /* the caller is mistyped, which the first start shows */
}

void settings_help(void)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        (void)printf("  %-26s %s (%s)\n", rows[i].name, rows[i].help,
                     rows[i].words ? rows[i].words : rows[i].standard);
}

/* Empty counts as unset, as the official entrypoint has it. */
static char *env(const char *name, char *standard)
{
    char *v = getenv(name);
    return v && *v ? v : standard;
}

/* Arguments go to Qdrant as they are, so there is no option of our own but "-- CMD…". */
static char **read_command(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "--") == 0)
        return argv + 2;
    argv[0] = env("QDRANT_BIN", standard("QDRANT_BIN"));
    return argv;
}

/* Beside ourselves. Without /proc, wherever PATH has it. */
void settings_replicator(char *out, size_t size)
{
    static const char name[] = "qdrant-replicator";
    const char *given = env("REPLICATOR_BIN", NULL);
    ssize_t n = given ? -1 : readlink("/proc/self/exe", out, size);
    size_t folder = 0;
    for (size_t i = 0; n > 0 && i < (size_t)n; i++)
        if (out[i] == '/')
            folder = i + 1;
    if (size - folder < sizeof name)
        folder = 0;
    (void)snprintf(out + folder, size - folder, "%s", given ? given : name);
}

static unsigned read_grace(void)
{
    const char *own = standard("STOP_GRACE_SECONDS"),
               *v = env("STOP_GRACE_SECONDS", standard("STOP_GRACE_SECONDS"));
    char *end = NULL;
    long n = strtol(v, &end, 10);
    if (*v >= '0' && *v <= '9' && !*end && n >= 1 && n <= GRACE_MAX)
        return (unsigned)n;
    say(SAY_ERROR, "wrong_setting",
        "STOP_GRACE_SECONDS=%.200s is not allowed; use a whole number from 1 to %d (%s is used)", v,
        GRACE_MAX, own);
    return (unsigned)strtoul(own, NULL, 10);
}

/* On ECS the disk goes with the task. */
static bool read_snapshot_on_stop(void)
{
    const char *v = env("SNAPSHOT_ON_STOP", standard("SNAPSHOT_ON_STOP"));
    if (strcmp(v, "on") == 0 || strcmp(v, "off") == 0)
        return strcmp(v, "on") == 0;
    if (strcmp(v, "auto") != 0)
        say(SAY_ERROR, "wrong_setting",
            "SNAPSHOT_ON_STOP=%.200s is not allowed; use on, off or auto (auto is used)", v);
    return env("ECS_CONTAINER_METADATA_URI_V4", NULL) != NULL;
}

static const char *file_or_env(const char *name, const char *standard)
{
    const char *v = qdrant_files_value(name);
    return v && *v ? v : standard;
}

/* Qdrant (1.18.2, src/main.rs) takes --bootstrap and --uri, and their variables, only with its cluster
 * enabled; they say all the same what the node is meant for. */
static bool read_clustered(char **argv)
{
    static char no[] = "";
    bool peer, uri;
    (void)qdrant_files_argument(argv, "--bootstrap", &peer);
    (void)qdrant_files_argument(argv, "--uri", &uri);
    return peer || uri || listens_true(file_or_env("QDRANT__CLUSTER__ENABLED", no)) ||
           env("QDRANT_BOOTSTRAP", NULL) || env("QDRANT_URI", NULL);
}

/* Who names a peer to join has found the cluster himself. */
static void read_cluster(struct settings *s)
{
    bool peer, there;
    (void)qdrant_files_argument(s->qdrant_argv, "--bootstrap", &peer);
    s->uri = qdrant_files_argument(s->qdrant_argv, "--uri", &there);
    s->finds_cluster = env("QDRANT_CLUSTER_DNS", NULL) != NULL;
    if (s->finds_cluster && (peer || env("QDRANT_BOOTSTRAP", NULL))) {
        say(SAY_ERROR, "wrong_setting",
            "QDRANT_CLUSTER_DNS does not count, since Qdrant is given a peer to join (%s); leave one of the "
            "two out",
            peer ? "--bootstrap" : "QDRANT_BOOTSTRAP");
        s->finds_cluster = false;
    }
    if (!s->finds_cluster && env("QDRANT_CLUSTER_FOUND", NULL))
        say(SAY_ERROR, "wrong_setting", "QDRANT_CLUSTER_FOUND has no effect without QDRANT_CLUSTER_DNS");
    s->clustered = s->clustered || s->finds_cluster;
}

/* What only Qdrant's files say: where its storage is, and whether it is one of a cluster. */
static void ask_files(const struct settings *s, bool is_qdrant)
{
    if (!qdrant_files_note(s->qdrant_argv, is_qdrant))
        say(SAY_WARN, "qdrant_files",
            "QDRANT_CONFIG_PATH=%.200s does not count: Qdrant reads no such variable; to have it read that "
            "file, add --config-path to its arguments, else unset the variable",
            env("QDRANT_CONFIG_PATH", NULL));
    if (qdrant_files_ask(s->replicator, FILES_MS) != 0)
        say(SAY_ERROR, "qdrant_files",
            "Qdrant's configuration files cannot be read by %s qdrant-settings (%s): only Qdrant's variables "
            "count "
            "here",
            s->replicator, strerror(errno));
}

void settings_read(struct settings *s, int argc, char **argv)
{
    static char storage[] = STORAGE_STANDARD;
    s->qdrant_argv = read_command(argc, argv);
    settings_replicator(s->replicator, sizeof s->replicator);
    ask_files(s, s->qdrant_argv == argv);
    s->backups_wanted = env("EFS_ROOT", NULL) != NULL;
    s->restore_wanted = strcmp(env("RESTORE_ON_EMPTY", standard("RESTORE_ON_EMPTY")), "never") != 0;
    s->clustered = read_clustered(s->qdrant_argv);
    read_cluster(s);
    s->storage = file_or_env("QDRANT__STORAGE__STORAGE_PATH", storage);
    s->recovery_allowed =
        strcmp(env("QDRANT_ALLOW_RECOVERY_MODE", standard("QDRANT_ALLOW_RECOVERY_MODE")), "true") == 0;
    s->init_file = env("QDRANT_INIT_FILE_PATH", standard("QDRANT_INIT_FILE_PATH"));
    s->grace_seconds = read_grace();
    s->confine = s->backups_wanted && strcmp(env("CONFINE", standard("CONFINE")), "all") == 0;
    s->snapshot_on_stop = s->backups_wanted && read_snapshot_on_stop();
}
