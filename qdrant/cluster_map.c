#include "qdrant/cluster_map.h"
#include "common/json.h"
#include "qdrant/cluster.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FACTOR_MAX = 1024, FACTOR_MS = 15000 };

static void collection_free(struct map_collection *c)
{
    for (size_t i = 0; i < c->n; i++)
        free(c->v[i].v);
    free(c->v);
    c->v = NULL;
    c->n = 0;
}

void cluster_map_forget(struct cluster_map *m, size_t collection)
{
    collection_free(&m->v[collection]);
    m->v[collection].count = 0;
}

void cluster_map_free(struct cluster_map *m)
{
    for (size_t i = 0; i < m->n; i++) {
        collection_free(&m->v[i]);
        free(m->v[i].name);
    }
    free(m->v);
    free(m->peers);
    *m = (struct cluster_map){0};
}

size_t cluster_map_peer(const struct cluster_map *m, const char *id)
{
    for (size_t i = 0; i < m->n_peers; i++)
        if (strcmp(m->peers[i].id, id) == 0)
            return i;
    return CLUSTER_NOBODY;
}

struct map_replica *cluster_map_replica(const struct map_shard *s, size_t peer)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->v[i].peer == peer)
            return &s->v[i];
    return NULL;
}

struct map_shard *cluster_map_shard(const struct map_collection *c, unsigned id)
{
    for (size_t i = 0; i < c->n; i++)
        if (c->v[i].id == id)
            return &c->v[i];
    return NULL;
}

unsigned cluster_map_replicas(const struct cluster_map *m, size_t peer)
{
    unsigned n = 0;
    for (size_t i = 0; i < m->n; i++)
        for (size_t k = 0; k < m->v[i].n; k++)
            n += cluster_map_replica(&m->v[i].v[k], peer) != NULL;
    return n;
}

bool cluster_map_add(struct map_shard *s, size_t peer, const char *state)
{
    struct map_replica *v = realloc(s->v, (s->n + 1) * sizeof *v);
    if (!v)
        return false;
    s->v = v;
    v[s->n] = (struct map_replica){.peer = peer};
    (void)snprintf(v[s->n++].state, CLUSTER_STATE, "%s", state);
    return true;
}

void cluster_map_drop(struct map_shard *s, size_t peer)
{
    struct map_replica *r = cluster_map_replica(s, peer);
    if (r)
        *r = s->v[--s->n];
}

static int no_memory(struct err *e) { return err_set(e, ENOMEM, "cannot read the cluster", NULL, NULL); }

static int odd(const char *what, struct err *e)
{
    (void)err_set(e, 0, "Qdrant's answer has another shape than that of 1.18:", what, NULL);
    e->code = QDRANT_GARBLED;
    return -1;
}

/* --- the peers */

static size_t peer_of(const struct cluster_map *m, const cJSON *id)
{
    char text[CLUSTER_ID];
    return cluster_id_text(id, text) ? cluster_map_peer(m, text) : CLUSTER_NOBODY;
}

/* Qdrant tells them in another order each time. */
static int by_peer_id(const void *a, const void *b)
{
    const struct map_peer *x = a, *y = b;
    return strcmp(x->id, y->id);
}

static int take_peers(const cJSON *result, struct cluster_map *m, struct err *e)
{
    const cJSON *peers = json_member(result, "peers"), *p;
    if (!cJSON_IsObject(peers))
        return odd("GET /cluster", e);
    m->peers = calloc((size_t)cJSON_GetArraySize(peers) + 1, sizeof *m->peers);
    if (!m->peers)
        return no_memory(e);
    cJSON_ArrayForEach(p, peers)
    {
        struct map_peer *to = &m->peers[m->n_peers++];
        (void)snprintf(to->id, sizeof to->id, "%s", p->string);
        (void)snprintf(to->uri, sizeof to->uri, "%s", json_text(p, "uri"));
        to->unreached = cluster_unreached(result, to->uri);
    }
    if (m->n_peers > 0)
        qsort(m->peers, m->n_peers, sizeof *m->peers, by_peer_id);
    m->own = peer_of(m, json_member(result, "peer_id"));
    m->leader = peer_of(m, json_member(json_member(result, "raft_info"), "leader"));
    cluster_consensus(result, m->consensus, sizeof m->consensus);
    return m->own == CLUSTER_NOBODY ? err_set(e, 0, "this node is no member of its cluster any more", NULL,
                                              "ask another one (--url)")
                                    : 0;
}

int cluster_map_peers(struct qdrant *q, struct cluster_map *out, struct err *e)
{
    struct qdrant_ask what = {.method = "GET", .path = "/cluster"};
    *out = (struct cluster_map){0};
    cleanup_json cJSON *whole = qdrant_ask(q, &what, e);
    const cJSON *result = json_member(whole, "result");
    if (!whole)
        return -1;
    if (!json_says(result, "status", "enabled"))
        return 0;
    if (take_peers(result, out, e) == 0)
        return 0;
    cluster_map_free(out);
    return -1;
}

