#include "qdrant/fingerprint.h"
#include "common/cleanup.h"
#include "common/http.h"
#include "qdrant/canonical.h"
#include "qdrant/client.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    ASK_MS = 10000,
    ALL_MAX = 1000,       /* points of a collection that is looked at as a whole ... */
    NUMBERS_MAX = 200000, /* ... and their numbers: cJSON takes 80 bytes for each */
    PLACES = 24,          /* of a sample, for each of the two kinds of ids */
    PLACE_NUMBERS = 2500, /* at each */
    PLACE_MAX = 8,        /* points at each */
    OVERHEAD = 16,        /* a payload, in numbers */
    SAMPLE_MAX = 8 << 20, /* bytes that are hashed: payloads may be of any size */
    COUNT_MAX = 1000000,  /* Qdrant counts by a set of all ids: 25 bytes and 80 ns for each */
};

static void json_free(cJSON **j) { cJSON_Delete(*j); }
#define cleanup_json __attribute__((cleanup(json_free)))
static void http_freep(struct http **h) { http_free(*h); }
#define cleanup_http __attribute__((cleanup(http_freep)))
static void canonical_freep(struct canonical **c) { canonical_free(*c); }
#define cleanup_canonical __attribute__((cleanup(canonical_freep)))

struct look {
    struct qdrant *q;
    struct http *http;
    const char *collection;
    struct canonical *content;
    unsigned points;
    uint64_t random;
    double width; /* numbers of a point's vectors, as far as the configuration tells */
};

static const cJSON *member(const cJSON *o, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(o, name);
}

static int no_memory(struct err *e) { return err_set(e, ENOMEM, "cannot take a fingerprint", NULL, NULL); }

/* splitmix64 (public domain, S. Vigna): the same places for the same seed, wherever it is compiled. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

/* --- the configuration */

static double width_of(const cJSON *vectors)
{
    const cJSON *v;
    double width = 0;
    if (cJSON_IsNumber(member(vectors, "size")))
        return member(vectors, "size")->valuedouble;
    cJSON_ArrayForEach(v, vectors)
    {
        if (cJSON_IsNumber(member(v, "size")))
            width += member(v, "size")->valuedouble;
    }
    return width;
}

static bool add_copy(cJSON *to, const char *name, const cJSON *from)
{
    cJSON *copy = from ? cJSON_Duplicate(from, 1) : cJSON_CreateNull();
    if (copy && cJSON_AddItemToObject(to, name, copy))
        return true;
    cJSON_Delete(copy);
    return false;
}

/* How often a collection is stored is the cluster's affair; how many points an index has, a matter of
 * progress. */
static bool config_digest(const cJSON *result, char out[65])
{
    static const char *const not_ours[] = {"replication_factor", "write_consistency_factor",
                                           "read_fan_out_factor", "read_fan_out_delay_ms"};
    cleanup_json cJSON *o = cJSON_CreateObject();
    cleanup_canonical struct canonical *c = canonical_new();
    const cJSON *config = member(result, "config");
    cJSON *field;
    if (!o || !c || !add_copy(o, "params", member(config, "params")) ||
        !add_copy(o, "quantization_config", member(config, "quantization_config")) ||
        !add_copy(o, "payload_schema", member(result, "payload_schema")))
        return false;
    for (size_t i = 0; i < sizeof not_ours / sizeof *not_ours; i++)
        cJSON_DeleteItemFromObjectCaseSensitive(cJSON_GetObjectItemCaseSensitive(o, "params"), not_ours[i]);
    cJSON_ArrayForEach(field, cJSON_GetObjectItemCaseSensitive(o, "payload_schema"))
    {
        cJSON_DeleteItemFromObjectCaseSensitive(field, "points");
    }
    return canonical_add(c, o) && canonical_end(c, out);
}

