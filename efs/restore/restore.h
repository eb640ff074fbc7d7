/* From EFS, or another place that has the bytes, back into Qdrant, or into a file. Choosing is a pure
 * function over what was listed; bytes are trusted only once they are proven against the manifest
 * (efs/repo/reader.h). No globals: the command, and whoever restores without a person, use the same. Every
 * call may hang with EFS, and those that say so may take as long as Qdrant does. */
#ifndef EFS_RESTORE_RESTORE_H
#define EFS_RESTORE_RESTORE_H
#include "efs/repo/reader.h"
#include "efs/restore/verdict.h"
#include "qdrant/client.h"

/* Which backup is wanted. */
struct restore_selector {
    enum kind kind;
    const char *collection; /* as it was named; for KIND_STORAGE "" */
    const char *shard;      /* for KIND_SHARD; NULL: any */
    const char *node;       /* NODE_NAME, or a peer id; NULL: that of the newest, when others do not matter */
    const char *snapshot;   /* its name, with or without ".snapshot"; NULL: any */
    time_t at;              /* taken at that time or before; 0: any time */
    int frequency;          /* -1: any */
    bool any_node;          /* with `node` NULL: all nodes count as one, whatever that mixes */
    time_t now;             /* the clock on the wall, for restore_moment; 0: names are believed */
};
/* Indices into `list` (whose entries were read) of what fits, the newest first, into `order`, with room for
 * all; uploads, which Qdrant has not made here, after all others, unless `snapshot` names one; also of those
 * that are incomplete or corrupt. Returns how many. `e`, else untouched, says why nothing can be chosen
 * although something fits, and 0 is returned: what fits is of several trees, or of several nodes that live
 * side by side, each of which has shards of its own. A task that was replaced without a NODE_NAME comes back
 * as another node, and a deployment may run both for a while: one whose last backup is not RESTORE_OVERLAP
 * younger than the first of the newest node, or by RESTORE_APART older than the newest backup, is taken for a
 * predecessor. */
enum { RESTORE_OVERLAP = 2 * 3600, RESTORE_APART = 2 * 86400 };
size_t restore_choose(const struct backup_list *list, const struct restore_selector *w, size_t *order,
                      struct err *e);
/* When it was taken: the time in its name, else that of its manifest. 0: not known. */
time_t backup_time(const struct backup *b);
/* Does that time lie in the future, because the clock of its node ran ahead? By more than RESTORE_TOLERANCE
 * against `now` (0: not asked), or by more than RESTORE_SKEW against the time at which the file system's own
 * server wrote its manifest: that clock is none of the node's. */
enum { RESTORE_TOLERANCE = 300, RESTORE_SKEW = 3600 };
bool restore_ahead(const struct backup *b, time_t now);
/* The time by which it is chosen: backup_time, or when that lies in the future, the time of creation in its
 * manifest (the same, but for one whose time was not taken from its name), or that at which the manifest was
 * written, whichever is none in the future; else 0, which is before all others. */
time_t restore_moment(const struct backup *b, time_t now);
/* Qdrant may have gone before it was asked for the aliases of a snapshot, as when the task was stopped; a
 * restore without them would look whole. Give each backup of a collection whose manifest does not tell them
 * those of the last one before it, in its tree, that does. -1 without memory. */
int restore_inherit_aliases(struct backup_list *list, time_t now, struct err *e);
/* What a person must know of a backup whose time lies in the future; empty for any other. */
void restore_clock_note(const struct backup *b, time_t now, char *out, size_t size);
/* "2026-11-24T08:00:00Z", also without seconds, "T" or "Z"; "2026-11-24": its last second; "2h": that long
 * before `now`. False on anything else, and on what begins more than RESTORE_TOLERANCE after `now` (0: not
 * asked): a mistyped year would mean the latest, and nobody would notice. */
bool time_parse(const char *text, time_t now, time_t *out);
/* What to write in place of a text that time_parse refuses. */
const char *restore_when_use(const char *text, time_t now);

enum restore_outcome {
    RESTORE_DONE,
    RESTORE_DEFECT,  /* the backup is not what its manifest says, or Qdrant refuses what is in it: another one
                        may do. What a refused one left is gone again, unless `e` says otherwise */
    RESTORE_REFUSED, /* would replace points, or leave another configuration: nothing was changed */
    RESTORE_FAILED,  /* another backup would not help; or it was restored, and is not what was there */
};
/* Try those of `order` until one is no defect. */
struct restore_attempt {
    enum restore_outcome (*with)(struct backup *b, void *arg, struct err *e);
    void (*skipped)(struct backup *b, const char *why, void *arg); /* that one was passed over; may be NULL */
    void *arg;
    bool strict; /* the first must do */
};
/* *which (may be NULL) is set to the index of the last one that was tried. */
enum restore_outcome restore_first_good(struct backup_list *list, const size_t *order, size_t n,
                                        const struct restore_attempt *a, size_t *which, struct err *e);

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
