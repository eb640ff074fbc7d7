/* The parts of `qdrant-efs drill`. */
#ifndef EFS_CLI_CMD_DRILL_H
#define EFS_CLI_CMD_DRILL_H
#include "efs/cli/cli.h"
#include "efs/drill/drill.h"
#include "efs/drill/drill_result.h"

struct cJSON;
struct set_source;
struct drill_job {
    const struct options *o;
    const atomic_bool *stop; /* set by a signal */
    struct drill *drill;
    struct backup_list beside; /* of a collection that a drill needs beside what it proves */
    struct progress *bar;
    struct cJSON *report, *drills; /* the report, and its array */
    struct drill_result result;
    size_t others; /* sets that fall to other nodes (--own) */
    time_t begun;
    int64_t timeout_ms;
    uint64_t min_free;
    bool confine, unread; /* unread: the folders could not be listed */
    char program[PATH_MAX], place[PATH_MAX], engine[32], node[128], base[PATH_MAX];
};
/* What a drill found of `b`, into the report and to a person; `of`: the set that it was, or NULL. */
void drill_tell(struct drill_job *r, const struct backup *b, const struct set_source *of,
                struct drill_report *d, const char *passed_over);
/* What there is of a collection cannot be proven. */
void drill_nothing(struct drill_job *r, enum kind kind, const char *collection, const char *why);
/* One backup, told. True when a restore would have to take the next older one. */
bool drill_prove(struct drill_job *r, const struct backup *b, const char *passed_over);

/* A second Qdrant by the settings of drills, beside what the options say. drill_close ends it. */
struct drill *drill_settings_open(const struct options *o, const struct copy_watch *watch,
                                  const atomic_bool *stop, struct err *e);
/* Of each collection the newest complete set of a cluster's backups; with --own of those alone that fall to
 * this node: each set to one of the nodes that have a backup in it, by its collection's name. */
void drill_sets(struct drill_job *r);
/* Pure. Which of `n` nodes proves the sets of a collection. */
size_t drill_turn(const char *collection, size_t n);
#endif
