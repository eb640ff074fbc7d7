/* One snapshot of a whole collection out of those of a cluster's nodes: the members of each shard from the
 * node that is to give it, and those of the collection from the first one. Members are copied as they stand,
 * headers and all, so that the holes of sparse ones stay holes; nothing is unpacked, and nothing lies on a
 * disk in between. Every source is read to its end and proven against its manifest.
 *
 * Of a shard that is not wanted where the tar goes, there must be a stub in it: else Qdrant (1.18.2) answers
 * 500.
 *
 * The bytes come out the same each time. So they are measured first, and then are what restores read as they
 * read a backup's (struct restore_origin): Qdrant and the verdict are told size and SHA-256 beforehand, and
 * nothing is sent of a set with a defect. */
#ifndef EFS_RESTORE_SPLICE_H
#define EFS_RESTORE_SPLICE_H
#include "efs/restore/restore.h"

struct splice_source {
    const struct backup *b; /* complete, of a collection; stays */
    const unsigned *shards; /* those that are taken from it; stays */
    size_t n;
};
struct splice;
struct splice_of {
    const struct splice_source *v;
    size_t n;
    const unsigned *stubs; /* shards of the collection that are in none of them */
    size_t n_stubs;
};
/* Of these, which stay. NULL without memory. */
struct splice *splice_new(const struct splice_of *of, const atomic_bool *stop, struct err *e);
void splice_free(struct splice *s); /* NULL is fine */
static inline void splice_freep(struct splice **s) { splice_free(*s); }
#define cleanup_splice __attribute__((cleanup(splice_freep)))
/* What a manifest says of how bytes are stored, as they are in a splice: plain, and made of nothing else. */
void splice_form(struct manifest *m);
/* Read all of it once: how long it is, and its SHA-256, as a manifest would say. RESTORE_DEFECT: the source
 * number *bad is not what its manifest says, is no snapshot, lacks a shard, or was made with another
 * configuration than the first. */
enum restore_outcome splice_measure(struct splice *s, const struct copy_watch *watch, struct copy_result *out,
                                    size_t *bad, struct err *e);
/* Of what was measured. */
const struct restore_origin *splice_origin(const struct splice *s);
#endif
