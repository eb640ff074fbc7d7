#include "qdrant/storage_names.h"
#include "common/base/text.h"
#include "common/json.h"

bool storage_name_fits(const char *name)
{
    return *name && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && !strpbrk(name, "/:");
}

static int bad(const char *what, const char *name, struct err *e)
{
    char safe[300];
    return err_set(e, 0, what, *name ? text_printable(name, safe, sizeof safe) : "(empty)", NULL);
}

int storage_names_member(struct storage_names *s, const char *path, struct err *e)
{
    while (strncmp(path, "./", 2) == 0)
        path += 2;
    if (!storage_name_fits(path))
        return bad("Qdrant writes no file of such a name into a snapshot of the whole storage:", path, e);
    if (++s->n > STORAGE_MEMBERS_MAX)
        return err_set(e, 0, "more files than any snapshot of the whole storage has", NULL, NULL);
    if (strcmp(path, "config.json") != 0)
        return 0;
    if (s->config)
        return err_set(e, 0, "a second config.json, which would take the place of the first", NULL, NULL);
    s->config = true;
    return STORAGE_CONFIG;
}

int storage_names_check(const cJSON *config, struct err *e)
{
    const cJSON *mapping = json_member(config, "collections_mapping"),
                *aliases = json_member(config, "collections_aliases"), *c;
    if (!cJSON_IsObject(mapping))
        return err_set(e, 0, "its config.json has no collections_mapping", NULL, NULL);
    cJSON_ArrayForEach(c, mapping)
    {
        const char *file = cJSON_GetStringValue(c);
        if (!storage_name_fits(c->string))
            return bad("its config.json names what cannot be a collection:", c->string, e);
        if (!file || !storage_name_fits(file))
            return bad("its config.json names a file that is not in it:", file ? file : "", e);
    }
    if (aliases && !cJSON_IsNull(aliases) && !cJSON_IsObject(aliases))
        return err_set(e, 0, "its config.json has aliases that are none", NULL, NULL);
    cJSON_ArrayForEach(c, aliases)
    {
        if (!cJSON_IsString(c))
            return bad("its config.json does not say of what this is the alias:", c->string, e);
    }
    return 0;
}
