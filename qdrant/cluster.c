#include "qdrant/cluster.h"
#include "common/base/peer_uri.h"
#include "common/json.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FAILURES_MIN = 5 };

bool cluster_is_active(const char *state)
{
    return strcmp(state, "Active") == 0 || strcmp(state, "Listener") == 0 ||
           strcmp(state, "ReshardingScaleDown") == 0;
}

static bool has_shard(const cJSON *list, double id)
{
    const cJSON *s;
    cJSON_ArrayForEach(s, list)
    {
        double other = cJSON_GetNumberValue(json_member(s, "shard_id"));
        if (!(other < id) && !(other > id))
            return true;
    }
    return false;
}

static void hear_one(const struct cluster_hear *hear, const cJSON *shard)
{
    uint64_t id, points;
    if (hear && json_whole(shard, "shard_id", UINT32_MAX, &id) && json_size(shard, "points_count", &points))
        hear->tell((unsigned)id, (int64_t)points, hear->arg);
}

static void add_local(struct cluster_shards *out, const cJSON *shard)
{
    const cJSON *points = json_member(shard, "points_count");
    const char *state = json_text(shard, "state");
    out->local++;
    if (!cJSON_IsNumber(points))
        out->points = -1;
    else if (out->points >= 0)
        out->points += (int64_t)points->valuedouble;
    if (!cluster_is_active(state) && !out->trouble[0])
        (void)snprintf(out->trouble, sizeof out->trouble, "the replica of shard %.0f on this node is %.30s",
                       cJSON_GetNumberValue(json_member(shard, "shard_id")),
                       *state ? state : "in no known state");
}

bool cluster_id_text(const cJSON *id, char out[24])
{
    *out = 0;
    if (cJSON_IsNumber(id))
        (void)snprintf(out, 24, "%.0f", id->valuedouble);
    return *out != 0;
}

/* An object whose members have names that matter: those of an array have none. */
static const cJSON *members_of(const cJSON *o, const char *key)
{
    const cJSON *found = json_member(o, key);
    return cJSON_IsObject(found) ? found : NULL;
}

static cJSON *ask(struct qdrant *q, const char *collection, struct err *e)
{
    struct qdrant_ask what = {.method = "GET", .collection = collection, .path = "/cluster"};
    return qdrant_ask(q, &what, e);
}

static int odd(const char *what, struct err *e)
{
    (void)err_set(e, 0, "Qdrant's answer has another shape than that of 1.18:", what, NULL);
    e->code = QDRANT_GARBLED;
    return -1;
}

int cluster_shards(struct qdrant *q, const char *collection, struct cluster_shards *out, struct err *e)
{
    return cluster_shards_heard(q, collection, NULL, out, e);
}

int cluster_shards_heard(struct qdrant *q, const char *collection, const struct cluster_hear *hear,
                         struct cluster_shards *out, struct err *e)
{
    *out = (struct cluster_shards){0};
    cleanup_json cJSON *whole = ask(q, collection, e);
    const cJSON *result = json_member(whole, "result"), *local = json_member(result, "local_shards"),
                *remote = json_member(result, "remote_shards"), *s;
    if (!whole)
        return -1;
    if (!cJSON_IsArray(local) || !cJSON_IsArray(remote))
        return odd("GET /collections/{collection}/cluster", e);
    cJSON_ArrayForEach(s, local)
    {
        add_local(out, s);
        hear_one(hear, s);
    }
    for (s = remote->child; s; s = s->next) {
        double id = cJSON_GetNumberValue(json_member(s, "shard_id"));
        bool seen = has_shard(local, id);
        for (const cJSON *t = remote->child; t != s && !seen; t = t->next) {
            double other = cJSON_GetNumberValue(json_member(t, "shard_id"));
            seen = !(other < id) && !(other > id);
        }
        out->elsewhere += !seen;
    }
    return 0;
}