static int take_config(struct look *l, struct print *out, struct err *e)
{
    struct qdrant_ask ask = {.method = "GET", .collection = l->collection, .path = "", .keep = l->http};
    cleanup_json cJSON *whole = qdrant_ask(l->q, &ask, e);
    const cJSON *result = member(whole, "result"), *points = member(result, "points_count");
    if (!whole)
        return -1;
    if (!cJSON_IsNumber(points) || !(points->valuedouble >= 0 && points->valuedouble < 1e15))
        return err_set(e, 0, "Qdrant does not tell how many points there are", NULL, NULL);
    out->points = (int64_t)points->valuedouble;
    l->width = width_of(member(member(member(result, "config"), "params"), "vectors"));
    return config_digest(result, out->config) ? 0 : no_memory(e);
}

/* --- a cluster */

static bool has_shard(const cJSON *shards, const cJSON *id)
{
    const cJSON *s;
    cJSON_ArrayForEach(s, shards)
    {
        if (cJSON_Compare(member(s, "shard_id"), id, 1))
            return true;
    }
    return false;
}

/* 0: all of it is here. */
static int take_shards(struct look *l, struct err *e)
{
    struct qdrant_ask ask = {
        .method = "GET", .collection = l->collection, .path = "/cluster", .keep = l->http};
    struct err why = {0};
    cleanup_json cJSON *whole = qdrant_ask(l->q, &ask, &why);
    const cJSON *result = member(whole, "result"), *s;
    if (!whole && why.code != QDRANT_MISSING)
        return e ? (*e = why, -1) : -1;
    cJSON_ArrayForEach(s, member(result, "remote_shards"))
    {
        if (!has_shard(member(result, "local_shards"), member(s, "shard_id")))
            return PRINT_ELSEWHERE;
    }
    return 0;
}

/* --- points */

static int take_count(struct look *l, struct print *out, struct err *e)
{
    struct qdrant_ask ask = {.method = "POST",
                             .collection = l->collection,
                             .path = "/points/count",
                             .json = "{\"exact\":true}",
                             .total_ms = ASK_MS,
                             .keep = l->http};
    if (out->points > COUNT_MAX)
        return 0;
    cleanup_json cJSON *whole = qdrant_ask(l->q, &ask, e);
    const cJSON *count = member(member(whole, "result"), "count");
    if (!whole)
        return -1;
    if (!cJSON_IsNumber(count))
        return err_set(e, 0, "Qdrant does not count the points", NULL, NULL);
    out->points = (int64_t)count->valuedouble;
    out->counted = true;
    return 0;
}

/* `offset` as it stands in JSON; NULL: from the first one. */
static cJSON *scroll(struct look *l, const char *offset, unsigned limit, bool whole, struct err *e)
{
    char body[200];
    struct qdrant_ask ask = {.method = "POST",
                             .collection = l->collection,
                             .path = "/points/scroll",
                             .json = body,
                             .total_ms = ASK_MS,
                             .keep = l->http};
    (void)snprintf(body, sizeof body, "{\"limit\":%u,\"with_payload\":%s,\"with_vector\":%s%s%s}", limit,
                   whole ? "true" : "false", whole ? "true" : "false", offset ? ",\"offset\":" : "",
                   offset ? offset : "");
    return qdrant_ask(l->q, &ask, e);
}

static int look_at(struct look *l, const char *offset, unsigned limit, struct err *e)
{
    const cJSON *point;
    cleanup_json cJSON *whole = scroll(l, offset, limit, true, e);
    if (!whole)
        return -1;
    cJSON_ArrayForEach(point, member(member(whole, "result"), "points"))
    {
        if (!canonical_add(l->content, point))
            return no_memory(e);
        l->points++;
    }
    return 0;
}

enum id { ID_NONE, ID_NUMBER, ID_UUID };
/* The kind of the first id from there on; -1 with `e`. */
static int id_from(struct look *l, const char *offset, struct err *e)
{
    cleanup_json cJSON *whole = scroll(l, offset, 1, false, e);
    const cJSON *id = member(cJSON_GetArrayItem(member(member(whole, "result"), "points"), 0), "id");
    if (!whole)
        return -1;
    return cJSON_IsNumber(id) ? ID_NUMBER : cJSON_IsString(id) ? ID_UUID : ID_NONE;
}

