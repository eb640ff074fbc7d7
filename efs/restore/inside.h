/* What a snapshot says of its collection: the few small files of its tar, picked out while its bytes pass by
 * on their way elsewhere, so that it is read once. A thread of its own reads the tar (libarchive pulls, and a
 * stream pushes); bytes that are no tar say nothing, and are no error here: Qdrant refuses them. */
#ifndef EFS_RESTORE_INSIDE_H
#define EFS_RESTORE_INSIDE_H
#include "common/base/err.h"
#include <stdbool.h>
#include <stddef.h>

struct cJSON;
struct inside_says {
    struct cJSON
        *config; /* config.json of a collection; NULL: there is none, as in the snapshot of a shard */
    struct cJSON *indexes;  /* payload_index.json */
    struct cJSON *keys;     /* shard_key_mapping.json */
    struct cJSON *segment;  /* segment.json of the first segment, of a shard's snapshot; else NULL */
    unsigned shards, local; /* shards of the collection that it names; of these, with points in it */
    bool custom;            /* custom sharding */
    struct err hostile;     /* of the whole storage: a name in it that has no business there, else empty */
};
struct inside;
/* NULL with `e`: no memory, no thread, no pipe. */
struct inside *inside_new(struct err *e);
/* For one of the whole storage: says `hostile` alone. */
struct inside *inside_new_storage(struct err *e);
/* The next bytes of the snapshot. */
void inside_feed(struct inside *i, const void *data, size_t n);
/* After the last: what it says. It belongs to `i`; the members may be NULL. */
const struct inside_says *inside_end(struct inside *i);
void inside_free(struct inside *i); /* NULL is fine */
void inside_freep(struct inside **i);
#define cleanup_inside __attribute__((cleanup(inside_freep)))
#endif
