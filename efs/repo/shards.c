#include "efs/repo/shards.h"
#include "common/json.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void shards_free(struct shards *s)
{
    for (size_t i = 0; i < s->n; i++) {
        free(s->v[i].key);
        free(s->v[i].peers);
    }
    free(s->v);
    *s = (struct shards){0};
}

/* Where it is in the list, which is in the order of the numbers, or where it would be. */
static size_t place_of(const struct shards *s, unsigned id)
{
    size_t low = 0, high = s->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (s->v[mid].id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

const struct shard_info *shards_find(const struct shards *s, unsigned id)
{
    size_t at = place_of(s, id);
    return at < s->n && s->v[at].id == id ? &s->v[at] : NULL;
}

struct shard_info *shards_get(struct shards *s, unsigned id)
{
    size_t at = place_of(s, id);
    if (at < s->n && s->v[at].id == id)
        return &s->v[at];
    if (s->n >= SHARDS_MOST)
        return NULL;
    if ((s->n & (s->n - 1)) == 0) { /* full: room for twice as many */
        struct shard_info *v = realloc(s->v, (s->n ? s->n * 2 : 1) * sizeof *v);
        if (!v)
            return NULL;
        s->v = v;
    }
    memmove(s->v + at + 1, s->v + at, (s->n - at) * sizeof *s->v);
    s->v[at] = (struct shard_info){.id = id, .points = -1};
    s->n++;
    return &s->v[at];
}

const char *shard_state(const struct shard_info *s, const char *peer)
{
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->peers[i].id, peer) == 0)
            return s->peers[i].state;
    return "";
}

bool shards_have_peer(const struct shards *s, const char *peer)
{
    if (strcmp(s->peer, peer) == 0)
        return true;
    for (size_t i = 0; i < s->n; i++)
        if (*shard_state(&s->v[i], peer))
            return true;
    return false;
}

bool shards_spread(const struct shards *s)
{
    for (size_t i = 0; *s->peer && i < s->n; i++)
        for (size_t k = 0; k < s->v[i].n; k++)
            if (strcmp(s->v[i].peers[k].id, s->peer) != 0)
                return true;
    return false;
}

/* "peers": {"7": "Active"} */
static bool take_peers(struct shard_info *s, const cJSON *peers)
{
    const cJSON *p;
    size_t n = (size_t)cJSON_GetArraySize(peers);
    free(s->peers);
    s->n = 0;
    s->peers = n > 0 ? calloc(n, sizeof *s->peers) : NULL;
    if (n > 0 && !s->peers)
        return false;
    cJSON_ArrayForEach(p, peers)
    {
        const char *state = cJSON_GetStringValue(p);
        struct shard_peer *to = &s->peers[s->n];
        if (state && *state && p->string && *p->string && strlen(p->string) < sizeof to->id) {
            (void)snprintf(to->id, sizeof to->id, "%s", p->string);
            (void)snprintf(to->state, sizeof to->state, "%s", state);
            s->n++;
        }
    }
    return true;
}

bool shards_take_state(struct shards *s, unsigned id, const cJSON *state)
{
    const cJSON *own = json_member(state, "this_peer_id");
    struct shard_info *shard = shards_get(s, id);
    if (!shard)
        return false;
    if (cJSON_IsNumber(own) && !*s->peer)
        (void)snprintf(s->peer, sizeof s->peer, "%.0f", own->valuedouble);
    shard->local = json_true(state, "is_local");
    return take_peers(shard, json_member(state, "peers"));
}

static bool is_id(const cJSON *n)
{
    return cJSON_IsNumber(n) && n->valuedouble >= 0 && n->valuedouble < SHARDS_MOST;
}

static bool take_key(struct shard_info *s, const cJSON *key)
{
    char *text = cJSON_PrintUnformatted(key);
    free(s->key);
    s->key = text ? strdup(text) : NULL;
    cJSON_free(text);
    return s->key != NULL;
}

