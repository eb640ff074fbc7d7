#include "qdrant/fingerprint.h"
#include "common/base/cleanup.h"
#include "common/http.h"
#include "common/json.h"
#include "qdrant/canonical.h"
#include "qdrant/client.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    PROBE_MS = 10000,
    ALL_MAX = 1000,       /* points of a collection that is looked at as a whole */
    SAMPLE_MAX = 8 << 20, /* bytes that are hashed: payloads may be of any size */
    /* Of plans that a seed alone gives: */
    SEEDED_NUMBERS = 200000, /* in a collection that is looked at as a whole */
    SEEDED_PLACES = 24,      /* for each of the two kinds of ids */
    SEEDED_PLACE = 2500,     /* numbers at each */
    SEEDED_EACH = 8,         /* points at each */
    OVERHEAD = 16,           /* a payload, in numbers */
    COUNT_MAX = 1000000,
};

struct look {
    struct qdrant *q;
    struct http *http;
    const char *collection;
    struct canonical *content;
    unsigned points, asked; /* the latter: reads, of which strict mode allows its users so many */
    bool whole;             /* these are all */
    struct fingerprint_limits limits;
    double width; /* numbers of a point's vectors, as far as the configuration tells */
};

static int no_memory(struct err *e) { return err_set(e, ENOMEM, "cannot take a fingerprint", NULL, NULL); }

/* --- the configuration */

