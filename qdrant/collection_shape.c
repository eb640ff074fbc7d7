#include "qdrant/collection_shape.h"
#include "common/base/cleanup.h"
#include "common/base/string_list.h"
#include "common/json.h"
#include <stdio.h>
#include <string.h>

enum { LINE = 400 };
/* One line for each vector, sorted. */
struct shape {
    char **v;
    size_t n;
    bool good; /* there was memory, and it is one */
};
static void shape_free(struct shape *s) { string_list_free(s->v, s->n); }
#define cleanup_shape __attribute__((cleanup(shape_free)))

static const char *word(const cJSON *o, const char *key, const char *missing)
{
    const char *s = json_string(o, key);
    return s ? s : missing;
}

static void add(struct shape *s, const char *line)
{
    s->good = string_list_add(&s->v, &s->n, line) && s->good;
}

/* Without "datatype" numbers are of 32 bits (VectorStorageDatatype, 1.18.2). */
static void add_dense(struct shape *s, const char *name, const cJSON *of)
{
    char line[LINE];
    const cJSON *size = json_member(of, "size");
    if (!cJSON_IsNumber(size) || !json_string(of, "distance")) {
        s->good = false;
        return;
    }
    (void)snprintf(line, sizeof line, "\"%.200s\" of %.0f %.30s, %.30s%s", name, size->valuedouble,
                   word(of, "distance", "?"), word(of, "datatype", "float32"),
                   cJSON_IsObject(json_member(of, "multivector_config")) ? ", several" : "");
    add(s, line);
}

static void add_sparse(struct shape *s, const cJSON *list)
{
    const cJSON *one;
    cJSON_ArrayForEach(one, list)
    {
        char line[LINE];
        (void)snprintf(line, sizeof line, "sparse \"%.200s\"", one->string ? one->string : "");
        add(s, line);
    }
}

static void add_dense_list(struct shape *s, const cJSON *list)
{
    const cJSON *one;
    cJSON_ArrayForEach(one, list) { add_dense(s, one->string ? one->string : "", one); }
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void sort(struct shape *s)
{
    if (s->n > 1)
        qsort(s->v, s->n, sizeof *s->v, by_text);
}

/* "vectors" is one without a name, or an object of those that have one. */
static struct shape of_params(const cJSON *params)
{
    struct shape s = {.good = cJSON_IsObject(params)};
    const cJSON *vectors = json_member(params, "vectors");
    if (cJSON_IsNumber(json_member(vectors, "size")))
        add_dense(&s, "", vectors);
    else
        add_dense_list(&s, vectors);
    add_sparse(&s, json_member(params, "sparse_vectors"));
    sort(&s);
    return s;
}

static struct shape of_segment(const cJSON *config)
{
    struct shape s = {.good = cJSON_IsObject(config)};
    add_dense_list(&s, json_member(config, "vector_data"));
    add_sparse(&s, json_member(config, "sparse_vector_data"));
    sort(&s);
    return s;
}

static const char *all_of(const struct shape *s, char out[LINE])
{
    size_t at = 0;
    (void)snprintf(out, LINE, "none");
    for (size_t i = 0; i < s->n && at < LINE; i++)
        at += (size_t)snprintf(out + at, LINE - at, "%s%s", i ? "; " : "", s->v[i]);
    return out;
}

static bool same_vectors(const struct shape *there, const struct shape *live, char *why, size_t size)
{
    char one[LINE], other[LINE];
    if (!there->good || !live->good)
        return (void)snprintf(why, size, "its configuration cannot be made out"), false;
    bool same = there->n == live->n;
    for (size_t i = 0; same && i < live->n; i++)
        same = strcmp(there->v[i], live->v[i]) == 0;
    if (!same)
        (void)snprintf(why, size, "its vectors are %.150s, the collection's are %.150s", all_of(there, one),
                       all_of(live, other));
    return same;
}

bool shape_fits(const cJSON *there, const cJSON *live, char *why, size_t size)
{
    cleanup_shape struct shape a = of_params(there), b = of_params(live);
    if (!same_vectors(&a, &b, why, size))
        return false;
    const char *method = word(there, "sharding_method", "auto"), *own = word(live, "sharding_method", "auto");
    if (strcmp(method, own) != 0)
        return (void)snprintf(why, size, "its sharding is %.30s, the collection's is %.30s", method, own),
               false;
    const cJSON *n = json_member(there, "shard_number"), *m = json_member(live, "shard_number");
    if (!cJSON_IsNumber(n) || !cJSON_IsNumber(m) || n->valuedouble < m->valuedouble ||
        n->valuedouble > m->valuedouble)
        return (void)snprintf(why, size, "it has %.0f shards, the collection %.0f",
                              cJSON_IsNumber(n) ? n->valuedouble : 0, cJSON_IsNumber(m) ? m->valuedouble : 0),
               false;
    return true;
}

bool shape_fits_segment(const cJSON *config, const cJSON *live, char *why, size_t size)
{
    cleanup_shape struct shape a = of_segment(config), b = of_params(live);
    return same_vectors(&a, &b, why, size);
}