/* --- the shards */

static struct map_shard *shard_of(struct map_collection *c, unsigned id)
{
    struct map_shard *found = cluster_map_shard(c, id);
    if (found)
        return found;
    struct map_shard *v = realloc(c->v, (c->n + 1) * sizeof *v);
    if (!v)
        return NULL;
    c->v = v;
    v[c->n] = (struct map_shard){.id = id};
    return &v[c->n++];
}

static int take_replicas(struct map_collection *c, const struct cluster_map *m, const cJSON *list,
                         struct err *e)
{
    const cJSON *s;
    cJSON_ArrayForEach(s, list)
    {
        uint64_t id;
        const cJSON *peer = json_member(s, "peer_id");
        if (!json_whole(s, "shard_id", UINT32_MAX, &id))
            return odd("GET /collections/{collection}/cluster", e);
        struct map_shard *shard = shard_of(c, (unsigned)id);
        if (!shard || !cluster_map_add(shard, peer ? peer_of(m, peer) : m->own, json_text(s, "state")))
            return no_memory(e);
    }
    return 0;
}

static int by_id(const void *a, const void *b)
{
    const struct map_shard *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

static int take_shards(struct qdrant *q, const struct cluster_map *m, struct map_collection *c, struct err *e)
{
    struct qdrant_ask ask = {.method = "GET", .collection = c->name, .path = "/cluster"};
    cleanup_json cJSON *whole = qdrant_ask(q, &ask, e);
    const cJSON *result = json_member(whole, "result"), *local = json_member(result, "local_shards"),
                *remote = json_member(result, "remote_shards");
    if (!whole)
        return -1;
    uint64_t count;
    if (!cJSON_IsArray(local) || !cJSON_IsArray(remote) ||
        !json_whole(result, "shard_count", UINT32_MAX, &count))
        return odd("GET /collections/{collection}/cluster", e);
    if (peer_of(m, json_member(result, "peer_id")) != m->own)
        return err_set(e, 0, "several nodes answer at one address, as behind a load balancer", NULL,
                       "name one of them with --url");
    c->count = (unsigned)count;
    c->moving = cJSON_GetArraySize(json_member(result, "shard_transfers")) > 0 ||
                cJSON_GetArraySize(json_member(result, "resharding_operations")) > 0;
    if (take_replicas(c, m, local, e) != 0 || take_replicas(c, m, remote, e) != 0)
        return -1;
    if (c->n > 0)
        qsort(c->v, c->n, sizeof *c->v, by_id);
    return 0;
}

/* 0: not told, as with a shard that nobody has: Qdrant asks each of them for its answer. */
static unsigned factor_of(struct qdrant *q, const char *collection, struct err *e)
{
    struct qdrant_ask ask = {.method = "GET", .collection = collection, .path = "", .total_ms = FACTOR_MS};
    uint64_t factor;
    cleanup_json cJSON *whole = qdrant_ask(q, &ask, e);
    const cJSON *config = json_member(json_member(whole, "result"), "config");
    return json_whole(json_member(config, "params"), "replication_factor", FACTOR_MAX, &factor)
               ? (unsigned)factor
               : 0;
}

static int take_collection(struct qdrant *q, const struct cluster_map *m, struct map_collection *c,
                           struct err *e)
{
    return take_shards(q, m, c, e);
}

int cluster_map_again(struct qdrant *q, struct cluster_map *m, size_t i, struct err *e)
{
    struct map_collection now = {.name = m->v[i].name, .factor = m->v[i].factor};
    struct err ignored;
    if (take_collection(q, m, &now, e) != 0) {
        collection_free(&now);
        return -1;
    }
    if (now.factor == 0) /* that may take Qdrant a while, with a shard that does not answer */
        now.factor = factor_of(q, now.name, &ignored);
    collection_free(&m->v[i]);
    m->v[i] = now;
    return 0;
}

static int take_all(struct qdrant *q, struct cluster_map *m, struct err *e)
{
    cleanup_names struct qdrant_names names = {0};
    if (qdrant_collections(q, &names, e) != 0)
        return -1;
    m->v = calloc(names.n + 1, sizeof *m->v);
    if (!m->v)
        return no_memory(e);
    for (size_t i = 0; i < names.n; i++) {
        struct map_collection *c = &m->v[m->n];
        c->name = strdup(names.v[i]);
        if (!c->name)
            return no_memory(e);
        m->n++;
        if (cluster_map_again(q, m, m->n - 1, e) == 0)
            continue;
        if (e->code != QDRANT_MISSING)
            return -1;
        m->n--;
        free(c->name);
        c->name = NULL;
    }
    return 0;
}

int cluster_map_read(struct qdrant *q, struct cluster_map *out, struct err *e)
{
    if (cluster_map_peers(q, out, e) != 0)
        return -1;
    if (out->n_peers == 0 || take_all(q, out, e) == 0)
        return 0;
    cluster_map_free(out);
    return -1;
}