/* *bits: the length of the largest numeric id. */
static int find_bits(struct look *l, unsigned *bits, struct err *e)
{
    unsigned low = 0, high = 64;
    char offset[24];
    while (low < high) {
        unsigned middle = (low + high) / 2;
        (void)snprintf(offset, sizeof offset, "%" PRIu64, UINT64_C(1) << middle);
        int id = id_from(l, offset, e);
        if (id < 0)
            return -1;
        if (id == ID_NUMBER)
            low = middle + 1;
        else
            high = middle;
    }
    *bits = low;
    return 0;
}

/* Half of them anywhere below the largest, half at any order of magnitude: ids may be dense and small, or
 * hashes. */
static uint64_t number(struct look *l, unsigned place, unsigned bits)
{
    uint64_t r = next_random(&l->random), exponent = next_random(&l->random);
    unsigned use = place % 2 == 0 || bits == 0 ? bits : (unsigned)(exponent % bits) + 1;
    return use == 0 ? 0 : place % 2 == 0 ? r >> (64 - use) : (r >> (64 - use)) | UINT64_C(1) << (use - 1);
}

static void uuid(struct look *l, char out[48])
{
    uint64_t a = next_random(&l->random), b = next_random(&l->random);
    (void)snprintf(out, 48, "\"%08x-%04x-%04x-%04x-%012" PRIx64 "\"", (unsigned)(a >> 32),
                   (unsigned)(a >> 16) & 0xffff, (unsigned)a & 0xffff, (unsigned)(b >> 48),
                   b & UINT64_C(0xffffffffffff));
}

static unsigned per_place(const struct look *l)
{
    double n = PLACE_NUMBERS / (l->width + OVERHEAD);
    return n < 1 ? 1 : n > PLACE_MAX ? PLACE_MAX : (unsigned)n;
}

static int sample(struct look *l, struct err *e)
{
    static const char first_uuid[] = "\"00000000-0000-0000-0000-000000000000\"";
    char offset[48];
    unsigned bits = 0;
    int number_ids = id_from(l, NULL, e), uuids = number_ids < 0 ? -1 : id_from(l, first_uuid, e);
    if (uuids < 0 || (number_ids == ID_NUMBER && find_bits(l, &bits, e) != 0))
        return -1;
    for (unsigned i = 0; i < 2 * PLACES && canonical_size(l->content) < SAMPLE_MAX; i++) {
        if (i < PLACES)
            (void)snprintf(offset, sizeof offset, "%" PRIu64, number(l, i, bits));
        else
            uuid(l, offset);
        if ((i < PLACES ? number_ids == ID_NUMBER : uuids == ID_UUID) &&
            look_at(l, offset, per_place(l), e) != 0)
            return -1;
    }
    return 0;
}

static int take_content(struct look *l, struct print *out, struct err *e)
{
    cleanup_canonical struct canonical *c = canonical_new();
    double numbers = (double)out->points * (l->width + OVERHEAD);
    l->content = c;
    if (!c)
        return no_memory(e);
    bool all = out->points <= ALL_MAX && numbers <= NUMBERS_MAX;
    if ((all ? look_at(l, NULL, ALL_MAX + 1, e) : sample(l, e)) != 0)
        return -1;
    out->looked_at = l->points;
    out->all = all && l->points == out->points;
    return canonical_end(c, out->content) ? 0 : no_memory(e);
}

int print_take(struct qdrant *q, const char *collection, uint64_t seed, struct print *out, struct err *e)
{
    cleanup_http struct http *http = http_new();
    struct look l = {.q = q, .http = http, .collection = collection, .random = seed};
    memset(out, 0, sizeof *out);
    if (!http)
        return no_memory(e);
    int rc = take_shards(&l, e);
    if (rc != 0)
        return rc;
    return take_config(&l, out, e) || take_count(&l, out, e) || take_content(&l, out, e) ? -1 : 0;
}

