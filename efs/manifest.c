#include "efs/manifest.h"
#include "common/cleanup.h"
#include "common/files.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void json_free(cJSON **j) { cJSON_Delete(*j); }
#define cleanup_json __attribute__((cleanup(json_free)))

void manifest_time(time_t when, char out[32])
{
    struct tm tm;
    if (!gmtime_r(&when, &tm) || strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        (void)snprintf(out, 32, "?");
}

static bool text(cJSON *o, const char *key, const char *value)
{
    return cJSON_AddStringToObject(o, key, value);
}
static bool task(cJSON *o, const char *key, const char *value) { return !*value || text(o, key, value); }
static bool when(cJSON *o, const char *key, time_t t)
{
    char buf[32];
    manifest_time(t, buf);
    return text(o, key, buf);
}

static bool add_print(cJSON *o, const char *key, const struct print *p)
{
    cJSON *of = cJSON_AddObjectToObject(o, key);
    return of && cJSON_AddNumberToObject(of, "points", (double)p->points) &&
           cJSON_AddBoolToObject(of, "counted", p->counted) && text(of, "config", p->config) &&
           text(of, "content", p->content) && cJSON_AddNumberToObject(of, "looked_at", p->looked_at) &&
           cJSON_AddBoolToObject(of, "all", p->all);
}

static bool add_fingerprint(cJSON *o, const struct fingerprint *f)
{
    char seed[20]; /* as text: a JSON number holds 53 bits */
    cJSON *of = cJSON_AddObjectToObject(o, "fingerprint");
    (void)snprintf(seed, sizeof seed, "%016" PRIx64, f->seed);
    return of && cJSON_AddBoolToObject(of, "exact", f->exact) && text(of, "seed", seed) &&
           add_print(of, "before", &f->before) && add_print(of, "after", &f->after);
}

static bool add_aliases(cJSON *o, const struct aliases *a)
{
    cJSON *list = cJSON_AddArrayToObject(o, "aliases");
    for (const char *name = NULL; list && (name = aliases_next(a, name));)
        if (!cJSON_AddItemToArray(list, cJSON_CreateString(name)))
            return false;
    return list && (a->left_out == 0 || cJSON_AddNumberToObject(o, "aliases_left_out", a->left_out));
}

bool manifest_add_content(cJSON *o, const struct manifest *m)
{
    return (!m->fingerprint.known || add_fingerprint(o, &m->fingerprint)) &&
           (!m->aliases.known || add_aliases(o, &m->aliases));
}

char *manifest_print(const struct manifest *m)
{
    cleanup_json cJSON *o = cJSON_CreateObject();
    cJSON *node = o ? cJSON_AddObjectToObject(o, "node") : NULL;
    bool ok = node && cJSON_AddNumberToObject(o, "format", MANIFEST_FORMAT) &&
              text(o, "collection", m->source.collection) && text(o, "snapshot", m->source.stem) &&
              text(o, "kind", kind_text(m->source.kind)) && text(o, "shard", m->source.shard) &&
              text(node, "name", m->node) && text(node, "peer_id", m->source.peer) &&
              task(node, "task_arn", m->task_arn) && task(node, "zone", m->zone) &&
              task(node, "family", m->family) && text(o, "frequency", tier_text(m->tier)) &&
              when(o, "slot", m->slot) && when(o, "created", m->created) && text(o, "data", m->data) &&
              text(o, "codec", m->codec) && cJSON_AddNumberToObject(o, "size", (double)m->content.size) &&
              text(o, "sha256", m->content.sha256) &&
              cJSON_AddNumberToObject(o, "stored_size", (double)m->content.stored_size) &&
              text(o, "stored_sha256", m->content.stored_sha256) &&
              cJSON_AddBoolToObject(o, "qdrant_checksum", m->qdrant_checksum) &&
              text(o, "qdrant_version", m->qdrant_version) &&
              (m->points < 0 ? cJSON_AddNullToObject(o, "points")
                             : cJSON_AddNumberToObject(o, "points", (double)m->points)) &&
              manifest_add_content(o, m) && text(o, "written_by", m->written_by) &&
              cJSON_AddNumberToObject(o, "seconds", m->seconds);
    char *json = ok ? cJSON_Print(o) : NULL, *line = NULL;
    if (json && asprintf(&line, "%s\n", json) < 0)
        line = NULL;
    cJSON_free(json);
    return line;
}

static bool get(const cJSON *o, const char *key, char *out, size_t size)
{
    const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, key));
    return s && (size_t)snprintf(out, size, "%s", s) < size;
}
static bool get_time(const cJSON *o, const char *key, time_t *out)
{
    char buf[32];
    struct tm tm = {0};
    if (!get(o, key, buf, sizeof buf))
        return false;
    const char *end = strptime(buf, "%Y-%m-%dT%H:%M:%SZ", &tm);
    *out = timegm(&tm);
    return end && !*end;
}
static bool get_size(const cJSON *o, const char *key, uint64_t *out)
{
    const cJSON *n = cJSON_GetObjectItemCaseSensitive(o, key);
    if (!cJSON_IsNumber(n) || !(n->valuedouble >= 0 && n->valuedouble < 9007199254740992.0))
        return false;
    *out = (uint64_t)n->valuedouble;
    return true;
}
static bool is_hash(const char *s) { return strlen(s) == 64 && strspn(s, "0123456789abcdef") == 64; }
static bool get_kind(const cJSON *o, enum kind *out)
{
    char buf[16];
    if (!get(o, "kind", buf, sizeof buf))
        return false;
    for (*out = KIND_COLLECTION; *out <= KIND_STORAGE; (*out)++)
        if (strcmp(buf, kind_text(*out)) == 0)
            return true;
    return false;
}

