/* Qdrant's own configuration files, as Qdrant (1.18.2, src/settings.rs) merges them: config/config,
 * config/RUN_MODE (default: development) and config/local below its working folder, then QDRANT_CONFIG_PATH,
 * which is its --config-path; each as .yaml or .yml. Its variables win over all of them. What the files say
 * of where it listens, of its keys and of its folders becomes, for our programs, the variables that are not
 * set, so that there is one reading of either.
 *
 * The entrypoint, which is PID 1 and knows no YAML, has `qdrant-replicator qdrant-settings` tell it. */
#ifndef QDRANT_CONFIG_FILES_H
#define QDRANT_CONFIG_FILES_H
#include "common/base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { CONFIG_KEYS = 10, CONFIG_VALUE = 4096 };
struct config_values { /* by the rows of the table in config_files.c; NULL: not said */
    char *v[CONFIG_KEYS];
};
void config_values_free(struct config_values *c);
/* What one file's text says, over what is known; null takes a value back. -1: no YAML, or
 * (E2BIG) one that would take the loader too long; `e` has the line. */
int config_values_add(struct config_values *c, const char *yaml, size_t n, struct err *e);
/* By the name of Qdrant's variable; NULL: not said. */
const char *config_values_get(const struct config_values *c, const char *variable);

/* Read the files below the working folder, and set the variables. -1: one cannot be read. */
int config_files_apply(struct err *e);
/* The variables that the files set, one NAME=VALUE a line, but for keys. Returns an exit code. */
int config_files_print(FILE *to);
#endif
