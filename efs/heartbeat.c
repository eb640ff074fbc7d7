#include "efs/heartbeat.h"
#include "common/cleanup.h"
#include "common/files.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void json_free(cJSON **j) { cJSON_Delete(*j); }
#define cleanup_json __attribute__((cleanup(json_free)))

void heartbeat_free(struct heartbeat *h)
{
    free(h->folder);
    *h = (struct heartbeat){0};
}

time_t heartbeat_newest_taken(const struct heartbeat_folder *f)
{
    time_t newest = 0;
    for (int t = 0; t < TIER_COUNT; t++)
        if (f->tier[t].snapshot[0] && f->tier[t].taken > newest)
            newest = f->tier[t].taken;
    return newest;
}

/* --- writing */

static bool text(cJSON *o, const char *key, const char *value)
{
    return cJSON_AddStringToObject(o, key, value);
}
static bool when(cJSON *o, const char *key, time_t t)
{
    char buf[32];
    manifest_time(t, buf);
    return text(o, key, buf);
}

static bool add_backup(cJSON *list, enum tier t, const struct heartbeat_backup *b)
{
    cJSON *o = cJSON_CreateObject();
    if (!o || !cJSON_AddItemToArray(list, o))
        return cJSON_Delete(o), false;
    return text(o, "frequency", tier_text(t)) && text(o, "snapshot", b->snapshot) &&
           when(o, "slot", b->slot) && when(o, "taken", b->taken) && when(o, "published", b->published) &&
           cJSON_AddNumberToObject(o, "stored_size", (double)b->stored_size) &&
           text(o, "stored_sha256", b->stored_sha256);
}

/* Owned by the caller; NULL without memory. */
static cJSON *folder_json(const struct heartbeat_folder *f)
{
    cJSON *o = cJSON_CreateObject();
    bool good = o && text(o, "kind", kind_text(f->source.kind)) &&
                text(o, "collection", f->source.collection) && text(o, "shard", f->source.shard) &&
                (f->wanted == HEARTBEAT_UNKNOWN
                     ? cJSON_AddNullToObject(o, "wanted") != NULL
                     : cJSON_AddBoolToObject(o, "wanted", f->wanted == HEARTBEAT_WANTED) != NULL);
    cJSON *list = good ? cJSON_AddArrayToObject(o, "backups") : NULL;
    good = list;
    for (int t = TIER_COUNT - 1; good && t >= 0; t--)
        if (f->tier[t].snapshot[0])
            good = add_backup(list, (enum tier)t, &f->tier[t]);
    if (!good)
        cJSON_Delete(o);
    return good ? o : NULL;
}

static bool head(cJSON *o, const struct heartbeat *h)
{
    return cJSON_AddNumberToObject(o, "format", HEARTBEAT_FORMAT) && text(o, "node", h->node) &&
           text(o, "task_arn", h->task_arn) && text(o, "zone", h->zone) &&
           when(o, "written_at", h->written) && when(o, "started", h->started) &&
           cJSON_AddNumberToObject(o, "rpo_seconds", h->rpo_seconds) &&
           text(o, "qdrant_version", h->qdrant_version) && text(o, "version", h->program_version) &&
           text(o, "written_by", h->written_by);
}

/* The folders that have room, a line each: compact, and still to be read with less. Each is printed by
 * itself, so that the bound is one on bytes. Returns how many there are in it. */
static size_t folders_text(const struct heartbeat *h, FILE *to, bool *good)
{
    size_t n = 0, size = 0;
    for (; *good && n < h->folders; n++) {
        cleanup_json cJSON *o = folder_json(&h->folder[n]);
        char *line = o ? cJSON_PrintUnformatted(o) : NULL;
        *good = line;
        size += line ? strlen(line) + 2 : 0;
        bool fits = size < HEARTBEAT_MAX - 8192;
        if (line && fits)
            (void)fprintf(to, "%s\n%s", n ? "," : "", line);
        cJSON_free(line);
        if (!fits)
            break;
    }
    return n;
}

char *heartbeat_print(const struct heartbeat *h)
{
    cleanup_json cJSON *o = cJSON_CreateObject();
    cleanup_free char *list = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&list, &size);
    bool good = o && to && head(o, h);
    if (!to)
        return NULL;
    (void)fputc('[', to);
    size_t n = folders_text(h, to, &good);
    (void)fputc(']', to);
    good = good && !ferror(to);
    good = fclose(to) == 0 && good &&
           cJSON_AddNumberToObject(o, "left_out", (double)(h->left_out + (h->folders - n))) &&
           cJSON_AddRawToObject(o, "folders", list);
    char *json = good ? cJSON_PrintUnformatted(o) : NULL, *line = NULL;
    if (json && asprintf(&line, "%s\n", json) < 0)
        line = NULL;
    cJSON_free(json);
    return line;
}

/* --- reading */

static bool get(const cJSON *o, const char *key, char *out, size_t size)
{
    const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, key));
    return s && (size_t)snprintf(out, size, "%s", s) < size;
}
/* From 1970 to a year of four digits. */
static bool get_time(const cJSON *o, const char *key, time_t *out)
{
    char buf[32], again[32];
    struct tm tm = {0};
    if (!get(o, key, buf, sizeof buf))
        return false;
    const char *end = strptime(buf, "%Y-%m-%dT%H:%M:%SZ", &tm);
    *out = end && !*end ? timegm(&tm) : -1;
    manifest_time(*out, again);
    return *out >= 0 && strcmp(buf, again) == 0;
}
static bool get_number(const cJSON *o, const char *key, double max, uint64_t *out)
{
    const cJSON *n = cJSON_GetObjectItemCaseSensitive(o, key);
    if (!cJSON_IsNumber(n) || !(n->valuedouble >= 0 && n->valuedouble <= max))
        return false;
    *out = (uint64_t)n->valuedouble;
    return true;
}