int cluster_place(struct qdrant *q, const char *collection, struct cluster_place *out, struct err *e)
{
    uint64_t id;
    *out = (struct cluster_place){0};
    cleanup_json cJSON *whole = ask(q, collection, e);
    const cJSON *result = json_member(whole, "result"), *local = json_member(result, "local_shards"), *s;
    if (!whole)
        return -1;
    if (!cJSON_IsArray(local))
        return odd("GET /collections/{collection}/cluster", e);
    out->shards = calloc((size_t)cJSON_GetArraySize(local) + 1, sizeof *out->shards);
    if (!out->shards)
        return err_set(e, ENOMEM, "cannot read the shards of", collection, NULL);
    out->settled = cJSON_GetArraySize(json_member(result, "shard_transfers")) == 0;
    cJSON_ArrayForEach(s, local)
    {
        if (!json_whole(s, "shard_id", UINT32_MAX, &id)) {
            free(out->shards);
            out->shards = NULL;
            return odd("GET /collections/{collection}/cluster", e);
        }
        out->shards[out->n++] = (unsigned)id;
        const char *state = json_text(s, "state");
        out->settled = out->settled && (strcmp(state, "Active") == 0 || strcmp(state, "Listener") == 0);
    }
    return 0;
}

int cluster_shard_points(struct qdrant *q, const char *collection, const char *shard, int64_t *out,
                         struct err *e)
{
    char id[32];
    *out = -1;
    cleanup_json cJSON *whole = ask(q, collection, e);
    const cJSON *s;
    if (!whole)
        return -1;
    cJSON_ArrayForEach(s, json_member(json_member(whole, "result"), "local_shards"))
    {
        const cJSON *points = json_member(s, "points_count");
        (void)snprintf(id, sizeof id, "%.0f", cJSON_GetNumberValue(json_member(s, "shard_id")));
        if (strcmp(id, shard) == 0 && cJSON_IsNumber(points))
            *out = (int64_t)points->valuedouble;
    }
    return 0;
}

int cluster_peers(struct qdrant *q, struct cluster_peers *out, struct err *e)
{
    struct qdrant_ask what = {.method = "GET", .path = "/cluster"};
    *out = (struct cluster_peers){0};
    cleanup_json cJSON *whole = qdrant_ask(q, &what, e);
    const cJSON *peers = members_of(json_member(whole, "result"), "peers"), *p;
    if (!whole)
        return -1;
    out->v = calloc((size_t)cJSON_GetArraySize(peers) + 1, sizeof *out->v);
    if (!out->v)
        return err_set(e, ENOMEM, "cannot read the peers", NULL, NULL);
    cJSON_ArrayForEach(p, peers)
    {
        struct cluster_peer *to = &out->v[out->n++];
        (void)snprintf(to->id, sizeof to->id, "%s", p->string);
        (void)snprintf(to->uri, sizeof to->uri, "%s", json_text(p, "uri"));
    }
    return 0;
}

static const char *id_of(const cJSON *result, const char *uri)
{
    const cJSON *p;
    cJSON_ArrayForEach(p, members_of(result, "peers"))
    {
        if (strcmp(json_text(p, "uri"), uri) == 0)
            return p->string;
    }
    return NULL;
}

/* One message that got lost is no dead peer; the entry goes away with the first that arrives
 * (consensus_manager.rs). */
static bool has_failed(const cJSON *failure)
{
    return cJSON_GetNumberValue(json_member(failure, "count")) >= FAILURES_MIN;
}

bool cluster_unreached(const cJSON *result, const char *uri)
{
    return has_failed(json_member(members_of(result, "message_send_failures"), uri));
}

void cluster_consensus(const cJSON *result, char *out, size_t size)
{
    const cJSON *thread = json_member(result, "consensus_thread_status");
    const char *status = json_text(thread, "consensus_thread_status"), *why = json_text(thread, "err");
    *out = 0;
    if (*status && strcmp(status, "working") != 0)
        (void)snprintf(out, size, "%.30s%s%.200s", status, *why ? ": " : "", why);
}

