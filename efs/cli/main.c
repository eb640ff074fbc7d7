/* qdrant-efs: what operators use on the EFS mount. */
#include "common/base/version.h"
#include "efs/cli/commands.h"
#include "efs/cli/suggest.h"
#include "efs/repo/mount.h"
#include <errno.h>
#include <locale.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

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
    if (c->bit == CHECK)
        return; /* has lines of its own for that */
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

static int operand_missing(const struct command *c)
{
    char what[100];
    (void)snprintf(what, sizeof what, "give all that it needs: %s %s", c->name, c->operand);
    return arguments_wrong(c, what, "");
}

/* Is what it is to do on EFS, at least in part? */
static bool uses_efs(const struct command *c, const struct options *o)
{
    return c->bit == HEAL ? o->heal.restore : !o->restore.location && !o->restore.from_s3;
}

static int run(const struct command *c, struct options *o)
{
    struct err e = {0};
    if (o->restore.location && strcmp(o->restore.location, "-") == 0 && !read_location(o))
        return arguments_wrong(c, "no URL on standard input, which --location - reads", "");
    if (settings_read(&o->settings, &e) != 0 ||
        settings_keys(&o->settings, c->bit & (FORGET | COMPACT), &e) != 0)
        return arguments_wrong(c, e.text, "");
    if (o->settings.require_signature && o->restore.location &&
        strncmp(o->restore.location, "s3://", strlen("s3://")) != 0)
        return arguments_wrong(
            c,
            "what comes from a URL has no signature, and REQUIRE_SIGNATURE=1; set it to 0 for this one "
            "restore",
            "");
    if (!o->root[0])
        memcpy(o->root, o->settings.efs_root, sizeof o->root);
    if (!o->root[0] && uses_efs(c, o))
        return arguments_wrong(c, "no EFS: set EFS_ROOT or give --root DIR", "");
    if (!c->operand && o->operand)
        return arguments_wrong(
            c, "unexpected argument (a collection is given as --collection NAME):", o->operand);
    if (command_operands(c) != (o->operand != NULL) + (size_t)(o->second != NULL))
        return operand_missing(c);
    if (uses_efs(c, o)) {
        cmd_resolve_aliases(o);
        look_at_root(c, o);
    }
    int rc = c->run(o);
    /* What could not be listed is not known, and what is nowhere was a typo. */
    return rc == 0 && cmd_unread() + cmd_unknown() > 0 ? EXIT_DEFECT : rc;
}

/* No command of that name. */
static int no_command(const char *name)
{
    const char *names[24] = {NULL};
    char all[200];
    size_t n = 0;
    for (; n < n_commands && n < sizeof names / sizeof *names; n++)
        names[n] = commands[n].name;
    const char *meant = suggest(name, names, n);
    command_names(ALL, all, sizeof all);
    if (meant)
        cmd_complain("no such command: %.100s; did you mean %s? See qdrant-efs --help", name, meant);
    else
        cmd_complain("no such command: %.100s; use %s; see qdrant-efs --help", name, all);
    return EXIT_SETTING;
}

/* Of a command, where one is named. */
static int help(const char *name)
{
    const struct command *c = name ? command_find(name) : NULL;
    if (name && !c && *name != '-')
        return no_command(name);
    return said(c ? usage_of(c) : usage_all());
}

/* Is that word among the arguments, before a "--"? */
static bool asked(int argc, char **argv, const char *word)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], word) == 0)
            return true;
    return false;
}

enum { LARGE_PIECE = 256 << 10 };

int main(int argc, char **argv)
{
    static struct options o = {.frequency = -1, .state = -1, .restore.wait = 600};
#ifndef __SANITIZE_ADDRESS__            /* the leak checker must be able to look */
    if (prctl(PR_SET_DUMPABLE, 0) != 0) /* no key in a core dump, nor in /proc/PID/environ for others */
        perror("prctl");
#endif
    /* Lists of folders come and go: what they took goes back, also once there was a large one. */
    (void)mallopt(M_MMAP_THRESHOLD, LARGE_PIECE);
    (void)setlocale(LC_CTYPE, "C.UTF-8"); /* for column widths; without it they may be a little off */
    if (argc > 1 && strcmp(argv[1], "complete") == 0) /* before all else: any word may stand behind it */
        return said(complete(argc - 2, argv + 2));
    if (asked(argc, argv, "--help") || asked(argc, argv, "-h"))
        return help(argv[1]);
    if (asked(argc, argv, "--version"))
        return said(puts("qdrant-efs " VERSION) < 0);
    if (argc < 2)
        return arguments_wrong(NULL, "no command given", "");
    if (strcmp(argv[1], "help") == 0)
        return help(argv[2]);
    const struct command *c = command_find(argv[1]);
    if (!c)
        return no_command(argv[1]);
    int rc = arguments_parse(c, argc - 2, argv + 2, &o);
    return rc != 0 ? rc : said(run(c, &o));
}
