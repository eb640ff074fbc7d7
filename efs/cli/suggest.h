/* "Did you mean": of some words the one that somebody most likely meant. A pure function. */
#ifndef EFS_CLI_SUGGEST_H
#define EFS_CLI_SUGGEST_H
#include <stddef.h>

/* The nearest of `n` words, NULL when none is near: one slip (a letter too much, too few, another, or two
 * changed places) for a short word, two from six letters on; or one that begins with what was written. */
const char *suggest(const char *written, const char *const *words, size_t n);
#endif
