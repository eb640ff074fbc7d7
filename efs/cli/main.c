/* qdrant-efs: what operators use on the EFS mount. */
#include "common/base/version.h"
#include "efs/cli/cli.h"
#include "efs/repo/mount.h"
#include "efs/restore/restore.h"
#include <errno.h>
#include <locale.h>
#include <stddef.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum {
    LS = 1,
    SHOW = 2,
    VERIFY = 4,
    PRUNE = 8,
    RESTORE = 16,
    DRILL = 32,
    REPLICA = 64,
    DU = 128,
    FORGET = 256,
    CHOOSE = LS | SHOW | VERIFY | PRUNE | RESTORE | DRILL | DU,
    ALL = CHOOSE | REPLICA | FORGET
};
static const struct command {
    const char *name, *operand, *help;
    int (*run)(const struct options *);
    int bit;
} commands[] = {
    {"ls", NULL, "list backups, and whether each is complete", cmd_ls, LS},
    {"du", NULL, "bytes of each collection by frequency, before and after compression", cmd_du, DU},
    {"show", "SNAPSHOT", "all that is known of one backup", cmd_show, SHOW},
    {"verify", NULL, "read every byte and recompute every hash; exit 1 and name each defect", cmd_verify,
     VERIFY},
    {"restore", NULL, "the newest good backup, or another, into Qdrant or a file", cmd_restore, RESTORE},
    {"drill", NULL, "prove that backups restore: into a second Qdrant, and compare what it then holds",
     cmd_drill, DRILL},
    {"replica", NULL, "in the second Region: what has arrived, what is missing, and how old that is",
     cmd_replica, REPLICA},
    {"forget", "COLLECTION", "delete all backups of a collection, and keep it from coming back", cmd_forget,
     FORGET},
    {"prune", NULL, "apply RETENTION, or what the tree's replicators keep; --dry-run only says what would go",
     cmd_prune, PRUNE},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

/* What a flag's value becomes. */
enum {
    FLAG_ON,
    FLAG_TEXT,
    FLAG_ROOT,
    FLAG_COLLECTION,
    FLAG_AGO,
    FLAG_SECONDS,
    FLAG_RPO,
    FLAG_TIER,
    FLAG_TIME,
    FLAG_URL
};
static const struct flag {
    const char *name;
    int kind, commands;
    size_t at; /* in struct options */
} flags[] = {
    {"--json", FLAG_ON, ALL, offsetof(struct options, json)},
    {"--root", FLAG_ROOT, ALL, 0},
    {"--collection", FLAG_COLLECTION, CHOOSE | REPLICA, 0},
    {"--frequency", FLAG_TIER, CHOOSE, offsetof(struct options, frequency)},
    {"--newer", FLAG_AGO, CHOOSE, offsetof(struct options, newer)},
    {"--older", FLAG_AGO, CHOOSE, offsetof(struct options, older)},
    {"--dry-run", FLAG_ON, PRUNE | RESTORE | FORGET, offsetof(struct options, dry_run)},
    {"--keep-report", FLAG_ON, DRILL, offsetof(struct options, keep_report)},
    {"--primary", FLAG_TEXT, REPLICA, offsetof(struct options, replica.primary)},
    {"--file-system", FLAG_TEXT, REPLICA, offsetof(struct options, replica.file_system)},
    {"--rpo", FLAG_RPO, REPLICA, offsetof(struct options, replica.rpo)},
    {"--verify", FLAG_ON, REPLICA, offsetof(struct options, replica.verify)},
    {"--deep", FLAG_ON, VERIFY, offsetof(struct options, deep)},
    {"--at", FLAG_TIME, RESTORE | DRILL, offsetof(struct options, restore.at)},
    {"--snapshot", FLAG_TEXT, RESTORE | DRILL, offsetof(struct options, restore.snapshot)},
    {"--all-nodes", FLAG_ON, FORGET, offsetof(struct options, all_nodes)},
    {"--node", FLAG_TEXT, RESTORE | DRILL | LS | SHOW | VERIFY | DU | FORGET,
     offsetof(struct options, restore.node)},
    {"--shard", FLAG_TEXT, RESTORE | DRILL, offsetof(struct options, restore.shard)},
    {"--storage-snapshot", FLAG_ON, RESTORE | DRILL | FORGET, offsetof(struct options, restore.storage)},
    {"--from-s3", FLAG_ON, RESTORE, offsetof(struct options, restore.from_s3)},
    {"--strict", FLAG_ON, RESTORE | DRILL, offsetof(struct options, restore.strict)},
    {"--force", FLAG_ON, RESTORE, offsetof(struct options, restore.force)},
    {"--recreate", FLAG_ON, RESTORE, offsetof(struct options, restore.recreate)},
    {"--swap", FLAG_ON, RESTORE, offsetof(struct options, restore.swap)},
    {"--as-storage", FLAG_ON, RESTORE, offsetof(struct options, restore.as_storage)},
    {"--rename", FLAG_TEXT, RESTORE, offsetof(struct options, restore.rename)},
    {"--to", FLAG_TEXT, RESTORE, offsetof(struct options, restore.to)},
    {"--stdout", FLAG_ON, RESTORE, offsetof(struct options, restore.to_stdout)},
    {"--url", FLAG_URL, RESTORE, 0},
    {"--wait", FLAG_SECONDS, RESTORE, offsetof(struct options, restore.wait)},
    {"--location", FLAG_TEXT, RESTORE, offsetof(struct options, restore.location)},
    {"--checksum", FLAG_TEXT, RESTORE, offsetof(struct options, restore.checksum)},
};
enum { FLAGS = sizeof flags / sizeof *flags };

static int usage(void)
{
    (void)printf("Usage: qdrant-efs COMMAND [OPTIONS]\n");
    for (size_t i = 0; i < COMMANDS; i++)
        (void)printf("  %-7s %-10s  %s\n", commands[i].name, commands[i].operand ? commands[i].operand : "",
                     commands[i].help);
    (void)printf(
        "Options:\n"
        "  --root DIR          where EFS is mounted (EFS_ROOT); read-only is fine for all but prune "
        "and forget\n"
        "  --collection NAME   only this collection; may be repeated\n"
        "  --frequency NAME    only 15min, hourly, daily or monthly\n"
        "  --newer AGE         only slots of the last AGE, as in 90m, 24h, 7d, 2w\n"
        "  --older AGE         only slots from before that\n"
        "  --node NAME         ls, show, verify, du: only of this node (NODE_NAME, or its peer id)\n"
        "  --dry-run           prune, forget, restore: change nothing, say what would happen\n"
        "  --json              for programs\n"
        "  --tier, --cpu-arch  only the tree {TIER}-{CPU_ARCH} (else every tree); --retention as "
        "RETENTION\n"
        "verify:\n"
        "  --deep              and what is inside: every member of every tar, and that none is "
        "missing\n"
        "restore:\n"
        "  --at TIME           the newest good one of that time or before: 2026-11-24T08:00:00Z, a "
        "day, "
        "or an age\n"
        "  --snapshot NAME     this one\n"
        "  --node NAME         of this node (NODE_NAME, or its peer id)\n"
        "  --shard N           the snapshots of one shard; --storage-snapshot: of the whole storage\n"
        "  --strict            fail where the newest is not good, in place of taking the next older\n"
        "  --rename NEW        beside the original, as collection NEW; with --swap NEW is what is "
        "replaced\n"
        "  --force             replace a collection that has points, or a file\n"
        "  --recreate          delete the collection that is there, once the backup is proven, and "
        "make it "
        "anew\n"
        "  --swap              restore beside it, and when that is good switch its aliases and its "
        "name over\n"
        "  --to PATH           only a file, or files in the folder PATH; --stdout: only its bytes\n"
        "  --as-storage        --to a file that Qdrant restores at its start (--storage-snapshot), as "
        "custom "
        "sharding needs it\n"
        "  --url URL           Qdrant (QDRANT_URL); the key from QDRANT_API_KEY, QDRANT_API_KEY_FILE "
        "or "
        "AK_ARN\n"
        "  --wait AGE          for the collection to be green afterwards (10m)\n"
        "  --from-s3           from the copies in S3, not from EFS, which is not touched: "
        "SNAPSHOT_S3_BUCKET_NAME, SNAPSHOT_S3_ENDPOINT\n"
        "  --location URL      have Qdrant fetch it itself; with --collection, and --checksum SHA256; "
        "s3://BUCKET/KEY: this object; -: read it from standard input\n"
        "forget:\n"
        "  --node NAME         only the backups of this node; --all-nodes: of all, where several have "
        "some\n"
        "  --storage-snapshot  and the snapshots of the whole storage, which hold the collection, "
        "too\n"
        "drill: --at, --snapshot, --node, --shard, --storage-snapshot and --strict as above\n"
        "  --keep-report       on EFS, too, in {TIER}-{CPU_ARCH}/drills\n"
        "replica:\n"
        "  --primary DIR       compare with the first Region's EFS, mounted there; else with the "
        "heartbeats that arrived\n"
        "  --verify            read every byte of each recovery point\n"
        "  --rpo SECONDS|AGE   how old one may be (RPO_SECONDS, as the heartbeat has it)\n"
        "  --file-system ID    and ask AWS how far EFS replication is\n");
    (void)printf("restore has these settings and their flags, too:\n");
    config_help(qdrant_rows, qdrant_row_count, stdout);
    config_help(s3_rows, S3_ROWS, stdout);
    (void)printf("drill, from the environment alone:\n");
    config_help(drill_rows, DRILL_ROWS, stdout);
    (void)printf("replica, from the environment alone:\n");
    config_help(replica_rows, REPLICA_ROWS, stdout);
    (void)printf("EFS_ROOT, EFS_ALLOW_LOCAL, SNAPSHOTS_DIR, TIER, CPU_ARCH, NODE_NAME and RETENTION as of "
                 "qdrant-replicator.\n");
    return printf("Exit codes: 0 good; 1 a defect was found, a filter names what is nowhere, or it failed; "
                  "64 wrong use; "
                  "128+N ended by signal N while a read hung.\n") < 0;
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

static bool seconds_or_age(const char *text, time_t *seconds)
{
    char *end = NULL;
    long n = *text >= '0' && *text <= '9' ? strtol(text, &end, 10) : 0;
    bool plain = n > 0 && n <= 366L * 86400 && !*end;
    *seconds = plain ? (time_t)n : 0;
    return plain || retention_age(text, seconds);
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

/* -3. */
static int bad_time(const char *name, const char *v)
{
    cmd_complain("%s %.100s is not allowed; use %s", name, v, restore_when_use(v, time(NULL)));
    return -3;
}

/* 1 taken, -1 wrong, -3 wrong, and it was said why. */
static int take(struct options *o, const struct flag *f, const char *v)
{
    char *at = (char *)o + f->at;
    enum frequency t;
    switch (f->kind) {
    case FLAG_ON: return *(bool *)(void *)at = true, 1;
    case FLAG_TEXT: return *(const char **)(void *)at = v, *v ? 1 : -1;
    case FLAG_ROOT: return *v && (size_t)snprintf(o->root, sizeof o->root, "%s", v) < sizeof o->root ? 1 : -1;
    case FLAG_COLLECTION: return o->collections[o->n_collections++] = v, *v ? 1 : -1;
    case FLAG_AGO: return age(v, (time_t *)(void *)at) ? 1 : -1;
    case FLAG_SECONDS: return retention_age(v, (time_t *)(void *)at) ? 1 : -1;
    case FLAG_RPO: return seconds_or_age(v, (time_t *)(void *)at) ? 1 : -1;
    case FLAG_TIME: return time_parse(v, time(NULL), (time_t *)(void *)at) ? 1 : bad_time(f->name, v);
    case FLAG_TIER: return frequency_parse(v, &t) ? (*(int *)(void *)at = (int)t, 1) : -1;
    default: return *v && setenv("QDRANT_URL", v, 1) == 0 ? 1 : -1;
    }
}

/* 1 taken, 0 not ours, -1 ours and wrong, -2 of another command, -3 wrong, and it was said why. */
static int option(const struct command *c, struct options *o, const char *arg, const char *following,
                  bool *next)
{
    *next = false;
    for (size_t i = 0; i < FLAGS; i++) {
        const struct flag *f = &flags[i];
        const char *v = f->kind != FLAG_ON          ? value_of(arg, f->name, following, next)
                        : strcmp(arg, f->name) == 0 ? ""
                                                    : NULL;
        if (v)
            return f->commands & c->bit ? take(o, f, v) : -2;
    }
    int rc = settings_flag(arg, following, next);
    if (rc == 0 && c->bit == RESTORE)
        rc = config_flag(qdrant_rows, qdrant_row_count, arg, following, next);
    return rc == 0 && c->bit == RESTORE ? config_flag(s3_rows, S3_ROWS, arg, following, next) : rc;
}

/* What a flag of that kind may have. */
static const char *allowed(int kind)
{
    switch (kind) {
    case FLAG_AGO:
    case FLAG_SECONDS: return "an age, as in 90m, 24h, 7d or 2w";
    case FLAG_RPO: return "seconds, or an age as in 90m, 24h or 7d";
    case FLAG_TIER: return "15min, hourly, daily or monthly";
    case FLAG_TIME: return "a time (UTC) such as 2026-11-24T08:00:00Z, a day, or an age such as 2h";
    case FLAG_ROOT: return "the folder where EFS is mounted";
    default: return "a value that is not empty";
    }
}

static int wrong_value(const char *arg, const char *following)
{
    size_t n = strcspn(arg, "=");
    const char *use = "a value", *v = arg[n] ? arg + n + 1 : following ? following : "";
    for (size_t i = 0; i < FLAGS; i++)
        if (strlen(flags[i].name) == n && strncmp(arg, flags[i].name, n) == 0)
            use = allowed(flags[i].kind);
    if (*v)
        cmd_complain("%.*s %.100s is not allowed; use %s", (int)n, arg, v, use);
    else
        cmd_complain("a value is missing after %.*s; use %s", (int)n, arg, use);
    return EXIT_SETTING;
}

static int parse(const struct command *c, int argc, char **argv, struct options *o)
{
    o->collections = calloc((size_t)argc + 1, sizeof *o->collections); /* until the program ends */
    if (!o->collections)
        return bad("no memory", "");
    bool names = false; /* after "--" */
    for (int i = 0; i < argc; i++) {
        bool next = false;
        if (!names && strcmp(argv[i], "--") == 0) {
            names = true;
            continue;
        }
        int rc = argv[i][0] == '-' && !names ? option(c, o, argv[i], argv[i + 1], &next) : 0;
        if (rc == -3)
            return EXIT_SETTING;
        if (rc == -1)
            return wrong_value(argv[i], argv[i + 1]);
        if (rc == -2) {
            argv[i][strcspn(argv[i], "=")] = 0;
            cmd_complain("%s is not for %s; see qdrant-efs --help", argv[i], c->name);
            return EXIT_SETTING;
        }
        if (rc == 0 && argv[i][0] == '-' && !names) {
            argv[i][strcspn(argv[i], "=")] = 0; /* what follows may be a secret */
            return bad("no such option:", argv[i]);
        }
        if (rc == 0 && o->operand)
            return bad("unexpected argument", argv[i]);
        if (rc == 0)
            o->operand = argv[i];
        i += next;
    }
    return 0;
}

/* What was printed may not have arrived: a full disk behind a redirection. */
static int said(int rc)
{
    bool failed = fflush(stdout) != 0;
    int code = failed ? errno : 0;
    if (!failed && !ferror(stdout))
        return rc;
    cmd_complain("cannot write to standard output%s%s: what was printed is not all", code ? ": " : "",
                 code ? strerror(code) : "");
    return rc ? rc : EXIT_DEFECT;
}

/* Backups that are only on this machine's own disk look like any others. */
static void warn_if_local(const struct options *o, const char *root)
{
    if (!o->settings.allow_local && access(root, F_OK) == 0 &&
        !mount_on_network(root, o->settings.snapshots_dir))
        cmd_complain(
            "warning: %s is on a local disk, not on EFS: is EFS mounted? (EFS_ALLOW_LOCAL=1 allows it)",
            root);
}

/* Whatever a command judges, writes or restores rests on that. `restore` and `drill` tell of each name at its
 * turn, `replica` of each collection; what the first Region has may not have arrived yet. */
static void look_at_root(const struct command *c, const struct options *o)
{
    warn_if_local(o, o->root);
    if (o->replica.primary)
        warn_if_local(o, o->replica.primary);
    if (!(c->bit & (RESTORE | DRILL)) && !o->replica.primary)
        cmd_tell_unknown(o, !(c->bit & (FORGET | REPLICA)));
}

/* A presigned URL is as good as a key, and everybody on the machine can read arguments: "-" has it read from
 * standard input. */
static bool read_location(struct options *o)
{
    static char line[8192];
    size_t n = fgets(line, sizeof line, stdin) ? strcspn(line, "\r\n") : 0;
    bool whole = n > 0 && n < sizeof line - 1;
    line[n] = 0;
    o->restore.location = line;
    return whole;
}

static int run(const struct command *c, struct options *o)
{
    struct err e = {0};
    if (o->restore.location && strcmp(o->restore.location, "-") == 0 && !read_location(o))
        return bad("no URL on standard input, which --location - reads", "");
    if (settings_read(&o->settings, &e) != 0 || settings_keys(&o->settings, c->bit == FORGET, &e) != 0)
        return bad(e.text, "");
    if (o->settings.require_signature && o->restore.location &&
        strncmp(o->restore.location, "s3://", strlen("s3://")) != 0)
        return bad(
            "what comes from a URL has no signature, and REQUIRE_SIGNATURE=1; set it to 0 for this one "
            "restore",
            "");
    if (!o->root[0])
        memcpy(o->root, o->settings.efs_root, sizeof o->root);
    if (!o->root[0] && !o->restore.location && !o->restore.from_s3)
        return bad("no EFS: set EFS_ROOT or give --root DIR", "");
    if (!c->operand != !o->operand)
        return bad(c->bit == FORGET ? "give the collection: forget COLLECTION"
                   : c->operand     ? "give the snapshot: show SNAPSHOT"
                                    : "unexpected argument (a collection is given as --collection NAME):",
                   o->operand ? o->operand : "");
    if (!o->restore.from_s3 && !o->restore.location)
        look_at_root(c, o);
    int rc = c->run(o);
    /* What could not be listed is not known, and what is nowhere was a typo. */
    return rc == 0 && cmd_unread() + cmd_unknown() > 0 ? EXIT_DEFECT : rc;
}

int main(int argc, char **argv)
{
    static struct options o = {.frequency = -1, .restore.wait = 600};
#ifndef __SANITIZE_ADDRESS__            /* the leak checker must be able to look */
    if (prctl(PR_SET_DUMPABLE, 0) != 0) /* no key in a core dump, nor in /proc/PID/environ for others */
        perror("prctl");
#endif
    (void)setlocale(LC_CTYPE, "C.UTF-8"); /* for column widths; without it they may be a little off */
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return usage();
        if (strcmp(argv[i], "--version") == 0)
            return puts("qdrant-efs " VERSION) < 0;
    }
    if (argc < 2)
        return bad("no command given", "");
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(argv[1], commands[i].name) == 0) {
            int rc = parse(&commands[i], argc - 2, argv + 2, &o);
            return rc != 0 ? rc : said(run(&commands[i], &o));
        }
    return bad("no such command:", argv[1]);
}
