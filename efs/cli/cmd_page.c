#include "efs/cli/cmd_page.h"
#include "common/json.h"
#include "efs/cli/cli.h"

void page_text(struct page *p, cJSON *o, const char *key, const char *value)
{
    p->ok = p->ok && cmd_json_text(o, key, value);
}

void page_number(struct page *p, cJSON *o, const char *key, double value)
{
    p->ok = p->ok && cJSON_AddNumberToObject(o, key, value);
}

void page_flag(struct page *p, cJSON *o, const char *key, bool value)
{
    p->ok = p->ok && cJSON_AddBoolToObject(o, key, value);
}

void page_null(struct page *p, cJSON *o, const char *key) { p->ok = p->ok && cJSON_AddNullToObject(o, key); }

void page_time(struct page *p, cJSON *o, const char *key, const char *age, time_t t)
{
    p->ok = p->ok && (t ? json_add_time(o, key, t) : json_add_null(o, key));
    if (age && t)
        page_number(p, o, age, p->now > t ? (double)(p->now - t) : 0);
    else if (age)
        page_null(p, o, age);
}

cJSON *page_object(struct page *p, cJSON *o, const char *key)
{
    cJSON *made = p->ok ? cJSON_AddObjectToObject(o, key) : NULL;
    p->ok = made != NULL;
    return made;
}

cJSON *page_array(struct page *p, cJSON *o, const char *key)
{
    cJSON *list = p->ok ? cJSON_AddArrayToObject(o, key) : NULL;
    p->ok = list != NULL;
    return list;
}

cJSON *page_element(struct page *p, cJSON *list)
{
    cJSON *o = p->ok ? json_append_object(list) : NULL;
    p->ok = o != NULL;
    return o;
}

int page_print(struct page *p, cJSON *o)
{
    if (p->ok)
        return cmd_print_json(o);
    cJSON_Delete(o);
    return cmd_print_json(NULL);
}
