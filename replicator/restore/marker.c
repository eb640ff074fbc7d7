#include "replicator/restore/marker.h"
#include "common/base/cleanup.h"
#include "common/base/files.h"
#include "common/base/storage_state.h"
#include "common/base/string_list.h"
#include "common/json.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { MARKER_MAX = 64 << 20 };
static const char *const states[] = {"none", "restoring", "committing", "done"};
static const char *const parts[] = {"waiting", "staged", "failed", "skipped"};

static void part_free(struct marker_part *p)
{
    free(p->collection);
    free(p->snapshot);
    free(p->from);
    free(p->why);
    string_list_free(p->passed, p->n_passed);
    string_list_free(p->aliases, p->n_aliases);
}

void marker_free(struct marker *m)
{
    for (size_t i = 0; i < m->n; i++)
        part_free(&m->v[i]);
    free(m->v);
    *m = (struct marker){0};
}

bool marker_add(struct marker *m, const char *collection)
{
    struct marker_part *grown = realloc(m->v, (m->n + 1) * sizeof *grown);
    if (grown)
        m->v = grown;
    char *copy = grown ? strdup(collection) : NULL;
    if (copy)
        m->v[m->n++] = (struct marker_part){.collection = copy, .points = -1};
    return copy != NULL;
}

bool marker_set(char **field, const char *value)
{
    char *copy = value ? strdup(value) : NULL;
    if (value && !copy)
        return false;
    free(*field);
    *field = copy;
    return true;
}

bool marker_pass(struct marker_part *p, const char *snapshot)
{
    return string_list_add(&p->passed, &p->n_passed, snapshot);
}

bool marker_alias(struct marker_part *p, const char *alias)
{
    return string_list_add(&p->aliases, &p->n_aliases, alias);
}

bool marker_passed(const struct marker_part *p, const char *snapshot)
{
    for (size_t i = 0; i < p->n_passed; i++)
        if (strcmp(p->passed[i], snapshot) == 0)
            return true;
    return false;
}

size_t marker_count(const struct marker *m, enum part_state state)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n; i++)
        n += m->v[i].state == state;
    return n;
}

/* --- reading */

static size_t word(const cJSON *o, const char *key, const char *const *words, size_t n)
{
    const char *value = json_string(o, key);
    size_t i = 0;
    while (i < n && !(value && strcmp(words[i], value) == 0))
        i++;
    return i;
}

static bool get_text(const cJSON *o, const char *key, char **out)
{
    return marker_set(out, json_string(o, key));
}

static int64_t get_number(const cJSON *o, const char *key, int64_t standard)
{
    const cJSON *n = json_member(o, key);
    return cJSON_IsNumber(n) ? (int64_t)n->valuedouble : standard;
}

static bool get_part(const cJSON *o, struct marker *m)
{
    const char *name = json_string(o, "collection");
    size_t state = word(o, "state", parts, sizeof parts / sizeof *parts);
    const cJSON *one;
    if (!name || state > PART_SKIPPED || !marker_add(m, name))
        return false;
    struct marker_part *p = &m->v[m->n - 1];
    p->state = (enum part_state)state;
    p->points = get_number(o, "points", -1);
    p->taken = (time_t)get_number(o, "taken", 0);
    p->kills = (unsigned)get_number(o, "kills", 0);
    cJSON_ArrayForEach(one, json_member(o, "passed_over"))
    {
        if (!cJSON_IsString(one) || !marker_pass(p, one->valuestring))
            return false;
    }
    cJSON_ArrayForEach(one, json_member(o, "aliases"))
    {
        if (!cJSON_IsString(one) || !marker_alias(p, one->valuestring))
            return false;
    }
    return get_text(o, "snapshot", &p->snapshot) && get_text(o, "from", &p->from) &&
           get_text(o, "why", &p->why);
}

