/* A set: the backups of one collection that the nodes of a cluster made in one slot. Whole when of each shard
 * there is a good backup of an Active replica. No node knows of the others' backups: a set is only ever
 * computed, from what all manifests say, in whatever order they arrive. Pure functions.
 *
 * Which belong together: those of one tree, collection and slot whose collections have one uuid, or, where it
 * is not told, whose snapshots name a peer in common. A backup that names no other peer is whole by itself.
 */
#ifndef EFS_REPO_SETS_H
#define EFS_REPO_SETS_H
#include "efs/repo/backup.h"
#include "efs/repo/shards.h"

struct set_member {
    const struct backup *b;
    const struct shards *shards; /* NULL or empty: not told */
};
enum set_lack {
    SET_HERE,
    SET_NO_BACKUP,  /* `peer` has it, and no backup of this slot */
    SET_NOT_GOOD,   /* the backup that has it, `by`, is not complete */
    SET_UNTOLD,     /* `by` does not tell its shards: an older version made it, or it cannot be read */
    SET_NOT_ACTIVE, /* the replicas in the backups are in another state, as `by` says */
    SET_NOWHERE,    /* no peer has it, or it moved while the nodes made their snapshots */
    SET_OTHER_KEY,  /* two nodes name different shard keys for it */
};
struct set_shard {
    unsigned id;
    const char *key; /* as JSON; NULL: none */
    enum set_lack lack;
    const struct set_member *from; /* where it is restored from; NULL unless SET_HERE */
    const struct set_member *by;   /* see `lack`; may be NULL */
    const char *peer;              /* see `lack`; may be NULL */
    int64_t points;                /* -1: not known */
    unsigned good, replicas;       /* good backups of it, and how many replicas the nodes name */
};
struct set {
    const struct set_member *v; /* oldest first */
    size_t n;
    time_t slot;
    bool by_itself; /* one backup that is whole; then there are no `shards` */
    struct set_shard *shards;
    size_t n_shards;
    bool complete;
    time_t skew;    /* seconds between the oldest and the newest backup that it is restored from */
    int64_t points; /* of all shards; -1: not known */
    bool in_motion; /* a replica somewhere is in another state than Active */
};
struct sets {
    struct set *v; /* by tree and collection, oldest first */
    size_t n;
    struct set_member *members; /* what the sets' `v` point into */
};
/* The sets that these backups make: backups of collections that Qdrant made; all others are passed over. What
 * the members point at stays the caller's, and must stay. -1 without memory. */
int sets_make(const struct set_member *members, size_t n, struct sets *out, struct err *e);
void sets_free(struct sets *s);
#define cleanup_sets __attribute__((cleanup(sets_free)))
/* Is `a` of the same tree and collection as `b`? */
bool sets_same_place(const struct set *a, const struct set *b);
/* The newest complete set of the tree and collection of `like` that was taken until `at` (0: any time); NULL:
 * there is none. `*several`: there is more than one of that slot, as of two clusters that write into one
 * tree. */
const struct set *sets_newest(const struct sets *s, const struct set *like, time_t at, bool *several);
/* Does restoring the set need this backup? */
bool set_needs(const struct set *s, const struct backup *b);
/* "shard 1 (key "a"): node-2 has no backup of this slot". `name`: what a peer is called. */
typedef const char *set_name(const char *peer, void *arg);
const char *set_lack_text(const struct set_shard *s, set_name *name, void *arg, char *out, size_t size);
#endif
