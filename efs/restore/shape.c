#include "efs/restore/shape.h"
#include "common/json.h"
#include <stdio.h>
#include <string.h>

enum { WHERE = 300, VALUE = 60 };

struct list {
    char *out;
    size_t n;
};

/* Qdrant prints what was never set as null, as false, or not at all. A sparse vector without settings is {},
 * and there; a list of none of them is not. A strict mode that is off changes nothing, whatever it says. */
static bool is_nothing(const cJSON *v)
{
    if (!v || cJSON_IsNull(v) || cJSON_IsFalse(v))
        return true;
    if (!cJSON_IsObject(v) || !v->string)
        return false;
    return (!v->child && strcmp(v->string, "sparse_vectors") == 0) ||
           (strcmp(v->string, "strict_mode_config") == 0 && !json_true(v, "enabled"));
}

static void value_text(const cJSON *v, char out[VALUE])
{
    char *text = cJSON_PrintUnformatted(v);
    (void)snprintf(out, VALUE, "%s", text ? text : "?");
    if (text && strlen(text) >= VALUE)
        memcpy(out + VALUE - 4, "...", 4);
    cJSON_free(text);
}

static void differs(struct list *l, const char *where, const cJSON *was, const cJSON *now)
{
    char a[VALUE], b[VALUE], text[WHERE + 2 * VALUE + 64];
    size_t used = strlen(l->out);
    value_text(was, a);
    value_text(now, b);
    if (!now)
        (void)snprintf(text, sizeof text, "%s is missing (%s in the backup)", where, a);
    else if (!was)
        (void)snprintf(text, sizeof text, "%s is not in the backup", where);
    else
        (void)snprintf(text, sizeof text, "%s is %s, in the backup %s", where, b, a);
    (void)snprintf(l->out + used, SHAPE_TEXT - used, "%s%s", l->n > 0 ? "; " : "", text);
    l->n++;
}

static void compare(struct list *l, const char *where, const cJSON *was, const cJSON *now);

static void below(struct list *l, const char *where, const cJSON *was, const cJSON *now, const cJSON *names,
                  bool new_ones)
{
    const cJSON *v;
    char path[WHERE];
    cJSON_ArrayForEach(v, names)
    {
        if (new_ones && json_member(was, v->string))
            continue; /* it had its turn */
        (void)snprintf(path, sizeof path, "%.160s%s%.120s", where, *where ? "." : "", v->string);
        compare(l, path, json_member(was, v->string), json_member(now, v->string));
    }
}

static void compare(struct list *l, const char *where, const cJSON *was, const cJSON *now)
{
    if (is_nothing(was) && is_nothing(now))
        return;
    if (cJSON_IsObject(was) && cJSON_IsObject(now)) {
        below(l, where, was, now, was, false);
        below(l, where, was, now, now, true);
    } else if (!cJSON_Compare(was, now, 1)) {
        differs(l, where, is_nothing(was) ? NULL : was, is_nothing(now) ? NULL : now);
    }
}

/* "auto" is what a collection has that says nothing. NULL without memory. */
static cJSON *params_of(const cJSON *config)
{
    static const char *const not_ours[] = {"replication_factor", "write_consistency_factor",
                                           "read_fan_out_factor", "read_fan_out_delay_ms"};
    cJSON *p = cJSON_Duplicate(json_member(config, "params"), 1);
    const char *method = json_string(p, "sharding_method");
    for (size_t i = 0; i < sizeof not_ours / sizeof *not_ours; i++)
        cJSON_DeleteItemFromObjectCaseSensitive(p, not_ours[i]);
    if (method && strcmp(method, "auto") == 0)
        cJSON_DeleteItemFromObjectCaseSensitive(p, "sharding_method");
    return p;
}

/* In a snapshot "keyword" or {"type": "keyword", …}; of Qdrant {"data_type": "keyword", "params": {…}}. */
static cJSON *index_of(const cJSON *v)
{
    const cJSON *params = cJSON_IsObject(json_member(v, "params")) ? json_member(v, "params") : NULL,
                *type = cJSON_IsString(v) ? v : json_member(v, "data_type");
    if (params || !type)
        return cJSON_Duplicate(params ? params : v, 1);
    cJSON *o = cJSON_CreateObject();
    if (o && !cJSON_AddStringToObject(o, "type", cJSON_GetStringValue(type)))
        cJSON_Delete(o), o = NULL;
    return o;
}

static void compare_index(struct list *l, const char *field, const cJSON *was, const cJSON *now)
{
    char where[WHERE];
    cleanup_json cJSON *a = was ? index_of(was) : NULL, *b = now ? index_of(now) : NULL;
    (void)snprintf(where, sizeof where, "payload index %.200s", field);
    if (!a || !b)
        differs(l, where, a, b);
    else
        compare(l, where, a, b);
}

static void compare_indexes(struct list *l, const cJSON *was, const cJSON *now)
{
    const cJSON *v;
    cJSON_ArrayForEach(v, was) { compare_index(l, v->string, v, json_member(now, v->string)); }
    cJSON_ArrayForEach(v, now)
    {
        if (!json_member(was, v->string))
            compare_index(l, v->string, NULL, v);
    }
}

size_t shape_differs(const struct inside_says *was, const cJSON *now, char out[SHAPE_TEXT])
{
    static const char *const section[] = {"quantization_config", "strict_mode_config", "hnsw_config"};
    const cJSON *config = json_member(now, "config");
    cleanup_json cJSON *a = params_of(was->config), *b = params_of(config);
    struct list l = {.out = out};
    *out = 0;
    compare(&l, "", a, b);
    for (size_t i = 0; i < sizeof section / sizeof *section; i++)
        compare(&l, section[i], json_member(was->config, section[i]), json_member(config, section[i]));
    compare_indexes(&l, json_member(was->indexes, "schema"), json_member(now, "payload_schema"));
    return l.n;
}
