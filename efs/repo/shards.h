/* The shards of a collection, as the snapshot of one node of a cluster tells them: which of them it holds, in
 * which state, and which peers have replicas of each. The manifest keeps this, so that whoever sees the
 * backups of all nodes knows what makes a whole collection (efs/repo/sets.h). Pure functions. */
#ifndef EFS_REPO_SHARDS_H
#define EFS_REPO_SHARDS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SHARDS_MOST = 65536,
    SHARD_PEER = 24,
    SHARD_STATE = 24,
    SHARDS_TEXT = 1 << 19, /* a manifest has at most MANIFEST_MAX bytes, and needs the rest for the rest */
};
struct shard_peer {
    char id[SHARD_PEER], state[SHARD_STATE];
};
struct shard_info {
    unsigned id;
    char *key;      /* its shard key as JSON; NULL: it has none */
    bool local;     /* this node's snapshot has its points */
    int64_t points; /* of a local one, as Qdrant counted them; -1: not known */
    struct shard_peer *peers;
    size_t n;
};
struct shards {
    char peer[SHARD_PEER]; /* whose snapshot it is */
    char uuid[40]; /* of the collection: alike on all nodes of a cluster, and no other's; may be empty */
    struct shard_info *v; /* in the order of their numbers */
    size_t n;
};
void shards_free(struct shards *s);
#define cleanup_shards __attribute__((cleanup(shards_free)))
/* That of this number, made when it is not there; NULL without memory, or when there are too many. It moves
 * when another one is made. */
struct shard_info *shards_get(struct shards *s, unsigned id);
const struct shard_info *shards_find(const struct shards *s, unsigned id);
/* What a snapshot's replica_state.json says of one shard, and its shard_key_mapping.json of all: false
 * without memory. What they do not say is left out. */
struct cJSON;
bool shards_take_state(struct shards *s, unsigned id, const struct cJSON *state);
bool shards_take_keys(struct shards *s, const struct cJSON *mapping);
/* The state that peer has it in; "": it has no replica. */
const char *shard_state(const struct shard_info *s, const char *peer);
/* Is another peer named? Else the node's snapshot is whole by itself, and there is nothing to tell. */
bool shards_spread(const struct shards *s);
bool shards_have_peer(const struct shards *s, const char *peer);
/* The member "cluster" of a manifest; left out where shards_spread says no, and where it would be too long.
 * False without memory. */
bool shards_add(struct cJSON *manifest, const struct shards *s);
/* And read it: false when it is not there, or garbled; `out` is to be freed then, too. */
bool shards_parse(const struct cJSON *manifest, struct shards *out);
#endif
