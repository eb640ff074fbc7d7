/* The parts of `qdrant-efs restore`: one collection (or shard, or the whole storage) at a time, and what is
 * told about it, to a person or as JSON. */
#ifndef EFS_CMD_RESTORE_H
#define EFS_CMD_RESTORE_H
#include "efs/cmd.h"
#include "efs/restore.h"

struct job {
    const struct options *o;
    struct qdrant *qdrant; /* NULL: only a file is written */
    const atomic_bool *stop;
    struct cJSON *array; /* with --json: all jobs */
    /* of the one at hand: */
    struct restore_wish wish;
    const char *target;  /* collection in Qdrant */
    char file[PATH_MAX]; /* with --to */
    struct restore_report report;
    struct cJSON *json; /* its member of `array` */
};
/* Begin to tell of a job. */
void say_begin(struct job *j);
/* A backup that was passed over. */
void say_skipped(struct backup *b, const char *why, void *job);
/* How it ended; `b` NULL: there was none. Returns whether that is a success. */
bool say_end(struct job *j, const struct backup *b, enum restore_outcome outcome, const struct err *e,
             double seconds);
#endif
