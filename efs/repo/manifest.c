#include "efs/repo/manifest.h"
#include "common/base/cleanup.h"
#include "common/base/files.h"
#include "common/json.h"
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Values of "origin" and "points_of"; without these members Qdrant made it, and all points are counted. */
static const char UPLOAD[] = "upload", NODE[] = "node";

static bool task(cJSON *o, const char *key, const char *value)
{
    return !*value || json_add_text(o, key, value);
}

static bool add_print(cJSON *o, const char *key, const struct content_digest *p)
{
    cJSON *of = cJSON_AddObjectToObject(o, key);
    return of && cJSON_AddNumberToObject(of, "points", (double)p->points) &&
           cJSON_AddBoolToObject(of, "counted", p->counted) && json_add_text(of, "config", p->config) &&
           json_add_text(of, "content", p->content) &&
           cJSON_AddNumberToObject(of, "looked_at", p->looked_at) && cJSON_AddBoolToObject(of, "all", p->all);
}

/* Numbers as text, too: one in JSON holds 53 bits. */
static bool add_places(cJSON *of, const struct fingerprint_plan *plan)
{
    cJSON *list = cJSON_AddArrayToObject(of, "places");
    for (unsigned i = 0; list && i < plan->n; i++)
        if (!json_append_text(list, plan->at[i]))
            return false;
    return list && cJSON_AddNumberToObject(of, "each", plan->each);
}

static bool add_plan(cJSON *of, const struct fingerprint_plan *plan)
{
    char seed[20];
    if (!plan->seeded)
        return add_places(of, plan);
    (void)snprintf(seed, sizeof seed, "%016" PRIx64, plan->seed);
    return json_add_text(of, "seed", seed);
}

static bool add_fingerprint(cJSON *o, const struct fingerprint *f)
{
    cJSON *of = cJSON_AddObjectToObject(o, "fingerprint");
    return of && cJSON_AddBoolToObject(of, "exact", f->exact) && add_plan(of, &f->plan) &&
           add_print(of, "before", &f->before) && add_print(of, "after", &f->after);
}

static bool add_aliases(cJSON *o, const struct aliases *a)
{
    cJSON *list = cJSON_AddArrayToObject(o, "aliases");
    for (const char *name = NULL; list && (name = aliases_next(a, name));)
        if (!json_append_text(list, name))
            return false;
    return list && (a->left_out == 0 || cJSON_AddNumberToObject(o, "aliases_left_out", a->left_out));
}

bool manifest_add_content(cJSON *o, const struct manifest *m)
{
    return (!m->fingerprint.known || add_fingerprint(o, &m->fingerprint)) &&
           (!m->aliases.known || add_aliases(o, &m->aliases));
}

bool manifest_add_origin(cJSON *o, const struct manifest *m)
{
    return !m->upload || json_add_text(o, "origin", UPLOAD);
}

bool manifest_add_points_of(cJSON *o, const struct manifest *m)
{
    return !m->points_of_node || json_add_text(o, "points_of", NODE);
}

bool bases_add(struct bases *b, const struct base *one, const char *data)
{
    size_t n = strlen(data) + 1;
    if (b->n == BASES_MAX || n > sizeof b->names - b->used)
        return false;
    b->v[b->n] = *one;
    b->v[b->n++].name = b->used;
    memcpy(b->names + b->used, data, n);
    b->used += (unsigned)n;
    return true;
}

static bool add_recipe(cJSON *o, const struct recipe_place *r)
{
    cJSON *of = cJSON_AddObjectToObject(o, "recipe");
    return of && cJSON_AddNumberToObject(of, "offset", (double)r->at) &&
           cJSON_AddNumberToObject(of, "size", (double)r->size) && json_add_text(of, "sha256", r->sha256);
}

static bool add_bases(cJSON *o, const struct bases *b)
{
    cJSON *list = cJSON_AddArrayToObject(o, "bases");
    for (unsigned i = 0; list && i < b->n; i++) {
        cJSON *one = cJSON_CreateObject();
        if (!one || !cJSON_AddItemToArray(list, one)) {
            cJSON_Delete(one);
            return false;
        }
        if (!json_add_text(one, "frequency", frequency_text(b->v[i].frequency)) ||
            !json_add_text(one, "data", base_data(b, i)) ||
            !cJSON_AddNumberToObject(one, "stored_size", (double)b->v[i].stored_size) ||
            !json_add_text(one, "sha256", b->v[i].sha256) || !add_recipe(one, &b->v[i].recipe))
            return false;
    }
    return list != NULL;
}

bool manifest_add_pieces(cJSON *o, const struct manifest *m)
{
    return (m->recipe.size == 0 || add_recipe(o, &m->recipe)) && (m->bases.n == 0 || add_bases(o, &m->bases));
}

