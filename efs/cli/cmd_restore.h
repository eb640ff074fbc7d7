/* The parts of `qdrant-efs restore`: one collection (or shard, or the whole storage) at a time, and what is
 * told about it, to a person or as JSON. */
#ifndef EFS_CLI_CMD_RESTORE_H
#define EFS_CLI_CMD_RESTORE_H
#include "efs/cli/cli.h"
#include "efs/restore/restore.h"
#include "efs/restore/s3.h"
#include "efs/restore/spread.h"

/* Of --points and --filter. */
struct points_told {
    uint64_t found, written, replaced; /* replaced: of those written, that were there */
    uint64_t kept;                     /* are there, and were left as they are */
    uint64_t missing;                  /* asked for, and not in the backup */
};
struct job {
    const struct options *o;
    struct qdrant *qdrant;           /* NULL: only a file is written */
    struct qdrant_settings settings; /* of it */
    struct key *key;
    struct spread_node *nodes; /* with --set: all nodes of the cluster, `qdrant` first */
    size_t n_nodes;            /* 0: it is one node */
    size_t nodes_room;
    struct qdrant_settings *node_settings; /* one of each */
    bool nodes_known;
    const struct spread *spread; /* of a set into these; NULL */
    const atomic_bool *stop;
    struct restore_s3 *s3;               /* NULL: from EFS */
    const struct restore_origin *origin; /* of a set; NULL: as `s3` says */
    char place[PATH_MAX];                /* where backups are looked for: the root on EFS, or s3://bucket */
    struct cJSON *array;                 /* with --json: all jobs */
    const struct leaving *leaving;
    /* of the one at hand: */
    struct restore_selector wish;
    struct backup_list *list; /* it is chosen from these */
    size_t number;            /* of `leaving` */
    const char *target;       /* collection in Qdrant */
    bool renamed;             /* --collection gives a name that its key does not have */
    bool unproven;            /* nothing said what its bytes have to be */
    char file[PATH_MAX];      /* with --to */
    char into[256];           /* with --swap: the collection that it was restored into */
    struct restore_report report;
    struct points_told points;
    struct cJSON *json; /* its member of `array` */
};
/* Is it --from-s3, or --location s3://bucket/key? */
bool from_s3(const struct options *o);
/* Fill j->s3. 0, or an exit code after an error that it printed. */
int s3_open(struct job *j);
/* What passes the filters, read, as cmd_gather; for --location that object. *node is the one that is meant.
 */
int s3_gather(struct job *j, struct backup_list *list, const char **node);
/* why_none of what is in the bucket. */
struct filters;
bool s3_why_none(struct job *j, const struct filters *w, struct err *e);
/* Ask for the object of an entry, and for what its bytes have to be. The bar is told of what is read. */
enum restore_outcome s3_look(struct job *j, struct backup *b, struct progress **bar, struct err *e);

/* Nobody has named a collection: those that a restore of everything leaves out, as that of an empty disk
 * does. Looks at all of these collections at once, and leaves of `names` those that have something to be
 * chosen from. With `choose` also at what would be taken: else none is left out. NULL after an error. */
struct leaving;
struct leaving *leaving_new(const struct job *j, char **names, size_t *n, bool choose, struct err *e);
/* A backup of the name number `i` keeps no alias that a newer one of another collection has. `l` may be NULL.
 */
void leaving_aliases(const struct leaving *l, size_t i, struct backup *b);
/* Tell of these aliases. */
void leaving_tell(const struct leaving *l);
void leaving_free(struct leaving *l); /* NULL is fine */
/* Is the name number `i` left out? Then `why` says why. */
bool leaving_is(const struct leaving *l, size_t i, char *why, size_t size);
/* Is that the name of an alias? Then `owner` is the collection whose newest backup that tells says so. */
bool alias_collection(const struct options *o, const char *alias, char owner[NAME_MAX + 1]);
/* Tell of it. */
void say_left_out(struct job *j, const char *why);

/* Restore one that is chosen, or with --dry-run only look. */
enum restore_outcome restore_attempt_one(struct backup *b, void *job, struct err *e);
/* Of each collection the newest complete set of a cluster's backups. An exit code. */
int restore_sets(struct job *j);
/* Fill j->nodes: every peer of the cluster of j->qdrant, whose REST API is asked who it is. RESTORE_REFUSED:
 * one cannot be reached, or is another one, or consensus does not work. */
enum restore_outcome restore_nodes_find(struct job *j, struct err *e);
void restore_nodes_free(struct job *j);
static inline bool restores_points(const struct options *o) { return o->restore.points || o->restore.filter; }
/* Put back those that --points or --filter name. */
enum restore_outcome restore_points(struct job *j, const struct backup *b, const struct copy_watch *watch,
                                    struct err *e);
/* How they may be used: 0, or EXIT_SETTING after a word about it. */
int restore_points_check(const struct options *o);
/* Pure. "1,2,uuid": an array of ids to be freed; NULL: one is none. */
struct cJSON *points_ids(const char *list);
/* How --set may be used: 0, or EXIT_SETTING after a word about it. */
int restore_sets_check(const struct options *o);

/* Begin to tell of a job. */
void say_begin(struct job *j);
/* A backup that was passed over. */
void say_skipped(struct backup *b, const char *why, void *job);
/* How it ended; `b` NULL: there was none. Returns whether that is a success. */
bool say_end(struct job *j, const struct backup *b, enum restore_outcome outcome, const struct err *e,
             double seconds);
#endif