/* --- comparing */

static bool same_content(const struct print *a, const struct print *b)
{
    return strcmp(a->content, b->content) == 0 && a->looked_at == b->looked_at;
}

void fingerprint_join(struct fingerprint *out, uint64_t seed, const struct print *before,
                      const struct print *after)
{
    *out = (struct fingerprint){.known = true, .seed = seed, .before = *before, .after = *after};
    out->exact = before->points == after->points && strcmp(before->config, after->config) == 0 &&
                 same_content(before, after);
}

/* What was written meanwhile may have come and gone; an estimate may be off where segments are merged. */
static int64_t slack_of(const struct fingerprint *f, const struct print *now, int64_t low, int64_t high)
{
    if (!f->before.counted || !f->after.counted || !now->counted)
        return high / 10;
    return f->exact ? 0 : high - low + high / 100;
}

static bool points_fit(const struct fingerprint *f, const struct print *now, char why[FINGERPRINT_TEXT])
{
    int64_t low = f->before.points, high = f->after.points;
    if (low > high)
        low = f->after.points, high = f->before.points;
    int64_t slack = slack_of(f, now, low, high);
    if (now->points >= low - slack && now->points <= high + slack)
        return true;
    if (low == high)
        (void)snprintf(why, FINGERPRINT_TEXT, "%" PRId64 " points came back of %" PRId64, now->points, low);
    else
        (void)snprintf(why, FINGERPRINT_TEXT, "%" PRId64 " points came back of %" PRId64 " to %" PRId64,
                       now->points, low, high);
    return false;
}

bool fingerprint_fits(const struct fingerprint *f, const struct print *now, char why[FINGERPRINT_TEXT],
                      char note[FINGERPRINT_TEXT])
{
    bool config = strcmp(now->config, f->before.config) == 0 || strcmp(now->config, f->after.config) == 0;
    *why = *note = 0;
    if (!points_fit(f, now, why))
        return false;
    if (!config) {
        (void)snprintf(why, FINGERPRINT_TEXT,
                       "vectors, quantization or payload indexes are configured otherwise than they were");
        return false;
    }
    if (same_content(now, &f->before) || same_content(now, &f->after))
        return true;
    (void)snprintf(f->exact ? why : note, FINGERPRINT_TEXT,
                   f->exact
                       ? "of %u points that were looked at, payloads or vectors differ from what they were"
                       : "points were written while the snapshot was made: the contents of %u points "
                         "could not be compared",
                   f->exact && f->after.looked_at > now->looked_at ? f->after.looked_at : now->looked_at);
    return !f->exact;
}

/* --- aliases */

bool aliases_add(struct aliases *a, const char *name)
{
    size_t used = 0, n = strlen(name) + 1;
    for (const char *p = NULL; (p = aliases_next(a, p));)
        used += strlen(p) + 1;
    if (n == 1 || n > sizeof a->names - used) {
        a->left_out++;
        return false;
    }
    memcpy(a->names + used, name, n);
    a->n++;
    return true;
}

const char *aliases_next(const struct aliases *a, const char *name)
{
    const char *next = name ? name + strlen(name) + 1 : a->names;
    return next < a->names + sizeof a->names && *next ? next : NULL;
}

int aliases_take(struct qdrant *q, const char *collection, struct aliases *out, struct err *e)
{
    struct qdrant_ask ask = {.method = "GET", .collection = collection, .path = "/aliases"};
    cleanup_json cJSON *whole = qdrant_ask(q, &ask, e);
    const cJSON *alias, *list = member(member(whole, "result"), "aliases");
    memset(out, 0, sizeof *out);
    if (!whole)
        return -1;
    out->known = cJSON_IsArray(list);
    cJSON_ArrayForEach(alias, list)
    {
        const char *name = cJSON_GetStringValue(member(alias, "alias_name"));
        if (name)
            (void)aliases_add(out, name);
    }
    return 0;
}
