/* The commands of qdrant-efs and their flags: what each is called, takes, does and returns. One row tells the
 * parser, `--help`, and the tests that hold the manual page and the examples to it. */
#ifndef EFS_CLI_COMMANDS_H
#define EFS_CLI_COMMANDS_H
#include "efs/cli/cli.h"

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
    STATUS = 512,
    PIN = 1024,
    UNPIN = 2048,
    NOTE = 4096,
    DIFF = 8192,
    CHECK = 16384,
    HEAL = 32768,
    BROWSE = 65536,
    COMPACT = 131072,
    PINNING = PIN | UNPIN | NOTE,
    CHOOSE = LS | SHOW | VERIFY | PRUNE | RESTORE | DRILL | DU | PINNING | DIFF | BROWSE,
    ALL = CHOOSE | REPLICA | FORGET | STATUS | CHECK | HEAL | COMPACT
};
struct command {
    const char *name, *operand,
        *help; /* operand: "SNAPSHOT", or several words, each of which must be given */
    int (*run)(const struct options *);
    int bit;
    const char *example[2]; /* each runs as it stands, where there is such a backup */
    const char *good, *bad; /* what the exit codes 0 and 1 mean */
};
extern const struct command commands[];
extern const size_t n_commands;
/* How many operands it takes, at most two. */
size_t command_operands(const struct command *c);
/* NULL: there is none of that name. */
const struct command *command_find(const char *name);
/* "ls, status or du": those of these bits. */
void command_names(int bits, char *out, size_t size);

/* What a flag's value becomes. */
enum flag_kind {
    FLAG_ON,
    FLAG_TEXT,
    FLAG_ROOT,
    FLAG_COLLECTION,
    FLAG_AGO,
    FLAG_SECONDS,
    FLAG_RPO,
    FLAG_TIER,
    FLAG_TIME,
    FLAG_URL,
    FLAG_STATE,
    FLAG_COUNT,
    FLAG_PEER,   /* an address */
    FLAG_LOST,   /* a peer's id */
    FLAG_SETTING /* of a setting's table, which reads it */
};
/* A name may have several rows, each for other commands. */
struct flag {
    const char *name, *value, *help; /* value: what stands for it in a usage; NULL: it takes none */
    enum flag_kind kind;
    int commands;
    size_t at; /* in struct options */
};
extern const struct flag flags[];
extern const size_t n_flags;
/* Of that name: the row of one of these commands, else any (`bits` 0 for none), else NULL. `n`: the name's
 * length. */
const struct flag *flag_find(const char *name, size_t n, int bits);
/* All commands that take a flag of that name. */
int flag_commands(const char *name);

/* `argv` is what follows the command. 0, or an exit code after an error that it printed. */
int arguments_parse(const struct command *c, int argc, char **argv, struct options *o);
/* An error about the use of a command (NULL: of none), with where help is. EXIT_SETTING. */
int arguments_wrong(const struct command *c, const char *what, const char *value);

/* For a shell: print what the last word may become, of those after the program's name. An exit code. */
int complete(int argc, char **argv);

/* Print how all of it is used, or one command. An exit code. */
int usage_all(void);
int usage_of(const struct command *c);
#endif
