#include "efs/repo/heartbeat.h"
#include "common/base/cleanup.h"
#include "common/base/files.h"
#include "common/json.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void heartbeat_free(struct heartbeat *h)
{
    free(h->folder);
    *h = (struct heartbeat){0};
}

time_t heartbeat_newest_taken(const struct heartbeat_folder *f)
{
    time_t newest = 0;
    for (int t = 0; t < FREQUENCY_COUNT; t++)
        if (f->frequency[t].snapshot[0] && f->frequency[t].taken > newest)
            newest = f->frequency[t].taken;
    return newest;
}

/* --- writing */

static bool add_backup(cJSON *list, enum frequency t, const struct heartbeat_backup *b)
{
    cJSON *o = json_append_object(list);
    return o && json_add_text(o, "frequency", frequency_text(t)) &&
           json_add_text(o, "snapshot", b->snapshot) && json_add_time(o, "slot", b->slot) &&
           json_add_time(o, "taken", b->taken) && json_add_time(o, "published", b->published) &&
           cJSON_AddNumberToObject(o, "stored_size", (double)b->stored_size) &&
           json_add_text(o, "stored_sha256", b->stored_sha256);
}

/* Its newest backup; FREQUENCY_COUNT: it has none. Of two that were taken at once, that of the higher one. */
static int newest_of(const struct heartbeat_folder *f)
{
    int newest = FREQUENCY_COUNT;
    for (int t = FREQUENCY_COUNT - 1; t >= 0; t--)
        if (f->frequency[t].snapshot[0] &&
            (newest == FREQUENCY_COUNT || f->frequency[t].taken > f->frequency[newest].taken))
            newest = t;
    return newest;
}

/* Of all its backups, or of the newest alone. Owned by the caller; NULL without memory. */
static cJSON *folder_json(const struct heartbeat_folder *f, bool all)
{
    cJSON *o = cJSON_CreateObject();
    int newest = newest_of(f);
    bool good = o && json_add_text(o, "kind", kind_text(f->source.kind)) &&
                json_add_text(o, "collection", f->source.collection) &&
                json_add_text(o, "shard", f->source.shard) &&
                (f->wanted == HEARTBEAT_UNKNOWN
                     ? cJSON_AddNullToObject(o, "wanted") != NULL
                     : cJSON_AddBoolToObject(o, "wanted", f->wanted == HEARTBEAT_WANTED) != NULL);
    cJSON *list = good ? cJSON_AddArrayToObject(o, "backups") : NULL;
    good = list;
    for (int t = FREQUENCY_COUNT - 1; good && t >= 0; t--)
        if (f->frequency[t].snapshot[0] && (all || t == newest))
            good = add_backup(list, (enum frequency)t, &f->frequency[t]);
    if (!good)
        cJSON_Delete(o);
    return good ? o : NULL;
}

static bool head(cJSON *o, const struct heartbeat *h)
{
    return cJSON_AddNumberToObject(o, "format", HEARTBEAT_FORMAT) && json_add_text(o, "node", h->node) &&
           json_add_text(o, "task_arn", h->task_arn) && json_add_text(o, "zone", h->zone) &&
           json_add_time(o, "written_at", h->written) && json_add_time(o, "started", h->started) &&
           cJSON_AddNumberToObject(o, "rpo_seconds", h->rpo_seconds) &&
           (!h->retention[0] || json_add_text(o, "retention", h->retention)) &&
           json_add_text(o, "qdrant_version", h->qdrant_version) &&
           json_add_text(o, "version", h->program_version) && json_add_text(o, "written_by", h->written_by);
}

/* Its line, owned by the caller (cJSON_free); NULL without memory. */
static char *folder_line(const struct heartbeat_folder *f, bool all)
{
    cleanup_json cJSON *o = folder_json(f, all);
    return o ? cJSON_PrintUnformatted(o) : NULL;
}

/* How many bytes all folders take with their newest backups alone, so far as there is room; *n is how many
 * these are. False without memory. */