static void add_failures(struct cluster_state *out, const cJSON *result)
{
    const cJSON *f;
    size_t n = 0;
    cJSON_ArrayForEach(f, members_of(result, "message_send_failures"))
    {
        const char *id = id_of(result, f->string);
        if (!id || !has_failed(f))
            continue; /* of a peer that was removed, or too few */
        if (out->unreachable++ < 3 && n < sizeof out->peers)
            n += (size_t)snprintf(out->peers + n, sizeof out->peers - n, "%s%.24s (%.80s, last tried %.19sZ)",
                                  n ? ", " : "", id, f->string, json_text(f, "latest_error_timestamp"));
    }
}

int cluster_state(struct qdrant *q, struct cluster_state *out, struct err *e)
{
    struct qdrant_ask what = {.method = "GET", .path = "/cluster"};
    *out = (struct cluster_state){0};
    cleanup_json cJSON *whole = qdrant_ask(q, &what, e);
    const cJSON *result = json_member(whole, "result");
    if (!whole)
        return -1;
    out->enabled = strcmp(json_text(result, "status"), "enabled") == 0;
    if (!out->enabled)
        return 0;
    out->members = (unsigned)cJSON_GetArraySize(json_member(result, "peers"));
    (void)cluster_id_text(json_member(result, "peer_id"), out->peer_id);
    cluster_consensus(result, out->consensus, sizeof out->consensus);
    const cJSON *leader = json_member(json_member(result, "raft_info"), "leader");
    out->leaderless = leader && !(cJSON_IsNumber(leader) && leader->valuedouble > 0);
    add_failures(out, result);
    return 0;
}

int cluster_replicas(struct qdrant *q, const char *peer, unsigned *out, struct err *e)
{
    cleanup_names struct qdrant_names names = {0};
    *out = 0;
    if (qdrant_collections(q, &names, e) != 0)
        return -1;
    for (size_t i = 0; i < names.n; i++) {
        cleanup_json cJSON *whole = ask(q, names.v[i], e);
        const cJSON *s;
        char id[24];
        if (!whole && e->code != QDRANT_MISSING)
            return -1;
        cJSON_ArrayForEach(s, json_member(json_member(whole, "result"), "remote_shards"))
        {
            (void)cluster_id_text(json_member(s, "peer_id"), id);
            *out += strcmp(id, peer) == 0;
        }
    }
    return 0;
}

/* Raft's "none" is 0. */
static void judge(const cJSON *result, struct cluster_meeting *out)
{
    const cJSON *leader = json_member(json_member(result, "raft_info"), "leader"),
                *thread = json_member(result, "consensus_thread_status");
    const char *consensus = json_text(thread, "consensus_thread_status"), *why = NULL;
    if (!json_says(result, "status", "enabled"))
        why = "is a Qdrant without a cluster";
    else if (!cJSON_IsNumber(leader) || !(leader->valuedouble > 0))
        why = "has no leader";
    else if (strcmp(consensus, "working") != 0)
        why = "has a consensus that does not work";
    else if (!peer_uri_is(out->uri))
        why = "is no member of its cluster any more";
    out->joinable = !why;
    (void)snprintf(out->trouble, sizeof out->trouble, "%s", why ? why : "");
}

int cluster_meet(struct qdrant *q, const char *own, const char *own_id, struct cluster_meeting *out,
                 struct err *e)
{
    struct qdrant_ask what = {.method = "GET", .path = "/cluster"};
    *out = (struct cluster_meeting){0};
    cleanup_json cJSON *whole = qdrant_ask(q, &what, e);
    const cJSON *result = json_member(whole, "result"), *p;
    if (!whole)
        return -1;
    (void)cluster_id_text(json_member(result, "peer_id"), out->id);
    cJSON_ArrayForEach(p, members_of(result, "peers"))
    {
        const char *uri = json_text(p, "uri");
        bool mine = strcmp(p->string, out->id) == 0, at_own = *own && peer_uri_same(uri, own);
        if (mine)
            (void)snprintf(out->uri, sizeof out->uri, "%s", uri);
        out->same = out->same || (mine && at_own);
        if (!mine && at_own && strcmp(p->string, own_id) != 0)
            (void)snprintf(out->taken, sizeof out->taken, "%s", p->string);
    }
    judge(result, out);
    return 0;
}
