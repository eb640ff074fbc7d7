#include "entrypoint/settings.h"
#include "entrypoint/say.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { GRACE_STANDARD = 25 /* of the 30 s that Fargate gives by default (stopTimeout) */, GRACE_MAX = 3600 };

/* Empty counts as unset, as the official entrypoint has it. */
static char *env(const char *name, char *standard)
{
    char *v = getenv(name);
    return v && *v ? v : standard;
}

/* Arguments go to Qdrant as they are, so there is no option of our own but "-- CMD…". */
static char **read_command(int argc, char **argv)
{
    static char standard[] = "/qdrant/qdrant";
    if (argc > 2 && strcmp(argv[1], "--") == 0)
        return argv + 2;
    argv[0] = env("QDRANT_BIN", standard);
    return argv;
}

/* Beside ourselves. Without /proc, wherever PATH has it. */
static void find_replicator(char *out, size_t size)
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
    const char *v = env("STOP_GRACE_SECONDS", NULL);
    char *end = NULL;
    if (!v)
        return GRACE_STANDARD;
    long n = strtol(v, &end, 10);
    if (*v >= '0' && *v <= '9' && !*end && n >= 1 && n <= GRACE_MAX)
        return (unsigned)n;
    say(SAY_ERROR, "wrong_setting",
        "STOP_GRACE_SECONDS=%.200s is not allowed; use a whole number from 1 to %d (%d is used)", v,
        GRACE_MAX, GRACE_STANDARD);
    return GRACE_STANDARD;
}

void settings_read(struct settings *s, int argc, char **argv)
{
    static char init_file[] = ".qdrant-initialized", no[] = "";
    s->qdrant_argv = read_command(argc, argv);
    find_replicator(s->replicator, sizeof s->replicator);
    s->backups_wanted = env("EFS_ROOT", NULL) != NULL;
    s->recovery_allowed = strcmp(env("QDRANT_ALLOW_RECOVERY_MODE", no), "true") == 0;
    s->init_file = env("QDRANT_INIT_FILE_PATH", init_file);
    s->grace_seconds = read_grace();
}
