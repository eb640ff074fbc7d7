/* A drill: proof that a backup can be restored. A second Qdrant, on a scratch folder, gets the backup as a
 * person would restore it, byte for byte what the manifest says; what it then holds is compared with the
 * fingerprint that was taken around the snapshot. Where memory or disk would not suffice, the drill refuses:
 * the Qdrant that serves needs them more. */
#ifndef EFS_DRILL_DRILL_H
#define EFS_DRILL_DRILL_H
#include "efs/repo/backup.h"
#include <stdatomic.h>

enum drill_verdict {
    DRILL_PROVEN,
    DRILL_PARTLY, /* it restores; its manifest does not say exactly what must come back */
    DRILL_FAILED,
    DRILL_REFUSED, /* nothing was tried; says nothing about the backup */
};
const char *drill_verdict_text(enum drill_verdict v);

struct drill;
struct drill_options {
    const char *program;     /* QDRANT_BIN */
    const char *place;       /* DRILL_DIR */
    const char *beside;      /* Qdrant's snapshots; where `place` is on the same disk ... */
    bool unconfined;         /* CONFINE=off */
    uint64_t min_free;       /* ... so much of it stays free (MIN_FREE) */
    long timeout_ms;         /* for one backup */
    struct copy_watch watch; /* stored bytes that were sent */
    const atomic_bool *stop;
};
struct drill_report {
    enum drill_verdict verdict;
    bool defect;                 /* it failed for what it is: a restore would take the next older one */
    char why[1024];              /* it failed or was refused; a full sentence without its dot */
    char note[2400];             /* what a person should know all the same; may be empty */
    double seconds, restore;     /* in all; of these, until Qdrant had restored it */
    struct content_digest found; /* what came back; `points` -1 when it did not */
    char engine[32];             /* version of the second Qdrant */
};
/* Sweeps what a killed drill left. The folder is there until drill_close; NULL with `e`, EBUSY when another
 * one is under way. curl_global_init must have been called. */
struct drill *drill_open(const struct drill_options *o, struct err *e);
/* From the main thread alone. Of a collection. */
void drill_run(struct drill *d, const struct backup *b, struct drill_report *out);
/* Of a set of a cluster's backups: `origin` gives the bytes of what `b` describes. `count` holds what came
 * back in the second Qdrant against the manifests, shard by shard: 1; 0 with `why`; -1 with `e`. A set has no
 * fingerprint: that all shards come back with their points is all that can be proven. */
struct restore_origin;
struct qdrant;
struct drill_set {
    const struct restore_origin *origin;
    int (*count)(struct qdrant *q, const char *collection, void *arg, char why[200], struct err *e);
    void *arg;
};
void drill_set(struct drill *d, const struct backup *b, const struct drill_set *set,
               struct drill_report *out);
/* Of one shard, whose snapshot has no configuration: as a person would, into its collection, which is
 * restored from `collection` (NULL: there is none) first. That it restores is all that can be proven. */
void drill_shard(struct drill *d, const struct backup *b, const struct backup *collection,
                 struct drill_report *out);
/* Of the whole storage, which Qdrant restores at its start alone: all collections that are in it must come
 * back. It has no fingerprint; each is compared with that of its own newest backup before it, and where
 * nothing was written in between, that proves it. `own` finds the one of collection `name` that is good and
 * has a fingerprint; it stays until the next call. NULL: there is none. */
typedef const struct backup *drill_own(const struct backup *b, const char *name, void *arg);
void drill_storage(struct drill *d, const struct backup *b, drill_own *own, void *arg,
                   struct drill_report *out);
/* Have it in the second Qdrant, for questions; the next call, or drill_close, ends that. `origin` as in
 * struct restore. NULL with why in `out`. */
struct qdrant *drill_hold(struct drill *d, const struct backup *b, const struct restore_origin *origin,
                          struct drill_report *out);
/* For who hangs and is about to end, from any thread: all that drill_close does and that needs no EFS. */
void drill_abandon(const char *place);
/* Ends the second Qdrant and removes all that it wrote; -1 when something is left. */
int drill_close(struct drill *d, struct err *e);
#endif
