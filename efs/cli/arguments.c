/* The arguments of a command, by the tables of its flags and settings. */
#include "efs/cli/commands.h"
#include "efs/cli/suggest.h"
#include "efs/restore/restore.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int arguments_wrong(const struct command *c, const char *what, const char *value)
{
    cmd_complain("%s%s%s; see qdrant-efs %s%s--help", what, *value ? " " : "", value, c ? c->name : "",
                 c ? " " : "");
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

static bool count(const char *text, unsigned *out)
{
    char *end = NULL;
    unsigned long n = *text >= '1' && *text <= '9' ? strtoul(text, &end, 10) : 0;
    *out = (unsigned)n;
    return n > 0 && n <= 1000000 && !*end;
}

static bool state(const char *text, int *out)
{
    for (*out = ENTRY_COMPLETE; *out < ENTRY_STATES; (*out)++)
        if (strcmp(text, entry_state_text((enum entry_state) * out)) == 0)
            return true;
    return false;
}

static bool is_url(const char *v) { return qdrant_url_allowed(v) && strstr(v, "://")[3]; }

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
    case FLAG_PEER: return o->restore.peers[o->restore.n_peers++] = v, is_url(v) ? 1 : -1;
    case FLAG_LOST: return o->heal.peers[o->heal.n_peers++] = v, *v ? 1 : -1;
    case FLAG_AGO: return age(v, (time_t *)(void *)at) ? 1 : -1;
    case FLAG_SECONDS: return retention_age(v, (time_t *)(void *)at) ? 1 : -1;
    case FLAG_RPO: return seconds_or_age(v, (time_t *)(void *)at) ? 1 : -1;
    case FLAG_TIME: return time_parse(v, time(NULL), (time_t *)(void *)at) ? 1 : bad_time(f->name, v);
    case FLAG_STATE: return state(v, (int *)(void *)at) ? 1 : -1;
    case FLAG_COUNT: return count(v, (unsigned *)(void *)at) ? 1 : -1;
    case FLAG_TIER: return frequency_parse(v, &t) ? (*(int *)(void *)at = (int)t, 1) : -1;
    default: return *v && setenv("QDRANT_URL", v, 1) == 0 ? 1 : -1;
    }
}

/* Of the tables of settings: as option. */
static int setting(const struct command *c, const char *arg, const char *following, bool *next)
{
    int rc = settings_flag(arg, following, next);
    if (rc == 0 && (c->bit & (RESTORE | CHECK | HEAL)))
        rc = config_flag(qdrant_rows, qdrant_row_count, arg, following, next);
    return rc == 0 && (c->bit & (RESTORE | CHECK)) ? config_flag(s3_rows, S3_ROWS, arg, following, next) : rc;
}

/* What stands where a value is to be is the next option: -3, else `rc`. No collection, file or time begins so
 * by accident; one that does is given behind a '='. */
static int not_an_option(const struct command *c, const char *arg, const char *following, bool next, int rc)
{
    if (!next || !following || strncmp(following, "--", 2) != 0)
        return rc;
    size_t n = strcspn(following, "="); /* behind that may be a secret */
    cmd_complain("a value is missing after %s: %.*s is an option; see qdrant-efs %s --help", arg,
                 (int)(n > 100 ? 100 : n), following, c->name);
    return -3;
}

/* 1 taken, 0 not ours, -1 ours and wrong, -2 of another command, -3 wrong, and it was said why. */
static int option(const struct command *c, struct options *o, const char *arg, const char *following,
                  bool *next)
{
    size_t n = strcspn(arg, "=");
    const struct flag *f = flag_find(arg, n, c->bit);
    *next = false;
    if (!f || f->kind == FLAG_SETTING) {
        int rc = setting(c, arg, following, next);
        return not_an_option(c, arg, following, *next, rc);
    }
    if (!(f->commands & c->bit))
        return -2;
    if (f->kind == FLAG_ON && arg[n]) {
        cmd_complain("%s takes no value; see qdrant-efs %s --help", f->name, c->name);
        return -3;
    }
    *next = f->kind != FLAG_ON && !arg[n];
    if (not_an_option(c, arg, following, *next, 0) != 0)
        return -3;
    return take(o, f, arg[n] ? arg + n + 1 : *next && following ? following : "");
}

/* What a flag of that kind may have. */
static const char *allowed(enum flag_kind kind)
{
    switch (kind) {
    case FLAG_AGO:
    case FLAG_SECONDS: return "an age, as in 90m, 24h, 7d or 2w";
    case FLAG_RPO: return "seconds, or an age as in 90m, 24h or 7d";
    case FLAG_STATE: return "complete, incomplete, corrupt, unreadable or unsigned";
    case FLAG_COUNT: return "a number from 1 to 1000000";
    case FLAG_TIER: return "15min, hourly, daily or monthly";
    case FLAG_TIME: return "a time (UTC) such as 2026-11-24T08:00:00Z, a day, or an age such as 2h";
    case FLAG_ROOT: return "the folder where EFS is mounted";
    case FLAG_PEER: return "an address such as http://qdrant-1:6333";
    default: return "a value that is not empty";
    }
}

static int wrong_value(const char *arg, const char *following)
{
    size_t n = strcspn(arg, "=");
    const struct flag *f = flag_find(arg, n, 0);
    const char *use = f && f->kind != FLAG_SETTING ? allowed(f->kind) : "a value", *v = arg[n] ? arg + n + 1
                                                                                        : following
                                                                                            ? following
                                                                                            : "";
    if (*v)
        cmd_complain("%.*s %.100s is not allowed; use %s", (int)n, arg, v, use);
    else
        cmd_complain("a value is missing after %.*s; use %s", (int)n, arg, use);
    return EXIT_SETTING;
}

/* What follows the name may be a secret, and is not shown. */
static int wrong_option(const struct command *c, char *arg, bool of_others)
{
    const char *names[64] = {NULL}, *meant = NULL;
    char others[200];
    size_t n = 0;
    arg[strcspn(arg, "=")] = 0;
    if (of_others) {
        command_names(flag_commands(arg), others, sizeof others);
        cmd_complain("%s is not for %s, but for %s; see qdrant-efs %s --help", arg, c->name, others, c->name);
        return EXIT_SETTING;
    }
    for (size_t i = 0; i < n_flags && n < sizeof names / sizeof *names; i++)
        if (flags[i].commands & c->bit)
            names[n++] = flags[i].name;
    meant = suggest(arg, names, n);
    if (!meant)
        return arguments_wrong(c, "no such option:", arg);
    cmd_complain("no such option: %.100s; did you mean %s? See qdrant-efs %s --help", arg, meant, c->name);
    return EXIT_SETTING;
}

int arguments_parse(const struct command *c, int argc, char **argv, struct options *o)
{
    o->collections = calloc((size_t)argc + 1, sizeof *o->collections); /* until the program ends */
    o->restore.peers = calloc((size_t)argc + 1, sizeof *o->restore.peers);
    o->heal.peers = calloc((size_t)argc + 1, sizeof *o->heal.peers);
    if (!o->collections || !o->restore.peers || !o->heal.peers)
        return arguments_wrong(c, "no memory", "");
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
        if (rc == -2 || (rc == 0 && argv[i][0] == '-' && !names))
            return wrong_option(c, argv[i], rc == -2);
        if (rc == 0 && o->operand && (o->second || command_operands(c) < 2))
            return arguments_wrong(c, "unexpected argument", argv[i]);
        if (rc == 0 && o->operand)
            o->second = argv[i];
        else if (rc == 0)
            o->operand = argv[i];
        i += next;
    }
    return 0;
}
