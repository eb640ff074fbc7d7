/* From EFS, or another place that has the bytes, back into Qdrant, or into a file. Which backup is taken:
 * efs/restore/choice.h. Bytes are trusted only once they are proven against the manifest
 * (efs/repo/reader.h). No globals: the command, and whoever restores without a person, use the same. Every
 * call may hang with EFS, and those that say so may take as long as Qdrant does. */
#ifndef EFS_RESTORE_RESTORE_H
#define EFS_RESTORE_RESTORE_H
#include "efs/repo/reader.h"
#include "efs/restore/choice.h"
#include "efs/restore/verdict.h"
#include "qdrant/client.h"

struct spread; /* efs/restore/spread.h */
/* Into a running Qdrant. */
struct restore {
    struct qdrant *qdrant;
    const char *target;      /* collection, which is made if it is not there */
    bool force;              /* replace one that has points */
    bool recreate;           /* delete one that is there, once the backup is proven, and make it anew */
    bool whole;              /* a snapshot of all shards, or none: what is there is deleted afterwards */
    bool any_version;        /* also what a newer Qdrant made, with a note */
    bool aliases;            /* put those back that its manifest tells; of a collection alone */
    long timeout_ms;         /* for Qdrant to take the bytes and restore them; 0: a week */
    long green_ms;           /* for the collection to be green afterwards */
    struct copy_watch watch; /* stored bytes that were read and sent */
    const atomic_bool *stop; /* may be NULL */
    const struct restore_origin *origin; /* where the bytes are; NULL: on EFS */
    const struct spread *spread;         /* among the nodes of a cluster; NULL: into this one node */
    bool placed;                         /* the backup has the shards that this node has, and no others */
};
struct restore_report {
    bool existed;
    int64_t points_before, points; /* -1: not known, or none there */
    bool had_known;                /* what was there before, so far as one look tells */
    struct fingerprint_plan had_plan;
    struct content_digest had;
    char status[16];        /* the collection's; empty: it was not waited for */
    enum verdict verdict;   /* VERDICT_UNKNOWN until it has ended */
    char why[VERDICT_TEXT]; /* of the verdict; empty for VERDICT_EQUAL */
    bool at_start_alone; /* refused: custom sharding, and a Qdrant without a cluster (restore_to_storage) */
    bool some_shards;    /* it holds only some of the collection's shards */
    struct content_digest found; /* what came back; `points` -1: not taken */
    char note[900];              /* what a person should know, though it is no failure; may be empty */
};
/* What is in Qdrant now, and whether restore_run would refuse for that. */
enum restore_outcome restore_look(const struct restore *r, const struct backup *b, struct restore_report *out,
                                  struct err *e);
/* All but the changes: look, read and prove all of it, and compare it with the collection that is there. */
enum restore_outcome restore_rehearse(const struct restore *r, const struct backup *b,
                                      struct restore_report *out, struct err *e);
/* Look and send. Before the last piece of it, when all of it is proven: look again (somebody may have written
 * meanwhile), and compare the configuration that is there, which Qdrant would keep; shard keys are made
 * first. Then wait until the collection is green, put aliases back, and hold what came back against what was
 * there. A collection's or a shard's snapshot only: one of the whole storage can be restored at Qdrant's
 * start alone. RESTORE_DONE: the verdict is one of those with exit code 0. */
enum restore_outcome restore_run(const struct restore *r, const struct backup *b, struct restore_report *out,
                                 struct err *e);
/* Restore beside `r->target`, under the name that comes back in `name`, and when that is good switch over:
 * its aliases to the new collection; and if `target` is a collection's own name, which Qdrant lets nobody
 * change, the old one is deleted and the name becomes an alias. An alias of that name is only switched, and
 * the collection that it was of stays. What was done is in the note. */
enum restore_outcome restore_swap(const struct restore *r, const struct backup *b, char name[256],
                                  struct restore_report *out, struct err *e);
/* The end of that, for whoever has Qdrant restore it in another way: wait until the collection is green, but
 * no longer than green_ms, count, compare, put aliases back. `says`: what the snapshot itself says of its
 * collection, or NULL. */
struct inside_says;
enum restore_outcome restore_judge(const struct restore *r, const struct backup *b,
                                   const struct inside_says *says, struct restore_report *out, struct err *e);
/* The same by way of Qdrant alone: it fetches `location` (http, https or file). `sha256` may be NULL. */
enum restore_outcome restore_from(const struct restore *r, const char *location, const char *sha256,
                                  struct restore_report *out, struct err *e);

/* How bytes are read that go elsewhere. */
struct restore_reading {
    const struct restore_origin *origin; /* NULL: from EFS */
    struct copy_watch watch;
    const atomic_bool *stop; /* may be NULL */
};
/* Read all of it, and prove it. */
enum restore_outcome restore_prove(const struct backup *b, const struct restore_reading *how, struct err *e);
/* The original bytes into a descriptor, which has them before they are proven. */
enum restore_outcome restore_to_fd(const struct backup *b, int fd, const char *name,
                                   const struct restore_reading *how, struct err *e);
/* May a file be written there? RESTORE_REFUSED when the name is taken, by a file without `replace`, or by
 * what is no regular file. */
enum restore_outcome restore_file_free(const char *path, bool replace, struct err *e);
/* Into a file, which gets its name only when it is proven and on the disk. RESTORE_REFUSED as
 * restore_file_free. */
enum restore_outcome restore_to_file(const struct backup *b, const char *path, bool replace,
                                     const struct restore_reading *how, struct err *e);
/* As that, of a collection's backup, in a form that Qdrant restores at its start: a snapshot of a whole
 * storage with that one collection in it, and its aliases. The only way for custom sharding where Qdrant runs
 * without a cluster. */
enum restore_outcome restore_to_storage(const struct backup *b, const char *path, bool replace,
                                        const struct restore_reading *how, struct err *e);
#endif
