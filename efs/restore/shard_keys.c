#include "efs/restore/shard_keys.h"
#include "common/base/cleanup.h"
#include "common/json.h"
#include "qdrant/client.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { SHARDS_MAX = 65536, CHANGE_MS = 120000 };
static const char AS_FILE[] = "restore it at Qdrant's start: --as-storage --to FILE writes what that takes";

void key_plan_free(struct key_plan *p)
{
    free(p->v);
    *p = (struct key_plan){0};
}

/* --- the plan */

static int by_first(const void *a, const void *b)
{
    const struct key_step *x = a, *y = b;
    return x->first < y->first ? -1 : x->first > y->first;
}

/* The numbers of one key, which must follow each other: one request makes them all. */
static int step_of(const cJSON *one, struct key_step *out, struct err *e)
{
    const cJSON *id, *ids = json_member(one, "shard_ids");
    double low = SHARDS_MAX, high = 0;
    *out = (struct key_step){.key = json_member(one, "key"), .n = (unsigned)cJSON_GetArraySize(ids)};
    cJSON_ArrayForEach(id, ids)
    {
        if (!cJSON_IsNumber(id) || !(id->valuedouble >= 1 && id->valuedouble < SHARDS_MAX))
            return err_set(e, 0, "a shard's number that no new shard key gets", NULL, AS_FILE);
        low = id->valuedouble < low ? id->valuedouble : low;
        high = id->valuedouble > high ? id->valuedouble : high;
    }
    if (!(cJSON_IsString(out->key) || cJSON_IsNumber(out->key)) || out->n == 0)
        return err_set(e, 0, "shard_key_mapping.json is not as Qdrant writes it", NULL, AS_FILE);
    if (high - low + 1 != (double)out->n)
        return err_set(e, 0, "the shards of one key do not follow each other", NULL, AS_FILE);
    out->first = (unsigned)low;
    return 0;
}

static int fill_gaps(struct key_plan *p, size_t keys, struct err *e)
{
    unsigned next = 1;
    p->n = keys;
    qsort(p->v, keys, sizeof *p->v, by_first);
    for (size_t i = 0; i < keys; i++) {
        if (p->v[i].first < next)
            return err_set(e, 0, "two shard keys have one shard", NULL, AS_FILE);
        if (p->v[i].first > next)
            p->v[p->n++] = (struct key_step){NULL, next, p->v[i].first - next};
        next = p->v[i].first + p->v[i].n;
    }
    qsort(p->v, p->n, sizeof *p->v, by_first);
    return 0;
}

int key_plan_make(const cJSON *mapping, struct key_plan *out, struct err *e)
{
    size_t n = cJSON_IsArray(mapping) ? (size_t)cJSON_GetArraySize(mapping) : 0, i = 0;
    const cJSON *one;
    *out = (struct key_plan){.v = calloc(2 * n + 1, sizeof *out->v)};
    if (!out->v)
        return err_set(e, ENOMEM, "cannot plan the shard keys", NULL, NULL);
    if (!cJSON_IsArray(mapping)) /* before 1.12 a map, which took numbers for texts */
        return err_set(e, 0, "the snapshot does not list its shard keys", NULL, AS_FILE);
    cJSON_ArrayForEach(one, mapping)
    {
        if (step_of(one, &out->v[i++], e) != 0)
            return -1;
    }
    return fill_gaps(out, n, e);
}

void key_names(const cJSON *mapping, char out[200])
{
    const cJSON *one;
    size_t n = 0, all = (size_t)cJSON_GetArraySize(mapping);
    *out = 0;
    cJSON_ArrayForEach(one, mapping)
    {
        cleanup_json_text char *key = cJSON_PrintUnformatted(json_member(one, "key"));
        size_t used = strlen(out);
        if (n == 5 || used > 120)
            break;
        (void)snprintf(out + used, 200 - used, "%s%.60s", n++ ? ", " : "", key ? key : "?");
    }
    size_t used = strlen(out);
    if (n < all)
        (void)snprintf(out + used, 200 - used, " and %zu more", all - n);
}

/* --- what is there */

