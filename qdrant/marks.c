#include "qdrant/marks.h"
#include "common/json.h"
#include "qdrant/canonical.h"
#include "qdrant/client.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

void qdrant_marks_free(struct qdrant_marks *m)
{
    for (size_t i = 0; i < m->n; i++)
        free(m->v[i].collection);
    free(m->v);
    *m = (struct qdrant_marks){0};
}

/* A shard of this node without a number: nobody can tell what was written to it. */
static bool add_shard(struct canonical *c, const cJSON *shard)
{
    const cJSON *local = json_member(shard, "local"), *queue = json_member(local, "update_queue"),
                *number = json_member(queue, "op_num"), *waiting = json_member(queue, "length");
    if (!local || cJSON_IsNull(local))
        return true;
    const cJSON *points = json_member(local, "num_points"); /* of a snapshot that was put in its place, too */
    return cJSON_IsNumber(number) && cJSON_IsNumber(points) && canonical_add(c, points) &&
           cJSON_IsNumber(waiting) && cJSON_IsNumber(json_member(shard, "id")) &&
           canonical_add(c, json_member(shard, "id")) && canonical_add(c, number) &&
           canonical_add(c, waiting);
}

static bool digest(const cJSON *process, const cJSON *collection, char out[65])
{
    const cJSON *shards = json_member(collection, "shards"), *config = json_member(collection, "config"),
                *shard;
    cleanup_canonical struct canonical *c = canonical_new();
    if (!c || !cJSON_IsString(process) || !cJSON_IsArray(shards) || !config || !canonical_add(c, process) ||
        !canonical_add(c, config))
        return false;
    cJSON_ArrayForEach(shard, shards)
    {
        if (!add_shard(c, shard))
            return false;
    }
    return canonical_end(c, out);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct qdrant_mark *)a)->collection, ((const struct qdrant_mark *)b)->collection);
}

int qdrant_marks_read(const cJSON *telemetry, struct qdrant_marks *out, struct err *e)
{
    const cJSON *list = json_member(json_member(telemetry, "collections"), "collections"), *one;
    *out = (struct qdrant_marks){0};
    if (!cJSON_IsArray(list))
        return err_set(e, 0, "/telemetry does not tell how far the collections were written to", NULL, NULL);
    out->v = calloc((size_t)cJSON_GetArraySize(list) + 1, sizeof *out->v);
    if (!out->v)
        return err_set(e, ENOMEM, "cannot read /telemetry", NULL, NULL);
    cJSON_ArrayForEach(one, list)
    {
        const char *name = json_string(one, "id");
        struct qdrant_mark *m = &out->v[out->n];
        if (!name)
            continue;
        m->collection = strdup(name);
        if (!m->collection) {
            qdrant_marks_free(out);
            return err_set(e, ENOMEM, "cannot read /telemetry", NULL, NULL);
        }
        out->n++;
        if (!digest(json_member(telemetry, "id"), one, m->mark))
            m->mark[0] = 0;
    }
    qsort(out->v, out->n, sizeof *out->v, by_name);
    return 0;
}

int qdrant_marks(struct qdrant *q, struct qdrant_marks *out, struct err *e)
{
    struct qdrant_ask what = {.method = "GET", .path = "/telemetry?details_level=3"};
    *out = (struct qdrant_marks){0};
    cleanup_json cJSON *whole = qdrant_ask(q, &what, e);
    return whole ? qdrant_marks_read(json_member(whole, "result"), out, e) : -1;
}

const char *qdrant_marks_of(const struct qdrant_marks *m, const char *collection)
{
    struct qdrant_mark key = {.collection = (char *)collection}; /* only compared */
    const struct qdrant_mark *found = m->n > 0 ? bsearch(&key, m->v, m->n, sizeof key, by_name) : NULL;
    return found ? found->mark : "";
}
