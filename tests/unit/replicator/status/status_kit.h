/* A status for tests, filled as the daemon would, and its document. */
#ifndef TESTS_UNIT_LEDGER_KIT_H
#define TESTS_UNIT_LEDGER_KIT_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <cjson/cJSON.h>
#include <stdlib.h>
#include "replicator/status/state_internal.h"

#define NOW ((time_t)1795600800) /* 2026-11-25T10:00:00Z */
enum { RPO = 1800, MINUTE = 60, HOUR = 3600, DAY = 86400 };

static struct status *l;

static int begin(void **state)
{
    const struct status_options o = {.base = "/efs/test-cpu",
                                     .node = "n1",
                                     .qdrant_url = "http://127.0.0.1:6333",
                                     .rpo_seconds = RPO,
                                     .interval = 900,
                                     .s3 = true};
    (void)state;
    l = status_new(&o, NOW - DAY);
    return l ? 0 : -1;
}
static int end(void **state)
{
    (void)state;
    status_free(l);
    return 0;
}

static struct manifest backup(const char *collection, enum frequency frequency, time_t taken, uint64_t size)
{
    struct manifest m = {.frequency = frequency,
                         .slot = frequency_slot(taken),
                         .created = taken,
                         .content = {.size = size, .stored_size = size / 2}};
    (void)snprintf(m.source.collection, sizeof m.source.collection, "%s", collection);
    (void)snprintf(m.source.stem, sizeof m.source.stem, "%s-1", collection);
    return m;
}

static void publish(const char *collection, enum frequency frequency, time_t taken, uint64_t size)
{
    const struct manifest m = backup(collection, frequency, taken, size);
    status_published(l, &m, 1.5, taken + 2);
}

static void want(const char *name, time_t when) { status_collections(l, &name, name ? 1 : 0, when); }

/* As its readers get it: printed and parsed, raw parts too. */
static cJSON *document(time_t now)
{
    cJSON *made = status_document(l, now);
    char *text = made ? cJSON_PrintUnformatted(made) : NULL;
    cJSON *o = text ? cJSON_Parse(text) : NULL;
    cJSON_Delete(made);
    free(text);
    assert_non_null(o);
    return o;
}

/* "a.b.0.c" */
static const cJSON *at(const cJSON *o, const char *path)
{
    char copy[128], *save = NULL;
    (void)snprintf(copy, sizeof copy, "%s", path);
    for (char *step = strtok_r(copy, ".", &save); step; step = strtok_r(NULL, ".", &save))
        o = *step >= '0' && *step <= '9' && cJSON_IsArray(o) ? cJSON_GetArrayItem(o, atoi(step))
                                                             : cJSON_GetObjectItemCaseSensitive(o, step);
    if (!o)
        fail_msg("%s is not there", path);
    return o;
}
static double number(const cJSON *o, const char *path)
{
    assert_true(cJSON_IsNumber(at(o, path)));
    return at(o, path)->valuedouble;
}
static const char *text(const cJSON *o, const char *path)
{
    assert_true(cJSON_IsString(at(o, path)));
    return at(o, path)->valuestring;
}

/* "code:severity:collection" of every reason, in order. */
static const char *reasons(time_t now)
{
    static char out[4096];
    cJSON *health = status_health(l, now);
    const cJSON *r;
    assert_non_null(health);
    out[0] = 0;
    cJSON_ArrayForEach(r, at(health, "reasons"))
    {
        const cJSON *of = cJSON_GetObjectItem(r, "collection");
        assert_true(strlen(text(r, "message")) > 20);
        (void)snprintf(out + strlen(out), sizeof out - strlen(out), "%s%s:%s:%s", *out ? " " : "",
                       text(r, "code"), text(r, "severity"), of ? of->valuestring : "");
    }
    assert_int_equal(strcmp(text(health, "status"), "failing") == 0, strstr(out, ":failing:") != NULL);
    cJSON_Delete(health);
    return out;
}
#endif
