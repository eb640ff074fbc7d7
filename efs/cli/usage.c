/* What --help prints. */
#include "efs/cli/commands.h"
#include "qdrant/settings.h"
#include <stdio.h>
#include <string.h>

enum { WIDTH = 80, NAMES = 24 };

/* Text from column `indent` on, where the cursor is, and in its next lines. */
static void wrapped(const char *text, int indent)
{
    int at = indent;
    while (*text) {
        size_t n = strcspn(text, " ");
        if (at > indent && at + 1 + (int)n > WIDTH) {
            (void)printf("\n%*s", indent, "");
            at = indent;
        }
        at += printf("%s%.*s", at > indent ? " " : "", (int)n, text);
        text += n + strspn(text + n, " ");
    }
    (void)putchar('\n');
}

static void row(const char *name, const char *text)
{
    (void)printf("  %-*s%s", NAMES - 3, name, strlen(name) > NAMES - 3 ? "\n" : " ");
    if (strlen(name) > NAMES - 3)
        (void)printf("%*s", NAMES, "");
    wrapped(text, NAMES);
}

static void flag(const struct flag *f)
{
    char name[64];
    (void)snprintf(name, sizeof name, "%s%s%s", f->name, f->value ? " " : "", f->value ? f->value : "");
    row(name, f->help);
}

static void settings(const char *of, const struct config_row *rows, size_t n)
{
    char text[4096];
    size_t at = 0;
    for (size_t i = 0; i < n && at < sizeof text; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%s", i ? ", " : "", rows[i].name);
    (void)printf("%s", of);
    wrapped(text, (int)strlen(of));
}

static void settings_of(const struct command *c)
{
    (void)puts("Settings, from the environment (qdrant-efs --help tells what each is):");
    if (c->bit & (RESTORE | CHECK | HEAL))
        settings("  ", qdrant_rows, qdrant_row_count);
    if (c->bit & (RESTORE | CHECK))
        settings("  ", s3_rows, S3_ROWS);
    if (c->bit == DRILL)
        settings("  ", drill_rows, DRILL_ROWS);
    if (c->bit & (REPLICA | STATUS))
        settings("  ", replica_rows, REPLICA_ROWS);
    (void)puts("  EFS_ROOT, TIER, CPU_ARCH, NODE_NAME, VERIFY_KEYS, REQUIRE_SIGNATURE");
}

int usage_of(const struct command *c)
{
    (void)printf("Usage: qdrant-efs %s%s%s [OPTIONS]\n", c->name, c->operand ? " " : "",
                 c->operand ? c->operand : "");
    wrapped(c->help, 0);
    (void)puts("Options:");
    for (size_t i = 0; i < n_flags; i++)
        if (flags[i].commands & c->bit)
            flag(&flags[i]);
    settings_of(c);
    (void)puts("Examples:");
    for (size_t i = 0; i < sizeof c->example / sizeof *c->example; i++)
        (void)printf("  %s\n", c->example[i]);
    (void)puts("Exit codes:");
    row("0", c->good);
    row("1", c->bad);
    row("64", "wrong use");
    if (c->bit & (RESTORE | DRILL))
        row("128+N", "ended by signal N while a read hung");
    return 0;
}

int usage_all(void)
{
    (void)puts("Usage: qdrant-efs COMMAND [OPTIONS]");
    for (size_t i = 0; i < n_commands; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "%s %s", commands[i].name,
                       commands[i].operand ? commands[i].operand : "");
        row(name, commands[i].help);
    }
    (void)puts("qdrant-efs COMMAND --help tells its options, with examples. Options of all:");
    for (size_t i = 0; i < n_flags; i++)
        if (flags[i].commands == ALL)
            flag(&flags[i]);
    row("--help, --version", "this text, or that of a command; the version");
    (void)puts("restore and check have these settings and their flags, too:");
    config_help(qdrant_rows, qdrant_row_count, stdout);
    config_help(s3_rows, S3_ROWS, stdout);
    (void)puts("drill, from the environment alone:");
    config_help(drill_rows, DRILL_ROWS, stdout);
    (void)puts("replica and status, from the environment alone:");
    config_help(replica_rows, REPLICA_ROWS, stdout);
    (void)puts("EFS_ROOT, EFS_ALLOW_LOCAL, SNAPSHOTS_DIR, TIER, CPU_ARCH, NODE_NAME, RETENTION,\n"
               "VERIFY_KEYS and REQUIRE_SIGNATURE as of qdrant-replicator.");
    (void)puts("Exit codes: 0 good; 1 a defect was found, a filter names what is nowhere, or it\n"
               "failed; 64 wrong use; 128+N ended by signal N while a read hung.");
    return 0;
}