static bool least(const struct heartbeat *h, size_t room, size_t *n, size_t *size)
{
    *size = 0;
    for (*n = 0; *n < h->folders; ++*n) {
        char *line = folder_line(&h->folder[*n], false);
        size_t length = line ? strlen(line) + 2 : 0;
        cJSON_free(line);
        if (!line)
            return false;
        if (*size + length > room)
            break;
        *size += length;
    }
    return true;
}

/* The folders that have room, a line each: compact, and still to be read with less. Each is printed by
 * itself, so that the bound is one on bytes. First each folder has a place for its newest backup, then the
 * first folders for the others. Returns how many there are in it. */
static size_t folders_text(const struct heartbeat *h, FILE *to, bool *good)
{
    size_t n = 0, size = 0, room = HEARTBEAT_MAX - 8192;
    *good = *good && least(h, room, &n, &size);
    for (size_t i = 0; *good && i < n; i++) {
        char *line = folder_line(&h->folder[i], true), *shorter = folder_line(&h->folder[i], false);
        *good = line && shorter;
        size_t more = *good ? strlen(line) - strlen(shorter) : 0;
        bool all = size + more <= room;
        if (*good)
            (void)fprintf(to, "%s\n%s", i ? "," : "", all ? line : shorter);
        size += all ? more : 0;
        cJSON_free(line);
        cJSON_free(shorter);
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
    return good ? json_line(o, false) : NULL;
}

/* --- reading */

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
    enum frequency t;
    struct heartbeat_backup b = {0};
    if (!json_copy(o, "frequency", word, sizeof word) || !frequency_parse(word, &t) ||
        !json_copy(o, "snapshot", b.snapshot, sizeof b.snapshot) || !b.snapshot[0] ||
        strchr(b.snapshot, '/') || !json_time(o, "slot", &b.slot) || !json_time(o, "taken", &b.taken) ||
        !json_time(o, "published", &b.published) ||
        !json_whole(o, "stored_size", JSON_WHOLE_MAX, &b.stored_size) ||
        !json_hash(o, "stored_sha256", b.stored_sha256))
        return false;
    f->frequency[t] = b;
    return true;
}

static bool get_folder(const cJSON *o, struct heartbeat_folder *f)
{
    const cJSON *list = json_member(o, "backups"), *one, *wanted = json_member(o, "wanted");
    f->wanted = cJSON_IsTrue(wanted)    ? HEARTBEAT_WANTED
                : cJSON_IsFalse(wanted) ? HEARTBEAT_UNWANTED
                                        : HEARTBEAT_UNKNOWN;
    if (!kind_parse(json_text(o, "kind"), &f->source.kind) ||
        !json_copy(o, "collection", f->source.collection, 256) ||
        !json_copy(o, "shard", f->source.shard, 16) || !fit(&f->source) || !cJSON_IsArray(list))
        return false;
    cJSON_ArrayForEach(one, list) if (!get_backup(one, f)) return false;
    return true;
}

static bool get_all(const cJSON *o, struct heartbeat *h)
{
    const cJSON *list = json_member(o, "folders"), *one;
    uint64_t rpo, left_out;
    (void)json_copy(o, "task_arn", h->task_arn, sizeof h->task_arn); /* for people, may be absent */
    (void)json_copy(o, "zone", h->zone, sizeof h->zone);
    (void)json_copy(o, "retention", h->retention, sizeof h->retention);
    (void)json_copy(o, "qdrant_version", h->qdrant_version, sizeof h->qdrant_version);
    (void)json_copy(o, "version", h->program_version, sizeof h->program_version);
    (void)json_copy(o, "written_by", h->written_by, sizeof h->written_by);
    if (!json_copy(o, "node", h->node, sizeof h->node) || !json_time(o, "written_at", &h->written) ||
        !json_time(o, "started", &h->started) || !json_whole(o, "rpo_seconds", 1e9, &rpo) ||
        !json_whole(o, "left_out", 1e9, &left_out) || !cJSON_IsArray(list) ||
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
    if (!cJSON_IsObject(o) || !json_whole(o, "format", 1e9, &format))
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
