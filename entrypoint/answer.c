#include "entrypoint/answer.h"
#include "common/base/version.h"
#include "entrypoint/supervise_policy.h"
#include "entrypoint/log.h"
#include "entrypoint/settings.h"
#include "entrypoint/spawn.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: qdrant-entrypoint [ARGUMENT...]        Qdrant with these arguments, and its backups\n"
    "       qdrant-entrypoint -- COMMAND [ARG...]  COMMAND in Qdrant's place\n"
    "       qdrant-entrypoint health [--help]      the container's health check\n"
    "Settings, from the environment; see qdrant-entrypoint(8):\n";

static bool is(const char *arg, const char *one, const char *other)
{
    return strcmp(arg, one) == 0 || strcmp(arg, other) == 0;
}

static bool is_word(const char *arg)
{
    return *arg && strspn(arg, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == strlen(arg);
}

bool answer_is_meant(int argc, char **argv)
{
    return argc == 2 && (is(argv[1], "--help", "-h") || is(argv[1], "--version", "-V") || is_word(argv[1]));
}

int answer_run(int argc, char **argv)
{
    static struct settings settings;
    if (is_word(argv[1])) {
        (void)fprintf(
            stderr,
            "qdrant-entrypoint: there is no command \"%s\", and Qdrant takes no such argument; use health, "
            "-- COMMAND, or Qdrant's own arguments\n",
            argv[1]);
        return EXIT_SETTING;
    }
    bool help = is(argv[1], "--help", "-h");
    (void)fputs(help ? usage : "qdrant-entrypoint " VERSION "\n", stdout);
    if (help) {
        settings_help();
        (void)puts("Qdrant's own help:\n");
    }
    if (fflush(stdout) != 0)
        return 1;
    say_open();
    settings_read(&settings, argc, argv);
    if (access(settings.qdrant_argv[0], X_OK) != 0 && strchr(settings.qdrant_argv[0], '/'))
        return 0;
    spawn_become(settings.qdrant_argv);
}