static bool get_print(const cJSON *o, struct print *p)
{
    uint64_t points = 0, looked_at = 0;
    p->counted = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(o, "counted"));
    p->all = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(o, "all"));
    bool good = get_size(o, "points", &points) && get(o, "config", p->config, 65) && is_hash(p->config) &&
                get(o, "content", p->content, 65) && is_hash(p->content) &&
                get_size(o, "looked_at", &looked_at) && looked_at <= UINT_MAX;
    p->points = (int64_t)points;
    p->looked_at = (unsigned)looked_at;
    return good;
}

/* Not needed for a restore: a garbled one is as good as none. */
static void get_fingerprint(const cJSON *o, struct fingerprint *out)
{
    struct fingerprint f = {.known = true};
    const cJSON *from = cJSON_GetObjectItemCaseSensitive(o, "fingerprint");
    char seed[20], *end = seed;
    if (!get(from, "seed", seed, sizeof seed) || strlen(seed) != 16)
        return;
    f.seed = strtoull(seed, &end, 16);
    f.exact = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(from, "exact"));
    if (!*end && get_print(cJSON_GetObjectItemCaseSensitive(from, "before"), &f.before) &&
        get_print(cJSON_GetObjectItemCaseSensitive(from, "after"), &f.after))
        *out = f;
}

static void get_aliases(const cJSON *o, struct aliases *a)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(o, "aliases"), *name;
    uint64_t left_out = 0;
    a->known = cJSON_IsArray(list);
    cJSON_ArrayForEach(name, list)
    {
        if (cJSON_IsString(name))
            (void)aliases_add(a, name->valuestring);
    }
    if (get_size(o, "aliases_left_out", &left_out) && left_out < UINT_MAX - a->left_out)
        a->left_out += (unsigned)left_out;
}

static bool fields(const cJSON *o, struct manifest *m)
{
    char tier[16];
    const cJSON *node = cJSON_GetObjectItemCaseSensitive(o, "node");
    const cJSON *seconds = cJSON_GetObjectItemCaseSensitive(o, "seconds");
    uint64_t points = 0;
    m->points = get_size(o, "points", &points) ? (int64_t)points : -1;
    m->qdrant_checksum = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(o, "qdrant_checksum"));
    m->seconds = cJSON_IsNumber(seconds) ? seconds->valuedouble : 0;
    (void)get(o, "written_by", m->written_by, sizeof m->written_by); /* for people, may be absent */
    (void)get(o, "qdrant_version", m->qdrant_version, sizeof m->qdrant_version);
    (void)get(node, "task_arn", m->task_arn, sizeof m->task_arn);
    (void)get(node, "zone", m->zone, sizeof m->zone);
    (void)get(node, "family", m->family, sizeof m->family);
    get_fingerprint(o, &m->fingerprint);
    get_aliases(o, &m->aliases);
    return get(o, "collection", m->source.collection, sizeof m->source.collection) &&
           get(o, "snapshot", m->source.stem, sizeof m->source.stem) && get_kind(o, &m->source.kind) &&
           get(o, "shard", m->source.shard, sizeof m->source.shard) &&
           get(node, "name", m->node, sizeof m->node) &&
           get(node, "peer_id", m->source.peer, sizeof m->source.peer) &&
           get(o, "frequency", tier, sizeof tier) && tier_parse(tier, &m->tier) &&
           get_time(o, "slot", &m->slot) && get_time(o, "created", &m->created) &&
           get(o, "data", m->data, sizeof m->data) && m->data[0] && m->data[0] != '.' &&
           !strchr(m->data, '/') && get(o, "codec", m->codec, sizeof m->codec) &&
           get_size(o, "size", &m->content.size) && get(o, "sha256", m->content.sha256, 65) &&
           is_hash(m->content.sha256) && get_size(o, "stored_size", &m->content.stored_size) &&
           get(o, "stored_sha256", m->content.stored_sha256, 65) && is_hash(m->content.stored_sha256);
}

int manifest_parse(const char *json, const char *path, struct manifest *m, struct err *e)
{
    cleanup_json cJSON *o = cJSON_ParseWithOpts(json, NULL, 1);
    uint64_t format = 0;
    memset(m, 0, sizeof *m);
    if (!o)
        return err_set(e, EBADMSG, "manifest cut short, or no JSON:", path,
                       "on a replica it may still be arriving");
    if (!cJSON_IsObject(o) || !get_size(o, "format", &format))
        return err_set(e, 0, "no manifest:", path, "move it away, the data beside it may be good");
    if (format != MANIFEST_FORMAT)
        return err_set(e, 0, "manifest of an unknown format:", path, "use a newer qdrant-efs");
    if (!fields(o, m))
        return err_set(e, 0, "manifest lacks or garbles a field:", path,
                       "move it away, the data beside it may be good");
    return 0;
}

int manifest_load(const char *path, struct manifest *m, struct err *e)
{
    cleanup_free char *json = files_get(path, MANIFEST_MAX, e);
    return json ? manifest_parse(json, path, m, e) : -1;
}
