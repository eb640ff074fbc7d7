/* Settings from the environment, or from flags of the same names: EFS_ROOT is --efs-root. Each program has
 * tables of its own; this reads and checks one value. A wrong one is an error that names the variable, the
 * value and what is allowed. Empty counts as unset. */
#ifndef COMMON_CONFIG_H
#define COMMON_CONFIG_H
#include "common/base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { EXIT_SETTING = 64 }; /* EX_USAGE of sysexits.h; the entrypoint does not restart after it */
struct config_row {
    const char *name, *help;
    const char *standard; /* what counts when it is not set, and nowhere else in the code; may be empty */
    const char *words;    /* for people, where that depends on something else; or NULL */
    bool secret;          /* has no flag, since everyone can read a process's arguments */
};
/* The default of a setting of the table. */
const char *config_standard(const struct config_row *rows, size_t n, const char *name);
/* Is `flag` ("--efs-root", "--efs-root=/efs") in the table? Then puts its value, `next` when there is no '=',
 * into the environment, and *took_next says whether `next` was used. -1: in the table, but without a value.
 * 0: not in it. */
int config_flag(const struct config_row *rows, size_t n, const char *flag, const char *next, bool *took_next);
void config_help(const struct config_row *rows, size_t n, FILE *to);

const char *config_env(const char *name, const char *standard);
/* Returns -1. The value is made printable and cut. */
int config_wrong(struct err *e, const char *name, const char *value, const char *allowed);
int config_text(char *out, size_t size, const char *name, const char *value, struct err *e);
int config_number(const char *name, const char *standard, long min, long max, long *out, struct err *e);
/* "90s", "15m", "24h", "7d"; a plain 0. In seconds, from `min` to `max`. */
int config_seconds(const char *name, const char *standard, unsigned min, unsigned max, unsigned *out,
                   struct err *e);
/* "500m", "1g", "2t", or plain bytes. Powers of 1024. */
int config_bytes(const char *name, const char *standard, uint64_t *out, struct err *e);
/* One of `words` (NULL at the end); its index. */
int config_choice(const char *name, const char *standard, const char *const *words, unsigned *out,
                  struct err *e);
/* An absolute path in one spelling: no "//", "/./" or final slash. May be empty. */
int config_path(char *out, size_t size, const char *name, const char *value, struct err *e);
/* Letters, digits, '.', '_', '-': may become a part of a path. */
int config_word(const char *name, const char *value, struct err *e);
/* A bucket of S3. May be empty. */
int config_bucket(char *out, size_t size, const char *name, const char *value, struct err *e);
#endif
