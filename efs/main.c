/* qdrant-efs: what operators use on the EFS mount. */
#include "common/version.h"
#include "efs/cmd.h"
#include <locale.h>
#include <stdio.h>
#include <string.h>

static const struct command {
    const char *name, *operand, *help;
    int (*run)(const struct options *);
    bool dry_run;
} commands[] = {
    {"ls", NULL, "list backups, and whether each is complete", cmd_ls, false},
    {"show", "SNAPSHOT", "all that is known of one backup", cmd_show, false},
    {"verify", NULL, "read every byte and recompute every hash; exit 1 and name each defect", cmd_verify,
     false},
    {"prune", NULL, "apply RETENTION; --dry-run only says what would go", cmd_prune, true},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static int usage(void)
{
    (void)printf("Usage: qdrant-efs COMMAND [OPTIONS]\n");
    for (size_t i = 0; i < COMMANDS; i++)
        (void)printf("  %-6s %-8s  %s\n", commands[i].name, commands[i].operand ? commands[i].operand : "",
                     commands[i].help);
    return printf(
               "Options:\n"
               "  --root DIR          where EFS is mounted (EFS_ROOT); read-only is fine for all but prune\n"
               "  --collection NAME   only this collection\n"
               "  --frequency TIER    only 15min, hourly, daily or monthly\n"
               "  --newer AGE         only slots of the last AGE, as in 90m, 24h, 7d, 2w\n"
               "  --older AGE         only slots from before that\n"
               "  --dry-run           prune: delete nothing\n"
               "  --json              for programs\n"
               "  --tier, --cpu-arch  only the tree {TIER}-{CPU_ARCH} (else every tree); --retention as "
               "RETENTION\n"
               "Exit codes: 0 good; 1 a defect was found, or it failed; 64 wrong use.\n") < 0;
}

static int bad(const char *what, const char *value)
{
    cmd_complain("%s%s%s; see qdrant-efs --help", what, *value ? " " : "", value);
    return EXIT_SETTING;
}

static bool age(const char *text, time_t *slot)
{
    time_t seconds;
    if (!retention_age(text, &seconds))
        return false;
    *slot = time(NULL) - seconds;
    return true;
}

/* The value of "--name VALUE" or "--name=VALUE", NULL when `arg` is another flag. *next: VALUE is the next
 * one. */
static const char *value_of(const char *arg, const char *name, const char *following, bool *next)
{
    size_t n = strlen(name);
    if (strncmp(arg, name, n) != 0 || (arg[n] && arg[n] != '='))
        return NULL;
    *next = !arg[n];
    return *next ? (following ? following : "") : arg + n + 1;
}

/* 1 taken, 0 not ours, -1 ours and wrong. */
static int option(struct options *o, const char *arg, const char *following, bool *next)
{
    const char *v;
    enum tier t;
    *next = false;
    if (strcmp(arg, "--json") == 0)
        return o->json = true, 1;
    if (strcmp(arg, "--dry-run") == 0)
        return o->dry_run = true, 1;
    if ((v = value_of(arg, "--root", following, next)))
        return *v && (size_t)snprintf(o->root, sizeof o->root, "%s", v) < sizeof o->root ? 1 : -1;
    if ((v = value_of(arg, "--collection", following, next)))
        return o->collection = v, *v ? 1 : -1;
    if ((v = value_of(arg, "--newer", following, next)))
        return age(v, &o->newer) ? 1 : -1;
    if ((v = value_of(arg, "--older", following, next)))
        return age(v, &o->older) ? 1 : -1;
    if ((v = value_of(arg, "--frequency", following, next))) {
        if (!tier_parse(v, &t))
            return -1;
        return o->tier = (int)t, 1;
    }
    return settings_flag(arg, following, next);
}

static int parse(int argc, char **argv, struct options *o)
{
    for (int i = 0; i < argc; i++) {
        bool next = false;
        int rc = argv[i][0] == '-' ? option(o, argv[i], argv[i + 1], &next) : 0;
        if (rc < 0)
            return bad("wrong or missing value of", argv[i]);
        if (rc == 0 && argv[i][0] == '-') {
            argv[i][strcspn(argv[i], "=")] = 0; /* what follows may be a secret */
            return bad("unexpected argument", argv[i]);
        }
        if (rc == 0 && o->operand)
            return bad("unexpected argument", argv[i]);
        if (rc == 0)
            o->operand = argv[i];
        i += next;
    }
    return 0;
}

static int run(const struct command *c, struct options *o)
{
    struct err e = {0};
    if (settings_read(&o->settings, &e) != 0)
        return bad(e.text, "");
    if (!o->root[0])
        memcpy(o->root, o->settings.efs_root, sizeof o->root);
    if (!o->root[0])
        return bad("no EFS: set EFS_ROOT or give --root DIR", "");
    if (!c->operand != !o->operand)
        return bad(c->operand ? "which snapshot?" : "unexpected argument", o->operand ? o->operand : "");
    if (o->dry_run && !c->dry_run)
        return bad("--dry-run is for prune", "");
    return c->run(o);
}

int main(int argc, char **argv)
{
    static struct options o = {.tier = -1};
    (void)setlocale(LC_CTYPE, "C.UTF-8"); /* for column widths; without it they may be a little off */
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return usage();
        if (strcmp(argv[i], "--version") == 0)
            return puts("qdrant-efs " VERSION) < 0;
    }
    if (argc < 2)
        return bad("which command?", "");
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(argv[1], commands[i].name) == 0) {
            int rc = parse(argc - 2, argv + 2, &o);
            return rc != 0 ? rc : run(&commands[i], &o);
        }
    return bad("no such command:", argv[1]);
}