char *manifest_print(const struct manifest *m, const struct shards *shards)
{
    cleanup_json cJSON *o = cJSON_CreateObject();
    cJSON *node = o ? cJSON_AddObjectToObject(o, "node") : NULL;
    bool ok =
        node &&
        cJSON_AddNumberToObject(o, "format", m->bases.n > 0 ? MANIFEST_FORMAT_DELTA : MANIFEST_FORMAT) &&
        json_add_text(o, "collection", m->source.collection) &&
        json_add_text(o, "snapshot", m->source.stem) && json_add_text(o, "kind", kind_text(m->source.kind)) &&
        json_add_text(o, "shard", m->source.shard) && json_add_text(node, "name", m->node) &&
        json_add_text(node, "peer_id", m->source.peer) && task(node, "task_arn", m->task_arn) &&
        task(node, "zone", m->zone) && task(node, "family", m->family) &&
        json_add_text(o, "frequency", frequency_text(m->frequency)) && json_add_time(o, "slot", m->slot) &&
        json_add_time(o, "created", m->created) && json_add_text(o, "data", m->data) &&
        json_add_text(o, "codec", m->codec) && cJSON_AddNumberToObject(o, "size", (double)m->content.size) &&
        json_add_text(o, "sha256", m->content.sha256) &&
        cJSON_AddNumberToObject(o, "stored_size", (double)m->content.stored_size) &&
        json_add_text(o, "stored_sha256", m->content.stored_sha256) && manifest_add_pieces(o, m) &&
        cJSON_AddBoolToObject(o, "qdrant_checksum", m->qdrant_checksum) && manifest_add_origin(o, m) &&
        json_add_text(o, "qdrant_version", m->qdrant_version) &&
        (m->points < 0 ? cJSON_AddNullToObject(o, "points")
                       : cJSON_AddNumberToObject(o, "points", (double)m->points)) &&
        manifest_add_points_of(o, m) && shards_add(o, shards) && manifest_add_content(o, m) &&
        json_add_text(o, "written_by", m->written_by) && cJSON_AddNumberToObject(o, "seconds", m->seconds);
    return ok ? json_line(o, true) : NULL;
}

static bool get_print(const cJSON *o, struct content_digest *p)
{
    uint64_t points = 0, looked_at = 0;
    p->counted = json_true(o, "counted");
    p->all = json_true(o, "all");
    bool good = json_size(o, "points", &points) && json_hash(o, "config", p->config) &&
                json_hash(o, "content", p->content) && json_size(o, "looked_at", &looked_at) &&
                looked_at <= UINT_MAX;
    p->points = (int64_t)points;
    p->looked_at = (unsigned)looked_at;
    return good;
}

static bool get_places(const cJSON *from, struct fingerprint_plan *plan)
{
    const cJSON *list = json_member(from, "places"), *place;
    uint64_t each = 0;
    if (!cJSON_IsArray(list) || !json_size(from, "each", &each) || each < 1 || each > PLAN_EACH_MAX)
        return false;
    cJSON_ArrayForEach(place, list)
    {
        if (!cJSON_IsString(place) || plan->n == PLAN_PLACES || strlen(place->valuestring) >= PLAN_PLACE ||
            !fingerprint_place_good(place->valuestring))
            return false;
        (void)snprintf(plan->at[plan->n++], PLAN_PLACE, "%s", place->valuestring);
    }
    plan->each = (unsigned)each;
    return plan->made = true;
}

static bool get_plan(const cJSON *from, struct fingerprint_plan *plan)
{
    char seed[20], *end = seed;
    if (!json_copy(from, "seed", seed, sizeof seed))
        return get_places(from, plan);
    plan->seed = strtoull(seed, &end, 16);
    return plan->seeded = strlen(seed) == 16 && !*end;
}

/* Not needed for a restore: a garbled one is as good as none. */
static void get_fingerprint(const cJSON *o, struct fingerprint *out)
{
    struct fingerprint f = {.known = true};
    const cJSON *from = json_member(o, "fingerprint");
    f.exact = json_true(from, "exact");
    if (!get_plan(from, &f.plan) || !get_print(json_member(from, "before"), &f.before) ||
        !get_print(json_member(from, "after"), &f.after))
        return;
    f.plan.count = f.plan.n > 0 && f.before.counted;
    *out = f;
}

static void get_aliases(const cJSON *o, struct aliases *a)
{
    const cJSON *list = json_member(o, "aliases"), *name;
    uint64_t left_out = 0;
    a->known = cJSON_IsArray(list);
    cJSON_ArrayForEach(name, list)
    {
        if (cJSON_IsString(name))
            (void)aliases_add(a, name->valuestring);
    }
    if (json_size(o, "aliases_left_out", &left_out) && left_out < UINT_MAX - a->left_out)
        a->left_out += (unsigned)left_out;
}

void manifest_get_content(const cJSON *o, struct manifest *m)
{
    get_fingerprint(o, &m->fingerprint);
    get_aliases(o, &m->aliases);
}

