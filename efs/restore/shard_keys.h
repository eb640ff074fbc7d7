/* Custom sharding: a collection's shards by keys that its users have made. Qdrant (1.18.2) restores a
 * snapshot of such a collection onto nothing with HTTP 200, no key and no point, and into keys that were made
 * in another order with one tenant's points under another one's key. So the keys are made first, and by their
 * numbers. */
#ifndef EFS_RESTORE_SHARD_KEYS_H
#define EFS_RESTORE_SHARD_KEYS_H
#include "efs/restore/inside.h"

struct qdrant;
struct cJSON;
/* A new key gets the numbers behind the highest one that there is, and the first is 1 (Qdrant's
 * Collection::create_shard_key): so in ascending order, and where a number is not used, a filler that is
 * deleted afterwards. */
struct key_step {
    const struct cJSON *key; /* NULL: a filler. It belongs to the mapping. */
    unsigned first, n;       /* its numbers */
};
struct key_plan {
    struct key_step *v;
    size_t n;
};
void key_plan_free(struct key_plan *p);
#define cleanup_plan __attribute__((cleanup(key_plan_free)))
/* Pure. `mapping` as shard_key_mapping.json has it. -1 with `e`: no keys in any order give these numbers. */
int key_plan_make(const struct cJSON *mapping, struct key_plan *out, struct err *e);
/* Pure. Has the collection, as the result of GET /collections/{name}/cluster says, these keys with these
 * numbers? Else `why`. */
bool key_mapping_is(const struct cJSON *mapping, const struct cJSON *cluster, char why[300]);
/* "a, b and 3 more" */
void key_names(const struct cJSON *mapping, char out[200]);

/* Create the collection, which must not be there, as the snapshot says, with its indexes and, with custom
 * sharding, its keys, and look whether their numbers are right. -1 with `e`, and the collection is gone
 * again. */
int shard_keys_make(struct qdrant *q, const char *collection, const struct inside_says *says, struct err *e);
/* Does this Qdrant have keys at all? Only as a cluster, be it of one node. -1 with `e` when it does not tell.
 */
int shard_keys_possible(struct qdrant *q, struct err *e);
/* Are those of the collection right? 1; 0 with `why`; -1 with `e`. */
int shard_keys_are(struct qdrant *q, const char *collection, const struct cJSON *mapping, char why[300],
                   struct err *e);
#endif
