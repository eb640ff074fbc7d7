#include "replicator/boot_marker.h"
#include "common/cleanup.h"
#include "common/files.h"
#include "efs/manifest.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { MARKER_MAX = 16 << 20 };
static const char *const states[] = {"none", "restoring", "failed", "done"};
static const char *const parts[] = {"waiting", "begun", "failed", "done"};

static void json_free(cJSON **j) { cJSON_Delete(*j); }
#define cleanup_json __attribute__((cleanup(json_free)))
static void text_free(char **s) { cJSON_free(*s); }
#define cleanup_text __attribute__((cleanup(text_free)))

void marker_free(struct marker *m)
{
    for (size_t i = 0; i < m->n; i++) {
        free(m->v[i].collection);
        free(m->v[i].from);
    }
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
        m->v[m->n++] = (struct marker_part){.collection = copy, .left = -1};
    return copy != NULL;
}

bool marker_from(struct marker_part *p, const char *tree)
{
    char *copy = strdup(tree);
    if (!copy)
        return false;
    free(p->from);
    p->from = copy;
    return true;
}

size_t marker_count(const struct marker *m, enum part_state state)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n; i++)
        n += m->v[i].state == state;
    return n;
}

/* --- reading */

static const cJSON *member(const cJSON *o, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(o, key);
}

/* The index of a member's text among `words`; `n` when it is none of them. */
static size_t word(const cJSON *o, const char *key, const char *const *words, size_t n)
{
    const char *text = cJSON_GetStringValue(member(o, key));
    size_t i = 0;
    while (i < n && (!text || strcmp(words[i], text) != 0))
        i++;
    return i;
}

static bool get_part(const cJSON *o, struct marker *m)
{
    const char *name = cJSON_GetStringValue(member(o, "collection"));
    size_t state = word(o, "state", parts, sizeof parts / sizeof *parts);
    const char *from = cJSON_GetStringValue(member(o, "from"));
    const cJSON *left = member(o, "points_left");
    if (!name || state > PART_DONE || !marker_add(m, name))
        return false;
    struct marker_part *p = &m->v[m->n - 1];
    p->state = (enum part_state)state;
    p->begun = cJSON_IsTrue(member(o, "begun"));
    p->left = cJSON_IsNumber(left) ? (int64_t)left->valuedouble : -1;
    return !from || marker_from(p, from);
}

static bool get(const cJSON *o, struct marker *m)
{
    const char *setting = cJSON_GetStringValue(member(o, "setting"));
    const cJSON *at = member(o, "at"), *list = member(o, "collections"), *one;
    size_t state = word(o, "state", states, sizeof states / sizeof *states);
    if (state == MARKER_NONE || state > MARKER_DONE || !setting || !cJSON_IsNumber(at) ||
        !cJSON_IsArray(list))
        return false;
    m->state = (enum marker_state)state;
    m->restored = cJSON_IsTrue(member(o, "restored"));
    m->at = (time_t)at->valuedouble;
    (void)snprintf(m->setting, sizeof m->setting, "%s", setting);
    cJSON_ArrayForEach(one, list)
    {
        if (!get_part(one, m))
            return false;
    }
    return true;
}

int marker_load(const char *dir, struct marker *out, struct err *e)
{
    char path[4096];
    struct err why = {0};
    *out = (struct marker){0};
    if (files_join(path, sizeof path, dir, MARKER_NAME, e) != 0)
        return -1;
    cleanup_free char *text = files_get(path, MARKER_MAX, &why);
    if (!text && why.code == ENOENT)
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

static bool add_part(cJSON *list, const struct marker_part *p)
{
    cJSON *o = cJSON_CreateObject();
    if (o && cJSON_AddItemToArray(list, o))
        return cJSON_AddStringToObject(o, "collection", p->collection) &&
               cJSON_AddStringToObject(o, "state", parts[p->state]) &&
               (!p->from || cJSON_AddStringToObject(o, "from", p->from)) &&
               (!p->begun || cJSON_AddTrueToObject(o, "begun")) &&
               (p->left < 0 || cJSON_AddNumberToObject(o, "points_left", (double)p->left));
    cJSON_Delete(o);
    return false;
}

/* "state" comes first: who only wants to know that reads no more. */
static bool put(cJSON *o, const struct marker *m)
{
    if (!cJSON_AddStringToObject(o, "state", states[m->state]) ||
        !cJSON_AddBoolToObject(o, "restored", m->restored) ||
        !cJSON_AddStringToObject(o, "setting", m->setting) ||
        !cJSON_AddNumberToObject(o, "at", (double)m->at))
        return false;
    cJSON *list = cJSON_AddArrayToObject(o, "collections");
    for (size_t i = 0; list && i < m->n; i++)
        if (!add_part(list, &m->v[i]))
            return false;
    return list != NULL;
}

int marker_save(const char *dir, const struct marker *m, struct err *e)
{
    cleanup_json cJSON *o = cJSON_CreateObject();
    cleanup_text char *text = o && put(o, m) ? cJSON_PrintUnformatted(o) : NULL;
    if (!text)
        return err_set(e, ENOMEM, "cannot note how far the restore came in", dir, NULL);
    return files_put(dir, MARKER_NAME, text, e);
}
