/* What `qdrant-efs status` knows of each collection: its backups, its drills, and whether that is what was
 * promised. From what lies on EFS alone. */
#ifndef EFS_CLI_CMD_STATUS_H
#define EFS_CLI_CMD_STATUS_H
#include "efs/cli/cli.h"
#include "efs/replica/replica.h"

/* What one drill found. */
struct status_drill {
    time_t when; /* 0: there was none */
    bool failed, partly;
    double seconds; /* that the restore took */
    char snapshot[256], why[300];
};
enum status_problem {                    /* what is not as promised; in the order in which it is said */
                      STATUS_NOTHING,    /* no good backup */
                      STATUS_LATE,       /* the newest good one is older than the objective */
                      STATUS_INCOMPLETE, /* the newest is not the newest good one */
                      STATUS_CORRUPT,
                      STATUS_UNREADABLE,
                      STATUS_UNSIGNED,
                      STATUS_UNPROVEN, /* its last drill has failed */
                      STATUS_PROBLEMS
};
/* A collection, a shard, or the whole storage, of one node. */
struct status_row {
    const struct status_tree *tree;
    struct source source;
    char node[128];             /* NODE_NAME, else the peer id; may be empty */
    bool several;               /* other nodes have backups of it, too */
    struct backup *v;           /* all of its backups; belong to the list */
    size_t n;                   /* 0: none, though a heartbeat says that it is wanted */
    const struct backup *good;  /* what a restore would take; NULL: there is none */
    const struct backup *first; /* a newer one that it would pass over; NULL: none */
    size_t passed;              /* how many it would pass over */
    const struct backup *day;   /* a good one of about a day before `good`; NULL: none */
    time_t taken;               /* when `good` was taken; 0: not known */
    time_t rpo, deleted;        /* seconds; when the collection was deleted, 0: it was not */
    bool held;                  /* to the objective */
    bool gone;     /* its node has been silent for days, beside others: nothing is promised of it */
    bool arriving; /* `first` is incomplete, and so young that it may be on its way */
    struct status_drill last, proven; /* the last drill; the last one that brought it back */
    unsigned problems;                /* bits: 1U << enum status_problem */
};
struct status_tree {
    char name[160], base[PATH_MAX];
    struct replica_beats beats;
    time_t crashed; /* the last drill came to no report: then, else 0 */
    char why[300];  /* of that */
};
struct status {
    const struct options *o;
    time_t now, rpo; /* rpo: where neither --rpo nor a heartbeat says it */
    struct status_tree *tree;
    size_t trees;
    struct status_row *row; /* by tree, and then the storage after all collections */
    size_t rows;
    bool failed; /* something could not be read, and was told */
};
/* The last drills of each row of a tree, from its records; `first` of `n` rows. What cannot be read is told.
 */
void status_drills(struct status *s, struct status_tree *tree, struct status_row *first, size_t n);
/* As the rows stand in: tree, storage or not, collection, kind, shard, node. */
int status_order(const struct status_tree *tree, const struct source *source, const struct status_row *row);
/* Seconds that a loss now would cost; -1: all, or it is not known. */
int64_t status_loss(const struct status *s, const struct status_row *row);
/* Is all as promised? */
bool status_good(const struct status *s);
/* An exit code: 0, or that it could not be printed. */
int status_say(const struct status *s);
int status_say_json(const struct status *s);
#endif
