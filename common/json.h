/* What every reader and writer of JSON does, over cJSON: members by name, times, and freeing at the end of a
 * block. A member that is missing or of another type has no value; nothing here is an error. */
#ifndef COMMON_JSON_H
#define COMMON_JSON_H
#include "common/base/utc.h"
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static inline void json_freep(cJSON **j) { cJSON_Delete(*j); }
#define cleanup_json __attribute__((cleanup(json_freep)))
static inline void json_text_freep(char **s) { cJSON_free(*s); }
#define cleanup_json_text __attribute__((cleanup(json_text_freep))) /* of cJSON_Print */

/* --- reading. `o` may be NULL, and a member then has no value. */

static inline cJSON *json_member(const cJSON *o, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(o, key);
}
/* NULL: there is none. It belongs to `o`. */
static inline const char *json_string(const cJSON *o, const char *key)
{
    return cJSON_GetStringValue(json_member(o, key));
}
/* The same, "" for none. */
static inline const char *json_text(const cJSON *o, const char *key)
{
    const char *s = json_string(o, key);
    return s ? s : "";
}
/* False: there is none, or it does not fit. */
static inline bool json_copy(const cJSON *o, const char *key, char *out, size_t size)
{
    const char *s = json_string(o, key);
    return s && (size_t)snprintf(out, size, "%s", s) < size;
}
static inline bool json_says(const cJSON *o, const char *key, const char *value)
{
    const char *s = json_string(o, key);
    return s && strcmp(s, value) == 0;
}
static inline bool json_true(const cJSON *o, const char *key) { return cJSON_IsTrue(json_member(o, key)); }
/* 0 for none. */
static inline double json_number(const cJSON *o, const char *key)
{
    const cJSON *n = json_member(o, key);
    return cJSON_IsNumber(n) ? n->valuedouble : 0;
}
/* A number of JSON holds 53 bits. */
#define JSON_WHOLE_MAX 9007199254740991.0
/* A number from 0 to `most`; false on anything else. */
static inline bool json_whole(const cJSON *o, const char *key, double most, uint64_t *out)
{
    const cJSON *n = json_member(o, key);
    if (!cJSON_IsNumber(n) || !(n->valuedouble >= 0 && n->valuedouble <= most))
        return false;
    *out = (uint64_t)n->valuedouble;
    return true;
}
static inline bool json_size(const cJSON *o, const char *key, uint64_t *out)
{
    return json_whole(o, key, JSON_WHOLE_MAX, out);
}
/* A SHA-256 in lower-case hex digits. */
static inline bool json_hash(const cJSON *o, const char *key, char out[65])
{
    return json_copy(o, key, out, 65) && strlen(out) == 64 && strspn(out, "0123456789abcdef") == 64;
}
/* utc_parse's. */
static inline bool json_time(const cJSON *o, const char *key, time_t *out)
{
    const char *s = json_string(o, key);
    return s && utc_parse(s, out);
}

/* --- writing. False without memory. */

static inline bool json_add_text(cJSON *o, const char *key, const char *value)
{
    return cJSON_AddStringToObject(o, key, value) != NULL;
}
static inline bool json_add_number(cJSON *o, const char *key, double value)
{
    return cJSON_AddNumberToObject(o, key, value) != NULL;
}
static inline bool json_add_null(cJSON *o, const char *key) { return cJSON_AddNullToObject(o, key) != NULL; }
static inline bool json_add_time(cJSON *o, const char *key, time_t t)
{
    char text[UTC_TEXT];
    utc_text(t, text);
    return json_add_text(o, key, text);
}
/* Appends a string. */
static inline bool json_append_text(cJSON *list, const char *value)
{
    cJSON *item = cJSON_CreateString(value);
    if (item && cJSON_AddItemToArray(list, item))
        return true;
    cJSON_Delete(item);
    return false;
}
/* Appends an empty object, which belongs to the list; NULL without memory. */
static inline cJSON *json_append_object(cJSON *list)
{
    cJSON *o = cJSON_CreateObject();
    if (o && cJSON_AddItemToArray(list, o))
        return o;
    cJSON_Delete(o);
    return NULL;
}
/* As it stands in a file: with a line's end. From malloc; NULL without memory. */
static inline char *json_line(const cJSON *o, bool formatted)
{
    cleanup_json_text char *text = formatted ? cJSON_Print(o) : cJSON_PrintUnformatted(o);
    char *line = NULL;
    return text && asprintf(&line, "%s\n", text) >= 0 ? line : NULL;
}
#endif