static double width_of(const cJSON *vectors)
{
    const cJSON *v;
    double width = 0;
    if (cJSON_IsNumber(json_member(vectors, "size")))
        return json_member(vectors, "size")->valuedouble;
    cJSON_ArrayForEach(v, vectors)
    {
        if (cJSON_IsNumber(json_member(v, "size")))
            width += json_member(v, "size")->valuedouble;
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
    const cJSON *config = json_member(result, "config");
    cJSON *field;
    if (!o || !c || !add_copy(o, "params", json_member(config, "params")) ||
        !add_copy(o, "quantization_config", json_member(config, "quantization_config")) ||
        !add_copy(o, "payload_schema", json_member(result, "payload_schema")))
        return false;
    for (size_t i = 0; i < sizeof not_ours / sizeof *not_ours; i++)
        cJSON_DeleteItemFromObjectCaseSensitive(json_member(o, "params"), not_ours[i]);
    cJSON_ArrayForEach(field, json_member(o, "payload_schema"))
    {
        cJSON_DeleteItemFromObjectCaseSensitive(field, "points");
    }
    return canonical_add(c, o) && canonical_end(c, out);
}

static int take_config(struct look *l, struct content_digest *out, struct err *e)
{
    struct qdrant_ask ask = {.method = "GET", .collection = l->collection, .path = "", .keep = l->http};
    cleanup_json cJSON *whole = qdrant_ask(l->q, &ask, e);
    const cJSON *result = json_member(whole, "result"), *points = json_member(result, "points_count");
    if (!whole)
        return -1;
    if (!cJSON_IsNumber(points) || !(points->valuedouble >= 0 && points->valuedouble < 1e15))
        return err_set(e, 0, "Qdrant does not tell how many points there are", NULL, NULL);
    out->points = (int64_t)points->valuedouble;
    l->limits = fingerprint_limits_of(result);
    l->width = width_of(json_member(json_member(json_member(result, "config"), "params"), "vectors"));
    return config_digest(result, out->config) ? 0 : no_memory(e);
}

/* --- a cluster */

static bool has_shard(const cJSON *shards, const cJSON *id)
{
    const cJSON *s;
    cJSON_ArrayForEach(s, shards)
    {
        if (cJSON_Compare(json_member(s, "shard_id"), id, 1))
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
    const cJSON *result = json_member(whole, "result"), *s;
    if (!whole && why.code != QDRANT_MISSING)
        return e ? (*e = why, -1) : -1;
    cJSON_ArrayForEach(s, json_member(result, "remote_shards"))
    {
        if (!has_shard(json_member(result, "local_shards"), json_member(s, "shard_id")))
            return FINGERPRINT_ELSEWHERE;
    }
    return 0;
}

/* --- points */

static int take_count(struct look *l, struct content_digest *out, struct err *e)
{
    struct qdrant_ask ask = {.method = "POST",
                             .collection = l->collection,
                             .path = "/points/count",
                             .json = "{\"exact\":true}",
                             .total_ms = PROBE_MS,
                             .keep = l->http};
    l->asked++;
    cleanup_json cJSON *whole = qdrant_ask(l->q, &ask, e);
    const cJSON *count = json_member(json_member(whole, "result"), "count");
    if (!whole)
        return -1;
    if (!cJSON_IsNumber(count))
        return err_set(e, 0, "Qdrant does not count the points", NULL, NULL);
    out->points = (int64_t)count->valuedouble;
    out->counted = true;
    return 0;
}

/* `offset` is an id; empty: from the first one. */
static cJSON *scroll(struct look *l, const char *offset, unsigned limit, bool whole, struct err *e)
{
    char body[200];
    const char *quote = strchr(offset, '-') ? "\"" : "";
    struct qdrant_ask ask = {.method = "POST",
                             .collection = l->collection,
                             .path = "/points/scroll",
                             .json = body,
                             .total_ms = PROBE_MS,
                             .keep = l->http};
    (void)snprintf(body, sizeof body, "{\"limit\":%u,\"with_payload\":%s,\"with_vector\":%s%s%s%s%s}", limit,
                   whole ? "true" : "false", whole ? "true" : "false", *offset ? ",\"offset\":" : "", quote,
                   offset, quote);
    l->asked++;
    return qdrant_ask(l->q, &ask, e);
}

/* `next`: the id that comes after these, empty at the end; may be NULL. */
static int look_at(struct look *l, const char *offset, unsigned limit, char next[PLAN_PLACE], struct err *e)
{
    const cJSON *point;
    cleanup_json cJSON *whole = scroll(l, offset, limit, true, e);
    const cJSON *result = json_member(whole, "result");
    if (!whole)
        return -1;
    cJSON_ArrayForEach(point, json_member(result, "points"))
    {
        if (!canonical_add(l->content, point))
            return no_memory(e);
        l->points++;
    }
    const cJSON *after = json_member(result, "next_page_offset");
    if (next && cJSON_IsString(after))
        (void)snprintf(next, PLAN_PLACE, "%s", after->valuestring);
    else if (next && cJSON_IsNumber(after) && after->valuedouble < 9007199254740992.0)
        (void)snprintf(next, PLAN_PLACE, "%.0f", after->valuedouble);
    else if (next) {
        *next = 0;
        l->whole = cJSON_IsNull(after); /* else a number that a double does not hold: it ends there */
    }
    return 0;
}

/* All of a small one, page by page. */
static int look_at_all(struct look *l, unsigned page, struct err *e)
{
    char next[PLAN_PLACE] = "";
    do {
        if (look_at(l, next, page, next, e) != 0)
            return -1;
    } while (*next && l->points <= ALL_MAX);
    return 0;
}

enum id { ID_NONE, ID_NUMBER, ID_UUID };
static const char first_uuid[] = "00000000-0000-0000-0000-000000000000";
/* The kind of the first id from there on; -1 with `e`. */
static int id_from(struct look *l, const char *offset, struct err *e)
{
    cleanup_json cJSON *whole = scroll(l, offset, 1, false, e);
    const cJSON *id =
        json_member(cJSON_GetArrayItem(json_member(json_member(whole, "result"), "points"), 0), "id");
    if (!whole)
        return -1;
    return cJSON_IsNumber(id) ? ID_NUMBER : cJSON_IsString(id) ? ID_UUID : ID_NONE;
}

/* How long the largest number is: bits->low at least, bits->high at most. Asks for `middle` bits. */
struct bits {
    unsigned low, high;
};
static int narrow(struct look *l, struct bits *bits, unsigned middle, struct err *e)
{
    char offset[PLAN_PLACE];
    (void)snprintf(offset, sizeof offset, "%" PRIu64, UINT64_C(1) << middle);
    int id = id_from(l, offset, e);
    if (id == ID_NUMBER)
        bits->low = middle + 1;
    else if (id >= 0)
        bits->high = middle;
    return id < 0 ? -1 : 0;
}

/* --- a plan */

static unsigned length_of(int64_t n)
{
    unsigned bits = 0;
    while (n > 0 && bits < 63)
        n >>= 1, bits++;
    return bits;
}

/* Numbers that are dense are as long as their count, which two probes show; hashes, by one more. Without more
 * probes the places are where numbers are known to be. */
static int find_bits(struct look *l, int64_t points, unsigned *probes, struct bits *bits, struct err *e)
{
    unsigned guess = length_of(points);
    const unsigned first[] = {guess, guess - 1, 63};
    *bits = (struct bits){0, 64};
    for (unsigned i = 0; *probes > 0 && bits->low < bits->high; i++) {
        unsigned middle = i < sizeof first / sizeof *first && first[i] >= bits->low && first[i] < bits->high
                              ? first[i]
                              : (bits->low + bits->high) / 2;
        if (narrow(l, bits, middle, e) != 0)
            return -1;
        --*probes;
    }
    if (bits->low < guess && guess <= bits->high)
        bits->low = guess;
    return 0;
}

static int find_ids(struct look *l, int64_t points, unsigned *probes, struct fingerprint_ids *ids,
                    struct err *e)
{
    struct bits bits = {0};
    *ids = (struct fingerprint_ids){0};
    if (*probes == 0)
        return 0;
    --*probes;
    int first = id_from(l, "", e), second = ID_NONE;
    if (first == ID_NUMBER && *probes > 0) {
        --*probes;
        second = id_from(l, first_uuid, e);
    }
    if (first < 0 || second < 0)
        return -1;
    ids->numbers = first == ID_NUMBER;
    ids->uuids = first == ID_UUID || second == ID_UUID;
    if (ids->numbers && find_bits(l, points, probes, &bits, e) != 0)
        return -1;
    ids->bits = bits.low;
    return 0;
}

static int too_dear(const struct look *l, struct err *e)
{
    char what[300];
    (void)snprintf(what, sizeof what,
                   "its strict mode allows %" PRId64 " reads a minute and %" PRId64
                   " points a read (-1: any), of which at most a tenth may be ours",
                   l->limits.reads, l->limits.page);
    return err_set(e, 0, what, NULL, "raise its read_rate_limit, or set FINGERPRINT=off"), FINGERPRINT_DEAR;
}

/* The first look. */
static int make_plan(struct look *l, struct fingerprint_plan *plan, int64_t points, struct err *e)
{
    struct fingerprint_reads reads = fingerprint_reads_of(&l->limits, points, l->width);
    struct fingerprint_ids ids;
    unsigned probes = reads.probes;
    if (reads.dear)
        return too_dear(l, e);
    plan->each = reads.each;
    plan->n = 0;
    if (!reads.all && find_ids(l, points, &probes, &ids, e) != 0)
        return -1;
    if (!reads.all)
        fingerprint_plan_places(plan, &ids, reads.rest + probes);
    plan->count = reads.count;
    plan->made = true;
    return 0;
}

/* --- the sample of manifests from before there were plans */

static int seeded_bits(struct look *l, unsigned *out, struct err *e)
{
    struct bits bits = {0, 64};
    while (bits.low < bits.high)
        if (narrow(l, &bits, (bits.low + bits.high) / 2, e) != 0)
            return -1;
    *out = bits.low;
    return 0;
}

static unsigned seeded_each(const struct look *l)
{
    double n = SEEDED_PLACE / (l->width + OVERHEAD);
    return n < 1 ? 1 : n > SEEDED_EACH ? SEEDED_EACH : (unsigned)n;
}

static int seeded_sample(struct look *l, uint64_t random, struct err *e)
{
    char offset[PLAN_PLACE];
    unsigned bits = 0;
    int number_ids = id_from(l, "", e), uuids = number_ids < 0 ? -1 : id_from(l, first_uuid, e);
    if (uuids < 0 || (number_ids == ID_NUMBER && seeded_bits(l, &bits, e) != 0))
        return -1;
    for (unsigned i = 0; i < 2 * SEEDED_PLACES && canonical_size(l->content) < SAMPLE_MAX; i++) {
        if (i < SEEDED_PLACES)
            (void)snprintf(offset, sizeof offset, "%" PRIu64, fingerprint_number(&random, i, bits));
        else
            fingerprint_uuid(&random, offset);
        if ((i < SEEDED_PLACES ? number_ids == ID_NUMBER : uuids == ID_UUID) &&
            look_at(l, offset, seeded_each(l), NULL, e) != 0)
            return -1;
    }
    return 0;
}

static int seeded_look(struct look *l, uint64_t seed, const struct content_digest *out, struct err *e)
{
    return out->points <= ALL_MAX && (double)out->points * (l->width + OVERHEAD) <= SEEDED_NUMBERS
               ? look_at_all(l, PLAN_EACH_MAX, e)
               : seeded_sample(l, seed, e);
}

/* --- taking one */

static int sample(struct look *l, const struct fingerprint_plan *plan, struct err *e)
{
    for (unsigned i = 0; i < plan->n && canonical_size(l->content) < SAMPLE_MAX; i++)
        if (look_at(l, plan->at[i], plan->each, NULL, e) != 0)
            return -1;
    return 0;
}

static int take_content(struct look *l, const struct fingerprint_plan *plan, struct content_digest *out,
                        struct err *e)
{
    cleanup_canonical struct canonical *c = canonical_new();
    l->content = c;
    if (!c)
        return no_memory(e);
    int rc = plan->seeded  ? seeded_look(l, plan->seed, out, e)
             : plan->n > 0 ? sample(l, plan, e)
                           : look_at_all(l, plan->each, e);
    if (rc != 0)
        return -1;
    out->looked_at = l->points;
    if (l->whole && !plan->seeded) {
        out->points = l->points;
        out->counted = true;
    }
    out->all = l->whole && l->points == out->points;
    return canonical_end(c, out->content) ? 0 : no_memory(e);
}

static int too_large(unsigned each, struct err *e)
{
    char what[200];
    (void)snprintf(what, sizeof what,
                   "Qdrant's reply with %u point%s of it is longer than the 16 MiB that are read of one",
                   each, each == 1 ? "" : "s");
    (void)err_set(e, 0, what, NULL, "use smaller payloads, or set FINGERPRINT=off");
    if (e)
        e->code = EFBIG;
    return -1;
}

/* Another plan, of smaller replies; the same as a whole, or places in its stead. */
static int plan_smaller(struct look *l, struct fingerprint_plan *plan, int64_t points, struct err *e)
{
    unsigned all = fingerprint_reads_max(&l->limits), left = all > l->asked ? all - l->asked : 0;
    struct fingerprint_reads reads = fingerprint_reads_smaller(&l->limits, plan, left, points, l->width);
    struct fingerprint_ids ids;
    unsigned probes = reads.probes;
    if (reads.dear)
        return too_large(plan->each, e);
    plan->each = reads.each;
    plan->count = reads.count;
    if (reads.all)
        return 0;
    if (plan->n > 0) {
        plan->n = plan->n < reads.rest / 2 ? plan->n : reads.rest / 2;
        return 0;
    }
    if (find_ids(l, points, &probes, &ids, e) != 0)
        return -1;
    fingerprint_plan_places(plan, &ids, reads.rest + probes);
    if (!plan->at[0][0] && plan->n > 1)
        plan->n = 1; /* where ids are is not known: from the first one on */
    return 0;
}

/* The first look may choose again; any later one looks at what that one did. */
static int take_smaller(struct look *l, struct fingerprint_plan *plan, struct content_digest *out,
                        struct err *e)
{
    int64_t points = out->points;
    l->points = 0;
    l->whole = false;
    int rc = plan_smaller(l, plan, points, e);
    if (rc == 0 && plan->count && !out->counted)
        rc = take_count(l, out, e);
    return rc == 0 ? take_content(l, plan, out, e) : rc;
}

int content_digest_take(struct qdrant *q, const char *collection, struct fingerprint_plan *plan,
                        struct content_digest *out, struct err *e)
{
    bool first = !plan->made && !plan->seeded;
    struct err why = {0};
    cleanup_http struct http *http = http_new();
    struct look l = {.q = q, .http = http, .collection = collection};
    memset(out, 0, sizeof *out);
    if (!http)
        return no_memory(e);
    int rc = take_shards(&l, e);
    if (rc == 0)
        rc = take_config(&l, out, e);
    if (rc == 0 && plan->seeded)
        plan->count = out->points <= COUNT_MAX;
    else if (rc == 0 && !plan->made)
        rc = make_plan(&l, plan, out->points, e);
    if (rc == 0 && plan->count)
        rc = take_count(&l, out, e);
    if (rc != 0)
        return rc;
    rc = take_content(&l, plan, out, &why);
    while (rc < 0 && first && why.code == EFBIG && plan->each > 0) {
        why = (struct err){0};
        unsigned each = plan->each;
        rc = take_smaller(&l, plan, out, &why);
        if (plan->each == each)
            break; /* there is no smaller one */
    }
    if (rc < 0 && why.code == EFBIG)
        return too_large(plan->each, e);
    if (rc != 0 && e)
        *e = why;
    return rc;
}

/* --- comparing */

static bool same_content(const struct content_digest *a, const struct content_digest *b)
{
    return strcmp(a->content, b->content) == 0 && a->looked_at == b->looked_at;
}

void fingerprint_join(struct fingerprint *out, const struct fingerprint_plan *plan,
                      const struct content_digest *before, const struct content_digest *after)
{
    *out = (struct fingerprint){.known = true, .plan = *plan, .before = *before, .after = *after};
    out->exact = before->points == after->points && strcmp(before->config, after->config) == 0 &&
                 same_content(before, after);
}

/* What was written meanwhile may have come and gone; an estimate may be off where segments are merged. */
static int64_t slack_of(const struct fingerprint *f, const struct content_digest *now, int64_t low,
                        int64_t high)
{
    if (!f->before.counted || !f->after.counted || !now->counted)
        return high / 10;
    return f->exact ? 0 : high - low + high / 100;
}

static bool points_fit(const struct fingerprint *f, const struct content_digest *now,
                       char why[FINGERPRINT_TEXT])
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

enum fingerprint_fit fingerprint_fit(const struct fingerprint *f, const struct content_digest *now,
                                     char why[FINGERPRINT_TEXT], char note[FINGERPRINT_TEXT])
{
    bool config = strcmp(now->config, f->before.config) == 0 || strcmp(now->config, f->after.config) == 0;
    *why = *note = 0;
    if (!points_fit(f, now, why))
        return FINGERPRINT_POINTS;
    if (!config) {
        (void)snprintf(why, FINGERPRINT_TEXT,
                       "vectors, quantization or payload indexes are configured otherwise than they were");
        return FINGERPRINT_CONFIG;
    }
    if (same_content(now, &f->before) || same_content(now, &f->after))
        return FINGERPRINT_SAME;
    (void)snprintf(f->exact ? why : note, FINGERPRINT_TEXT,
                   f->exact
                       ? "of %u points that were looked at, payloads or vectors differ from what they were"
                       : "points were written while the snapshot was made: the contents of %u points "
                         "could not be compared",
                   f->exact && f->after.looked_at > now->looked_at ? f->after.looked_at : now->looked_at);
    return f->exact ? FINGERPRINT_CONTENT : FINGERPRINT_LOOSELY;
}

bool fingerprint_fits(const struct fingerprint *f, const struct content_digest *now,
                      char why[FINGERPRINT_TEXT], char note[FINGERPRINT_TEXT])
{
    return fingerprint_fit(f, now, why, note) <= FINGERPRINT_LOOSELY;
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
    const cJSON *alias, *list = json_member(json_member(whole, "result"), "aliases");
    memset(out, 0, sizeof *out);
    if (!whole)
        return -1;
    out->known = cJSON_IsArray(list);
    cJSON_ArrayForEach(alias, list)
    {
        const char *name = json_string(alias, "alias_name");
        if (name)
            (void)aliases_add(out, name);
    }
    return 0;
}
