#include "efs/manifest.h"
#include "common/cleanup.h"
#include "common/files.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
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
              text(o, "written_by", m->written_by) && cJSON_AddNumberToObject(o, "seconds", m->seconds);
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