/* [{"key": "a", "shard_ids": [1]}]; before Qdrant 1.12 a map, which has other keys than it says. */
bool shards_take_keys(struct shards *s, const cJSON *mapping)
{
    const cJSON *one, *id;
    if (!cJSON_IsArray(mapping))
        return true;
    cJSON_ArrayForEach(one, mapping)
    {
        const cJSON *key = json_member(one, "key");
        cJSON_ArrayForEach(id, json_member(one, "shard_ids"))
        {
            struct shard_info *shard = is_id(id) && key ? shards_get(s, (unsigned)id->valuedouble) : NULL;
            if (is_id(id) && key && (!shard || !take_key(shard, key)))
                return false;
        }
    }
    return true;
}

static bool add_one(cJSON *list, const struct shard_info *s)
{
    cJSON *o = json_append_object(list), *peers;
    if (!o || !json_add_number(o, "id", s->id))
        return false;
    cJSON *key = s->key ? cJSON_Parse(s->key) : NULL;
    if (key && !cJSON_AddItemToObject(o, "key", key)) {
        cJSON_Delete(key);
        return false;
    }
    if (!cJSON_AddBoolToObject(o, "local", s->local) ||
        (s->local && s->points >= 0 && !json_add_number(o, "points", (double)s->points)) ||
        !(peers = cJSON_AddObjectToObject(o, "peers")))
        return false;
    for (size_t i = 0; i < s->n; i++)
        if (!json_add_text(peers, s->peers[i].id, s->peers[i].state))
            return false;
    return true;
}

static cJSON *to_json(const struct shards *s)
{
    cJSON *o = cJSON_CreateObject();
    bool ok = o && json_add_text(o, "peer_id", s->peer) &&
              (!*s->uuid || json_add_text(o, "collection_uuid", s->uuid));
    cJSON *list = ok ? cJSON_AddArrayToObject(o, "shards") : NULL;
    for (size_t i = 0; list && i < s->n; i++)
        if (!add_one(list, &s->v[i]))
            list = NULL;
    if (!list)
        cJSON_Delete(o);
    return list ? o : NULL;
}

bool shards_add(cJSON *manifest, const struct shards *s)
{
    if (!s || !shards_spread(s))
        return true;
    cJSON *o = to_json(s);
    cleanup_json_text char *text = o ? cJSON_Print(o) : NULL;
    if (text && strlen(text) > SHARDS_TEXT)
        return cJSON_Delete(o), true;
    if (text && cJSON_AddItemToObject(manifest, "cluster", o))
        return true;
    cJSON_Delete(o);
    return false;
}

static bool parse_one(const cJSON *o, struct shards *out)
{
    const cJSON *id = json_member(o, "id"), *key = json_member(o, "key");
    uint64_t points = 0;
    struct shard_info *s = is_id(id) ? shards_get(out, (unsigned)id->valuedouble) : NULL;
    if (!s || (key && !cJSON_IsString(key) && !cJSON_IsNumber(key)) ||
        !take_peers(s, json_member(o, "peers")))
        return false;
    s->local = json_true(o, "local");
    s->points = json_size(o, "points", &points) ? (int64_t)points : -1;
    return !key || take_key(s, key);
}

bool shards_parse(const cJSON *manifest, struct shards *out)
{
    const cJSON *from = json_member(manifest, "cluster"), *list = json_member(from, "shards"), *one;
    *out = (struct shards){0};
    if (!json_copy(from, "peer_id", out->peer, sizeof out->peer) || !*out->peer || !cJSON_IsArray(list))
        return false;
    if (!json_copy(from, "collection_uuid", out->uuid, sizeof out->uuid))
        out->uuid[0] = 0;
    cJSON_ArrayForEach(one, list)
    {
        if (!parse_one(one, out))
            return false;
    }
    return out->n > 0;
}
