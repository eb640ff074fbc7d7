#include "efs/restore/aliases.h"
#include "common/json.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { CHANGE_MS = 60000 };

static void add(char *note, size_t size, const char *alias, const char *why, const char *whose)
{
    size_t n = strlen(note);
    (void)snprintf(note + n, size - n, "%sthe alias %.255s %s%.255s and is left alone", n ? "; " : "", alias,
                   why, whose);
}

const char *alias_owner(const cJSON *list, const char *alias)
{
    const cJSON *one;
    cJSON_ArrayForEach(one, list)
    {
        const char *name = json_string(one, "alias_name");
        if (name && strcmp(name, alias) == 0)
            return json_string(one, "collection_name");
    }
    return NULL;
}

/* False without memory. */
static bool add_action(cJSON *actions, const char *collection, const char *alias)
{
    cJSON *action = cJSON_CreateObject(), *create = cJSON_AddObjectToObject(action, "create_alias");
    if (create && cJSON_AddStringToObject(create, "collection_name", collection) &&
        cJSON_AddStringToObject(create, "alias_name", alias) && cJSON_AddItemToArray(actions, action))
        return true;
    cJSON_Delete(action);
    return false;
}

struct now { /* in Qdrant */
    const cJSON *aliases;
    const struct qdrant_names *collections;
};

/* What is to be asked for, or NULL without memory. */
static char *wanted(const struct now *now, const char *collection, const struct aliases *a, char *note,
                    size_t size)
{
    cleanup_json cJSON *o = cJSON_CreateObject();
    cJSON *actions = cJSON_AddArrayToObject(o, "actions");
    for (const char *name = NULL; (name = aliases_next(a, name));) {
        const char *of = alias_owner(now->aliases, name);
        if (of && strcmp(of, collection) != 0)
            add(note, size, name, "is of the collection ", of);
        else if (qdrant_names_have(now->collections, name))
            add(note, size, name, "has the name of a collection", "");
        else if (!of && !add_action(actions, collection, name))
            return NULL;
    }
    if (!actions)
        return NULL;
    return cJSON_GetArraySize(actions) > 0 ? cJSON_PrintUnformatted(o) : strdup("");
}

int restore_aliases(struct qdrant *q, const char *collection, const struct aliases *a, char *note,
                    size_t size, struct err *e)
{
    cleanup_names struct qdrant_names names = {0};
    struct qdrant_ask list = {.method = "GET", .path = "/aliases"},
                      change = {.method = "POST", .path = "/collections/aliases", .total_ms = CHANGE_MS};
    *note = 0;
    if (!a->known || a->n + a->left_out == 0)
        return 0;
    cleanup_json cJSON *now = qdrant_ask(q, &list, e);
    if (!now || qdrant_collections(q, &names, e) != 0)
        return -1;
    cleanup_json_text char *json = wanted(
        &(struct now){json_member(json_member(now, "result"), "aliases"), &names}, collection, a, note, size);
    if (!json)
        return err_set(e, ENOMEM, "cannot restore the aliases of", collection, NULL);
    if (a->left_out > 0)
        (void)snprintf(note + strlen(note), size - strlen(note),
                       "%s%u more aliases had no room in the manifest", *note ? "; " : "", a->left_out);
    change.json = json;
    cleanup_json cJSON *done = *json ? qdrant_ask(q, &change, e) : NULL;
    return done || !*json ? 0 : -1;
}
