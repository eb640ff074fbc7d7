/* What `diff` has found of two backups, and how it is told. */
#ifndef EFS_CLI_CMD_DIFF_H
#define EFS_CLI_CMD_DIFF_H
#include "efs/cli/cli.h"
#include "efs/verify/contents.h"

enum diff_answer { DIFF_SAME, DIFF_CHANGED, DIFF_UNKNOWN };
/* A segment, a shard's own files, or those of the whole collection. */
struct diff_part {
    char *name; /* "0/segments/UUID", "0", or "" */
    uint64_t a, b;
    size_t same, changed, fresh, gone; /* files */
};
struct diff_setting {
    char *name, *a, *b; /* "params.vectors.size"; NULL: it is not there */
};
struct diff {
    const struct backup *a, *b;
    enum diff_answer configuration, content;
    bool files; /* the bytes were read, and all below is known */
    struct contents in_a, in_b;
    struct diff_part *part;
    size_t parts;
    struct diff_setting *setting; /* that differ */
    size_t settings;
};
int diff_print(const struct diff *d);
int diff_print_json(const struct diff *d);
#endif