static bool get_kind(const cJSON *o, enum kind *out)
{
    char word[16];
    if (!get(o, "kind", word, sizeof word))
        return false;
    for (int k = KIND_COLLECTION; k <= KIND_STORAGE; k++)
        if (strcmp(word, kind_text((enum kind)k)) == 0) {
            *out = (enum kind)k;
            return true;
        }
    return false;
}

/* Names are never made a path of, but for the folder's; and no backup has one that cannot stand on EFS. */
static bool fit(const struct source *s)
{
    char folder[2 * NAME_STORED];
    bool shard = s->kind == KIND_SHARD;
    return (s->kind == KIND_STORAGE) == !s->collection[0] && shard == (s->shard[0] != 0) &&
           strspn(s->shard, "0123456789") == strlen(s->shard) && name_folder(s, folder, sizeof folder);
}

static bool get_backup(const cJSON *o, struct heartbeat_folder *f)
{
    char word[16];
    enum tier t;
    struct heartbeat_backup b = {0};
    if (!get(o, "frequency", word, sizeof word) || !tier_parse(word, &t) ||
        !get(o, "snapshot", b.snapshot, sizeof b.snapshot) || !b.snapshot[0] || strchr(b.snapshot, '/') ||
        !get_time(o, "slot", &b.slot) || !get_time(o, "taken", &b.taken) ||
        !get_time(o, "published", &b.published) ||
        !get_number(o, "stored_size", 9007199254740991.0, &b.stored_size) ||
        !get(o, "stored_sha256", b.stored_sha256, sizeof b.stored_sha256) ||
        strspn(b.stored_sha256, "0123456789abcdef") != 64)
        return false;
    f->tier[t] = b;
    return true;
}

static bool get_folder(const cJSON *o, struct heartbeat_folder *f)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(o, "backups"), *one,
                *wanted = cJSON_GetObjectItemCaseSensitive(o, "wanted");
    f->wanted = cJSON_IsTrue(wanted)    ? HEARTBEAT_WANTED
                : cJSON_IsFalse(wanted) ? HEARTBEAT_UNWANTED
                                        : HEARTBEAT_UNKNOWN;
    if (!get_kind(o, &f->source.kind) || !get(o, "collection", f->source.collection, 256) ||
        !get(o, "shard", f->source.shard, 16) || !fit(&f->source) || !cJSON_IsArray(list))
        return false;
    cJSON_ArrayForEach(one, list) if (!get_backup(one, f)) return false;
    return true;
}

static bool get_all(const cJSON *o, struct heartbeat *h)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(o, "folders"), *one;
    uint64_t rpo, left_out;
    (void)get(o, "task_arn", h->task_arn, sizeof h->task_arn); /* for people, may be absent */
    (void)get(o, "zone", h->zone, sizeof h->zone);
    (void)get(o, "qdrant_version", h->qdrant_version, sizeof h->qdrant_version);
    (void)get(o, "version", h->program_version, sizeof h->program_version);
    (void)get(o, "written_by", h->written_by, sizeof h->written_by);
    if (!get(o, "node", h->node, sizeof h->node) || !get_time(o, "written_at", &h->written) ||
        !get_time(o, "started", &h->started) || !get_number(o, "rpo_seconds", 1e9, &rpo) ||
        !get_number(o, "left_out", 1e9, &left_out) || !cJSON_IsArray(list) ||
        cJSON_GetArraySize(list) > HEARTBEAT_FOLDERS)
        return false;
    h->rpo_seconds = (unsigned)rpo;
    h->left_out = (unsigned)left_out;
    h->folder = calloc((size_t)cJSON_GetArraySize(list) + 1, sizeof *h->folder);
    if (!h->folder)
        return false;
    cJSON_ArrayForEach(one, list) if (!get_folder(one, &h->folder[h->folders++])) return false;
    return true;
}

int heartbeat_parse(const char *json, const char *path, struct heartbeat *out, struct err *e)
{
    cleanup_json cJSON *o = cJSON_ParseWithOpts(json, NULL, 1);
    uint64_t format = 0;
    *out = (struct heartbeat){0};
    if (!o)
        return err_set(e, EBADMSG, "heartbeat cut short, or no JSON:", path, NULL);
    if (!cJSON_IsObject(o) || !get_number(o, "format", 1e9, &format))
        return err_set(e, 0, "no heartbeat:", path, NULL);
    if (format != HEARTBEAT_FORMAT)
        return err_set(e, 0, "heartbeat of an unknown format:", path, "use a newer qdrant-efs");
    if (get_all(o, out))
        return 0;
    heartbeat_free(out);
    return err_set(e, 0, "heartbeat lacks or garbles a field:", path, NULL);
}

int heartbeat_load(const char *path, struct heartbeat *out, struct err *e)
{
    cleanup_free char *json = files_get(path, HEARTBEAT_READ_MAX, e);
    *out = (struct heartbeat){0};
    return json ? heartbeat_parse(json, path, out, e) : -1;
}
