/* A set of a cluster's backups (efs/repo/sets.h) as one backup: which backup gives which shard, what a
 * manifest would say of the whole, and whether what came back has all of it. */
#ifndef EFS_RESTORE_SET_SOURCE_H
#define EFS_RESTORE_SET_SOURCE_H
#include "efs/repo/sets.h"
#include "efs/restore/splice.h"

struct set_source {
    const struct set *set;         /* stays */
    struct splice_source *sources; /* each backup once, with all shards that are taken from it */
    size_t n;
    unsigned *shards; /* what these point into */
    struct backup b;  /* of the whole; size and SHA-256 are splice_measure's to fill in */
};
/* Of a set that is complete, and not one backup by itself. -1 without memory, with nothing to free. */
int set_source_make(const struct set *s, struct set_source *out);
void set_source_free(struct set_source *s);
/* On these nodes, each replica: is every shard of the set there, with about as many points as its manifest
 * says? Both numbers are Qdrant's estimates, off where segments are merged. 1; 0 with `why`; -1 with `e`. */
enum { SET_WHY = 200 };
int set_source_count(const struct set *s, struct qdrant *const *nodes, size_t n, const char *collection,
                     char why[SET_WHY], struct err *e);
#endif