/* Of a shard that the collection has: its key; NULL: there is none of that number. */
static const cJSON *key_of(const cJSON *cluster, double id, bool *there)
{
    static const char *const where[] = {"local_shards", "remote_shards"};
    const cJSON *s;
    for (size_t i = 0; i < sizeof where / sizeof *where; i++)
        cJSON_ArrayForEach(s, json_member(cluster, where[i]))
        {
            if (cJSON_IsNumber(json_member(s, "shard_id")) && json_member(s, "shard_id")->valuedouble == id)
                return *there = true, json_member(s, "shard_key");
        }
    return *there = false, NULL;
}

bool key_mapping_is(const cJSON *mapping, const cJSON *cluster, char why[300])
{
    const cJSON *one, *id;
    size_t wanted = 0;
    *why = 0;
    cJSON_ArrayForEach(one, mapping)
    {
        cJSON_ArrayForEach(id, json_member(one, "shard_ids"))
        {
            bool there;
            const cJSON *key = key_of(cluster, id->valuedouble, &there);
            wanted++;
            if (there && cJSON_Compare(key, json_member(one, "key"), 1))
                continue;
            cleanup_json_text char *want = cJSON_PrintUnformatted(json_member(one, "key")),
                                   *has = cJSON_PrintUnformatted(key);
            (void)snprintf(why, 300, "shard %.0f is of the key %.100s in the backup, and %s%.100s in Qdrant",
                           id->valuedouble, want ? want : "?", there ? "of " : "not there",
                           there ? (has ? has : "none") : "");
            return false;
        }
    }
    const cJSON *count = json_member(cluster, "shard_count");
    if (cJSON_IsNumber(count) && count->valuedouble != (double)wanted)
        (void)snprintf(why, 300, "%.0f shards are in Qdrant, and %zu in the backup", count->valuedouble,
                       wanted);
    return !*why;
}

int shard_keys_are(struct qdrant *q, const char *collection, const cJSON *mapping, char why[300],
                   struct err *e)
{
    struct qdrant_ask ask = {.method = "GET", .collection = collection, .path = "/cluster"};
    cleanup_json cJSON *whole = qdrant_ask(q, &ask, e);
    return whole ? key_mapping_is(mapping, json_member(whole, "result"), why) : -1;
}

int shard_keys_possible(struct qdrant *q, struct err *e)
{
    struct qdrant_ask ask = {.method = "GET", .path = "/cluster"};
    cleanup_json cJSON *whole = qdrant_ask(q, &ask, e);
    const char *status = json_string(json_member(whole, "result"), "status");
    return whole ? status && strcmp(status, "enabled") == 0 : -1;
}

/* --- making them */

/* 0 for 200; `body` may be NULL, which is for want of memory. */
static int send(struct qdrant *q, const char *method, const char *collection, const char *path,
                const cJSON *body, struct err *e)
{
    cleanup_json_text char *json = body ? cJSON_PrintUnformatted(body) : NULL;
    struct qdrant_ask ask = {
        .method = method, .collection = collection, .path = path, .json = json, .total_ms = CHANGE_MS};
    if (body && !json)
        return err_set(e, ENOMEM, "cannot ask Qdrant", NULL, NULL);
    cleanup_json cJSON *done = qdrant_ask(q, &ask, e);
    return done ? 0 : -1;
}

static bool add_all(cJSON *to, const cJSON *from)
{
    const cJSON *v;
    cJSON_ArrayForEach(v, from)
    {
        cJSON *copy = cJSON_Duplicate(v, 1);
        if (!copy || !cJSON_AddItemToObject(to, v->string, copy)) {
            cJSON_Delete(copy);
            return false;
        }
    }
    return true;
}

/* As Qdrant makes a collection of a snapshot's configuration (`From<CollectionConfigInternal> for
 * CreateCollection`): all of `params` at the top, and the sections under their names. */
