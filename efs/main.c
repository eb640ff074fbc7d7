/* qdrant-efs: what operators use on the EFS mount. */
#include "efs/cmd.h"
#include <getopt.h>
#include <stdio.h>
#include <string.h>

static int usage(FILE *to)
{
    return fprintf(to,
        "Usage: qdrant-efs COMMAND [OPTIONS]\n"
        "  ls                 list backups\n"
        "  show SNAPSHOT      one backup's manifest\n"
        "  verify             recompute every hash; exit 1 and name each defect\n"
        "  prune [--dry-run]  apply RETENTION\n"
        "Options:\n"
        "  --root DIR         where EFS is mounted (EFS_ROOT)\n"
        "  --collection NAME  --frequency 15min|hourly|daily|monthly   only these\n"
        "  --newer AGE  --older AGE   by age of the slot, as in 90m, 24h, 7d (not for prune)\n"
        "  --json             for programs\n"
        "TIER, CPU_ARCH: only that tree; RETENTION as for qdrant-replicator.\n"
        "Exit codes: 0 good; 1 a defect or failure; 64 wrong use.\n") < 0;
}

static bool age(const char *text, time_t *slot)
{
    char *end = NULL, wrong[8], policy[64];
    struct retention r;
    (void)end;
    (void)snprintf(policy, sizeof policy, "15min=%.40s", text);
    if (strchr(text, ',') || !retention_parse(policy, &r, wrong, sizeof wrong) || !r.keep[TIER_15MIN].age)
        return false;
    *slot = time(NULL) - r.keep[TIER_15MIN].age;
    return true;
}

static int bad(const char *what, const char *value)
{
    (void)fprintf(stderr, "qdrant-efs: %s %s; see qdrant-efs --help\n", what, value);
    return EXIT_SETTING;
}

static int parse(int argc, char **argv, struct options *o)
{
    static const struct option longs[] = {{"root", 1, 0, 'r'}, {"collection", 1, 0, 'c'}, {"frequency", 1, 0, 'f'},
        {"newer", 1, 0, 'n'}, {"older", 1, 0, 'o'}, {"json", 0, 0, 'j'}, {"dry-run", 0, 0, 'd'}, {0, 0, 0, 0}};
    enum tier t;
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        if (c == 'r')
            (void)snprintf(o->root, sizeof o->root, "%s", optarg);
        else if (c == 'c')
            o->collection = optarg;
        else if (c == 'j')
            o->json = true;
        else if (c == 'd')
            o->dry_run = true;
        else if (c == 'f' && tier_parse(optarg, &t))
            o->tier = (int)t;
        else if (c == 'n' && age(optarg, &o->newer))
            continue;
        else if (c == 'o' && age(optarg, &o->older))
            continue;
        else
            return c == '?' ? EXIT_SETTING : bad("wrong value", optarg);
    }
    if (optind < argc)
        o->operand = argv[optind++];
    return optind < argc ? bad("unexpected argument", argv[optind]) : 0;
}

int main(int argc, char **argv)
{
    static const struct { const char *name; int (*run)(const struct options *); } commands[] = {
        {"ls", cmd_ls}, {"show", cmd_show}, {"verify", cmd_verify}, {"prune", cmd_prune}};
    static struct options o = {.tier = -1};
    struct err e = {0};
    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return usage(stdout);
    if (argc == 2 && strcmp(argv[1], "--version") == 0)
        return puts("qdrant-efs 0.1.0") < 0;
    if (argc < 2)
        return (void)usage(stderr), EXIT_SETTING;
    if (settings_read(&o.settings, &e) != 0)
        return bad(e.text, "");
    memcpy(o.root, o.settings.efs_root, sizeof o.root);
    int rc = parse(argc - 1, argv + 1, &o);
    if (rc != 0)
        return rc;
    if (!o.root[0])
        return bad("no EFS: set EFS_ROOT or give --root DIR", "");
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(argv[1], commands[i].name) == 0) {
            bool show = strcmp(argv[1], "show") == 0, prune = strcmp(argv[1], "prune") == 0;
            if (show != (o.operand != NULL))
                return bad(show ? "show needs the name of a snapshot" : "unexpected argument", show ? "" : o.operand);
            if (prune && (o.newer || o.older || o.tier >= 0))
                return bad("prune takes no --frequency, --newer or --older: RETENTION decides", "");
            return commands[i].run(&o);
        }
    return bad("no such command:", argv[1]);
}
