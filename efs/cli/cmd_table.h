/* What the commands that print tables share: cells of a width on the terminal, names, ages. */
#ifndef EFS_CLI_CMD_TABLE_H
#define EFS_CLI_CMD_TABLE_H
#include "efs/repo/name.h"
#include <stdbool.h>

/* Print a cell that is followed by another one. */
void table_cell(const char *text, size_t width, bool right);
/* The width that a column of that width needs for this text, too. */
size_t table_wider(size_t width, const char *text);
/* "docs", "docs, shard 3", "(whole storage)": fit for a terminal. Returns `out`, or a text that stays. */
const char *table_source(const struct source *s, char *out, size_t size);
/* "14 min", "3 h", "4 days" */
const char *table_age(time_t seconds, char out[32]);
#endif
