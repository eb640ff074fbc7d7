/* Another program of ours, as a child that dies with the thread that started it: what it does, what memory it
 * takes and how it ends never touches this process. */
#ifndef REPLICATOR_CORE_SUBPROCESS_H
#define REPLICATOR_CORE_SUBPROCESS_H
#include "common/base/err.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct subprocess_options {
    const char *program;      /* its name: beside this program, else on PATH */
    char *const *argv;        /* ends with NULL */
    char *const *environment; /* ends with NULL */
    int64_t end;              /* monotonic milliseconds: TERM then */
    unsigned output_max;      /* bytes; more is an error */
    const atomic_bool *stop;  /* set: TERM, and KILL a second later */
    bool (*give_up)(void *);  /* likewise when it says so; may be NULL */
    void *arg;
};
struct subprocess_result {
    int status;        /* of waitpid */
    char *output;      /* of standard output, freed by the caller */
    char errors[1024]; /* the end of standard error */
};
/* Blocks. 0: it ran to its end, whatever that was. -1 with `e`: it did not start, or was ended by us. */
int subprocess_run(const struct subprocess_options *o, struct subprocess_result *out, struct err *e);
/* This process's environment but for `without` (names, or prefixes that end in '*'; ends with NULL), with
 * `more` ("NAME=value"; ends with NULL). The array is freed by the caller, the strings are not copied. */
char **subprocess_environment(const char *const *without, char *const *more);
#endif