static int create(struct qdrant *q, const char *collection, const cJSON *config, struct err *e)
{
    static const char *const section[] = {"hnsw_config", "wal_config", "quantization_config",
                                          "strict_mode_config", "metadata"};
    cleanup_json cJSON *body = cJSON_CreateObject();
    bool good = body && add_all(body, json_member(config, "params"));
    for (size_t i = 0; good && i < sizeof section / sizeof *section; i++)
        if (cJSON_IsObject(json_member(config, section[i])))
            good =
                cJSON_AddItemToObject(body, section[i], cJSON_Duplicate(json_member(config, section[i]), 1));
    if (good && cJSON_IsObject(json_member(config, "optimizer_config")))
        good = cJSON_AddItemToObject(body, "optimizers_config",
                                     cJSON_Duplicate(json_member(config, "optimizer_config"), 1));
    if (!good)
        return err_set(e, ENOMEM, "cannot create the collection", collection, NULL);
    return send(q, "PUT", collection, "?timeout=60", body, e);
}

static int make_index(struct qdrant *q, const char *collection, const cJSON *schema, struct err *e)
{
    cleanup_json cJSON *body = cJSON_CreateObject();
    if (!cJSON_AddStringToObject(body, "field_name", schema->string) ||
        !cJSON_AddItemToObject(body, "field_schema", cJSON_Duplicate(schema, 1)))
        return err_set(e, ENOMEM, "cannot make an index of", schema->string, NULL);
    return send(q, "PUT", collection, "/index?wait=true", body, e);
}

static void filler_name(const struct key_step *s, char out[64])
{
    (void)snprintf(out, 64, "qdrant-efs filler %u", s->first);
}

static cJSON *key_body(const struct key_step *s)
{
    char filler[64];
    cJSON *o = cJSON_CreateObject();
    filler_name(s, filler);
    if (o && cJSON_AddItemToObject(o, "shard_key",
                                   s->key ? cJSON_Duplicate(s->key, 1) : cJSON_CreateString(filler)))
        return o;
    cJSON_Delete(o);
    return NULL;
}

static int make_key(struct qdrant *q, const char *collection, const struct key_step *s, struct err *e)
{
    cleanup_json cJSON *body = key_body(s);
    if (!body || !cJSON_AddNumberToObject(body, "shards_number", s->n))
        return err_set(e, ENOMEM, "cannot make the shard keys of", collection, NULL);
    return send(q, "PUT", collection, "/shards?timeout=60", body, e);
}

static int drop_fillers(struct qdrant *q, const char *collection, const struct key_plan *p, struct err *e)
{
    for (size_t i = 0; i < p->n; i++) {
        if (p->v[i].key)
            continue;
        cleanup_json cJSON *body = key_body(&p->v[i]);
        if (!body)
            return err_set(e, ENOMEM, "cannot make the shard keys of", collection, NULL);
        if (send(q, "POST", collection, "/shards/delete?timeout=60", body, e) != 0)
            return -1;
    }
    return 0;
}

static int make_all(struct qdrant *q, const char *collection, const struct inside_says *says,
                    const struct key_plan *p, struct err *e)
{
    const cJSON *schema;
    char why[300];
    for (size_t i = 0; i < p->n; i++)
        if (make_key(q, collection, &p->v[i], e) != 0)
            return -1;
    cJSON_ArrayForEach(schema, json_member(says->indexes, "schema"))
    {
        if (make_index(q, collection, schema, e) != 0)
            return -1;
    }
    if (!says->custom)
        return 0;
    if (drop_fillers(q, collection, p, e) != 0)
        return -1;
    int are = shard_keys_are(q, collection, says->keys, why, e);
    return are > 0 ? 0 : are < 0 ? -1 : err_set(e, 0, why, NULL, AS_FILE);
}

int shard_keys_make(struct qdrant *q, const char *collection, const struct inside_says *says, struct err *e)
{
    cleanup_plan struct key_plan plan = {0};
    struct err ignored;
    int64_t points;
    if ((says->custom && key_plan_make(says->keys, &plan, e) != 0) ||
        create(q, collection, says->config, e) != 0)
        return -1;
    if (make_all(q, collection, says, &plan, e) == 0)
        return 0;
    /* We have made it a moment ago; without shard keys somebody may have written since. */
    if (says->custom || (qdrant_count(q, collection, &points, &ignored) == 0 && points == 0))
        (void)send(q, "DELETE", collection, "", NULL, &ignored);
    return -1;
}