static bool get_recipe(const cJSON *o, struct recipe_place *r)
{
    const cJSON *from = json_member(o, "recipe");
    return json_size(from, "offset", &r->at) && json_size(from, "size", &r->size) && r->size > 0 &&
           r->size <= RECIPE_MAX && json_hash(from, "sha256", r->sha256);
}

static bool file_name_good(const char *name) { return name[0] && name[0] != '.' && !strchr(name, '/'); }

static bool get_base(const cJSON *o, struct bases *b)
{
    char frequency[16], data[NAME_STORED];
    struct base one = {0};
    return json_copy(o, "frequency", frequency, sizeof frequency) &&
           frequency_parse(frequency, &one.frequency) && json_copy(o, "data", data, sizeof data) &&
           file_name_good(data) && json_size(o, "stored_size", &one.stored_size) &&
           json_hash(o, "sha256", one.sha256) && get_recipe(o, &one.recipe) && bases_add(b, &one, data);
}

static bool get_pieces(const cJSON *o, struct manifest *m, uint64_t format)
{
    const cJSON *list = json_member(o, "bases"), *one;
    bool delta = strcmp(m->codec, "delta") == 0;
    if (delta != (format == MANIFEST_FORMAT_DELTA))
        return false;
    if (!get_recipe(o, &m->recipe)) {
        m->recipe =
            (struct recipe_place){0}; /* then it is no base, and as good as before there were recipes */
        return !delta;
    }
    if (!delta)
        return true;
    cJSON_ArrayForEach(one, list)
    {
        if (!get_base(one, &m->bases))
            return false;
    }
    return m->bases.n > 0;
}

static bool fields(const cJSON *o, uint64_t format, struct manifest *m)
{
    char frequency[16];
    const cJSON *node = json_member(o, "node");
    const cJSON *seconds = json_member(o, "seconds");
    uint64_t points = 0;
    m->points = json_size(o, "points", &points) ? (int64_t)points : -1;
    m->qdrant_checksum = json_true(o, "qdrant_checksum");
    m->upload = json_says(o, "origin", UPLOAD);
    m->points_of_node = json_says(o, "points_of", NODE);
    m->compacted = json_true(o, "compacted");
    m->clustered = json_member(o, "cluster") != NULL;
    m->seconds = cJSON_IsNumber(seconds) ? seconds->valuedouble : 0;
    (void)json_copy(o, "written_by", m->written_by, sizeof m->written_by); /* for people, may be absent */
    (void)json_copy(o, "qdrant_version", m->qdrant_version, sizeof m->qdrant_version);
    (void)json_copy(node, "task_arn", m->task_arn, sizeof m->task_arn);
    (void)json_copy(node, "zone", m->zone, sizeof m->zone);
    (void)json_copy(node, "family", m->family, sizeof m->family);
    manifest_get_content(o, m);
    return json_copy(o, "collection", m->source.collection, sizeof m->source.collection) &&
           json_copy(o, "snapshot", m->source.stem, sizeof m->source.stem) &&
           kind_parse(json_text(o, "kind"), &m->source.kind) &&
           json_copy(o, "shard", m->source.shard, sizeof m->source.shard) &&
           json_copy(node, "name", m->node, sizeof m->node) &&
           json_copy(node, "peer_id", m->source.peer, sizeof m->source.peer) &&
           json_copy(o, "frequency", frequency, sizeof frequency) &&
           frequency_parse(frequency, &m->frequency) && json_time(o, "slot", &m->slot) &&
           json_time(o, "created", &m->created) && json_copy(o, "data", m->data, sizeof m->data) &&
           file_name_good(m->data) && json_copy(o, "codec", m->codec, sizeof m->codec) &&
           json_size(o, "size", &m->content.size) && json_hash(o, "sha256", m->content.sha256) &&
           json_size(o, "stored_size", &m->content.stored_size) &&
           json_hash(o, "stored_sha256", m->content.stored_sha256) && get_pieces(o, m, format);
}

int manifest_parse(const char *json, const char *path, struct manifest *m, struct err *e)
{
    cleanup_json cJSON *o = cJSON_ParseWithOpts(json, NULL, 1);
    uint64_t format = 0;
    memset(m, 0, sizeof *m);
    if (!o)
        return err_set(e, EBADMSG, "manifest cut short, or no JSON:", path,
                       "on a replica it may still be arriving");
    if (!cJSON_IsObject(o) || !json_size(o, "format", &format))
        return err_set(e, 0, "no manifest:", path, "move it away, the data beside it may be good");
    if (format != MANIFEST_FORMAT && format != MANIFEST_FORMAT_DELTA)
        return err_set(e, 0, "manifest of an unknown format:", path, "use a newer qdrant-efs");
    if (!fields(o, format, m))
        return err_set(e, 0, "manifest lacks or garbles a field:", path,
                       "move it away, the data beside it may be good");
    return 0;
}

int manifest_load(const char *path, struct manifest *m, struct err *e)
{
    cleanup_free char *json = files_get(path, MANIFEST_MAX, e);
    return json ? manifest_parse(json, path, m, e) : -1;
}
