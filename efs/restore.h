/* From EFS, or another place that has the bytes, back into Qdrant, or into a file. Choosing is a pure
 * function over what was listed; bytes are trusted only once they are proven against the manifest
 * (efs/restore_stream.h). No globals: the command, and whoever restores without a person, use the same. Every
 * call may hang with EFS, and those that say so may take as long as Qdrant does. */
#ifndef EFS_RESTORE_H
#define EFS_RESTORE_H
#include "efs/restore_stream.h"
#include "qdrant/client.h"

/* Which backup is wanted. */
struct restore_wish {
    enum kind kind;
    const char *collection; /* as it was named; for KIND_STORAGE "" */
    const char *shard;      /* for KIND_SHARD; NULL: any */
    const char *node;       /* NODE_NAME, or a peer id; NULL: that of the newest, when others do not matter */
    const char *snapshot;   /* its name, with or without ".snapshot"; NULL: any */
    time_t at;              /* taken at that time or before; 0: any time */
    int tier;               /* -1: any */
    bool any_node;          /* with `node` NULL: all nodes count as one, whatever that mixes */
};
/* Indices into `list` (whose entries were read) of what fits, the newest first, into `order`, with room for
 * all; also of those that are incomplete or corrupt. Returns how many. `e`, else untouched, says why nothing
 * can be chosen although something fits, and 0 is returned: what fits is of several trees, or of several
 * nodes that live side by side, each of which has shards of its own. A task that was replaced without a
 * NODE_NAME comes back as another node, and a deployment may run both for a while: one whose last backup is
 * not RESTORE_OVERLAP younger than the first of the newest node, or by RESTORE_APART older than the newest
 * backup, is taken for a predecessor. */
enum { RESTORE_OVERLAP = 2 * 3600, RESTORE_APART = 2 * 86400 };
size_t restore_choose(const struct entries *list, const struct restore_wish *w, size_t *order, struct err *e);
/* When it was taken: the time in its name, else that of its manifest. 0: not known. */
time_t restore_taken(const struct backup *b);
/* "2026-11-24T08:00:00Z", also without seconds, "T" or "Z"; "2026-11-24": its last second; "2h": that long
 * before `now`. False on anything else. */
bool restore_when(const char *text, time_t now, time_t *out);

enum restore_outcome {
    RESTORE_DONE,
    RESTORE_DEFECT,  /* the backup is not what its manifest says, nothing was changed: an older one may do */
    RESTORE_REFUSED, /* would replace points, nothing was changed */
    RESTORE_FAILED,  /* another backup would not help */
};
/* Try those of `order` until one is no defect. */
struct restore_attempt {
    enum restore_outcome (*with)(struct backup *b, void *arg, struct err *e);
    void (*skipped)(struct backup *b, const char *why, void *arg); /* that one was passed over; may be NULL */
    void *arg;
    bool strict; /* the first must do */
};
/* *which (may be NULL) is set to the index of the last one that was tried. */
enum restore_outcome restore_first_good(struct entries *list, const size_t *order, size_t n,
                                        const struct restore_attempt *a, size_t *which, struct err *e);

/* Into a running Qdrant. */
struct restore {
    struct qdrant *qdrant;
    const char *target;                  /* collection, which is made if it is not there */
    bool force;                          /* replace one that has points */
    bool any_version;                    /* also what a newer Qdrant made, with a note */
    bool aliases;                        /* put those back that its manifest tells; of a collection alone */
    long timeout_ms;                     /* for Qdrant to take the bytes and restore them; 0: a week */
    long green_ms;                       /* for the collection to be green afterwards */
    struct copy_watch watch;             /* stored bytes that were read and sent */
    const atomic_bool *stop;             /* may be NULL */
    const struct restore_origin *origin; /* where the bytes are; NULL: on EFS */
};
struct restore_report {
    bool existed;
    int64_t points_before, points; /* -1: not known, or none there */
    char status[16];               /* the collection's; empty: it was not waited for */
    char note[600];                /* what a person should know, though it is no failure; may be empty */
};
/* What is in Qdrant now, and whether restore_run would refuse. */
enum restore_outcome restore_look(const struct restore *r, const struct backup *b, struct restore_report *out,
                                  struct err *e);
/* Look, send, wait until the collection is green, count, put aliases back. A collection's or a shard's
 * snapshot only: one of the whole storage can be restored at Qdrant's start alone. */
enum restore_outcome restore_run(const struct restore *r, const struct backup *b, struct restore_report *out,
                                 struct err *e);
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
/* Into a file, which gets its name only when it is proven and on the disk. RESTORE_REFUSED when the name is
 * taken, and `replace` is not set. */
enum restore_outcome restore_to_file(const struct backup *b, const char *path, bool replace,
                                     const struct restore_reading *how, struct err *e);
#endif