static bool get(const cJSON *o, struct marker *m)
{
    const char *setting = json_string(o, "setting");
    const cJSON *at = json_member(o, "at"), *list = json_member(o, "collections"), *one;
    size_t state = word(o, "state", states, sizeof states / sizeof *states);
    if (state == MARKER_NONE || state > MARKER_DONE || !setting || !cJSON_IsNumber(at) ||
        !cJSON_IsArray(list))
        return false;
    m->state = (enum marker_state)state;
    m->restored = json_true(o, "restored");
    m->recorded = json_true(o, "recorded");
    m->alone = json_true(o, "alone");
    m->ended = (time_t)get_number(o, "ended", 0);
    m->at = (time_t)at->valuedouble;
    (void)snprintf(m->setting, sizeof m->setting, "%s", setting);
    cJSON_ArrayForEach(one, list)
    {
        if (!get_part(one, m))
            return false;
    }
    return true;
}

int marker_load(const char *storage, struct marker *out, struct err *e)
{
    char path[4096];
    struct err why = {0};
    *out = (struct marker){0};
    if (files_join(path, sizeof path, storage, STORAGE_MARKER, e) != 0)
        return -1;
    cleanup_free char *text = files_get(path, MARKER_MAX, &why);
    if (!text && (why.code == ENOENT || why.code == ENOTDIR))
        return 0;
    cleanup_json cJSON *o = text ? cJSON_Parse(text) : NULL;
    if (o && get(o, out))
        return 0;
    marker_free(out);
    return err_set(e, text ? 0 : why.code, "cannot read how far the restore of this disk came:", path,
                   "if Qdrant has all its collections, put {\"state\":\"done\",\"setting\":\"\",\"at\":0,"
                   "\"collections\":[]} there; else replace the task");
}

/* --- writing */

static bool add_text(cJSON *o, const char *key, const char *value)
{
    return !value || cJSON_AddStringToObject(o, key, value);
}

static bool add_list(cJSON *o, const char *key, char *const *v, size_t n)
{
    cJSON *list = n > 0 ? cJSON_AddArrayToObject(o, key) : NULL;
    for (size_t i = 0; list && i < n; i++)
        if (!json_append_text(list, v[i]))
            return false;
    return list || n == 0;
}

static bool add_part(cJSON *list, const struct marker_part *p)
{
    cJSON *o = json_append_object(list);
    return o && cJSON_AddStringToObject(o, "collection", p->collection) &&
           cJSON_AddStringToObject(o, "state", parts[p->state]) && add_text(o, "snapshot", p->snapshot) &&
           add_text(o, "from", p->from) && add_text(o, "why", p->why) &&
           (p->points < 0 || cJSON_AddNumberToObject(o, "points", (double)p->points)) &&
           (p->taken == 0 || cJSON_AddNumberToObject(o, "taken", (double)p->taken)) &&
           (p->kills == 0 || cJSON_AddNumberToObject(o, "kills", (double)p->kills)) &&
           add_list(o, "passed_over", p->passed, p->n_passed) &&
           add_list(o, "aliases", p->aliases, p->n_aliases);
}

/* "state" comes first: who only wants to know that reads no more. */
static bool put(cJSON *o, const struct marker *m)
{
    if (!cJSON_AddStringToObject(o, "state", states[m->state]) ||
        !cJSON_AddBoolToObject(o, "restored", m->restored) ||
        !cJSON_AddBoolToObject(o, "recorded", m->recorded) ||
        (m->alone && !cJSON_AddTrueToObject(o, "alone")) ||
        (m->ended && !cJSON_AddNumberToObject(o, "ended", (double)m->ended)) ||
        !cJSON_AddStringToObject(o, "setting", m->setting) ||
        !cJSON_AddNumberToObject(o, "at", (double)m->at))
        return false;
    cJSON *list = cJSON_AddArrayToObject(o, "collections");
    for (size_t i = 0; list && i < m->n; i++)
        if (!add_part(list, &m->v[i]))
            return false;
    return list != NULL;
}

int marker_save(const char *storage, const struct marker *m, struct err *e)
{
    cleanup_json cJSON *o = cJSON_CreateObject();
    cleanup_json_text char *text = o && put(o, m) ? cJSON_PrintUnformatted(o) : NULL;
    if (!text)
        return err_set(e, ENOMEM, "cannot note how far the restore came in", storage, NULL);
    return files_put(storage, STORAGE_MARKER, text, e);
}
