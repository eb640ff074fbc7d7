#include "common/base/cleanup.h"
#include "common/base/files.h"
#include "common/base/text.h"
#include "common/base/utc.h"
#include "common/json.h"
#include "efs/cli/cmd_browse.h"
#include "efs/repo/history.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* A page of thousands of collections is to stay one that a browser opens. */
enum { RECORDS = 14 /* of each node */, RECORD_MAX = 16 << 20, TEXT = 600 };

struct drills {
    const struct options *o;
    bool any; /* one was printed */
};

/* What is on EFS may hold any bytes. */
static bool add_text(cJSON *list, const char *text)
{
    char safe[TEXT];
    (void)snprintf(safe, sizeof safe, "%s", text);
    text_make_utf8(safe);
    cJSON *s = cJSON_CreateString(safe);
    if (s && cJSON_AddItemToArray(list, s))
        return true;
    cJSON_Delete(s);
    return false;
}

static bool add_number(cJSON *list, const cJSON *number)
{
    cJSON *n = cJSON_IsNumber(number) ? cJSON_CreateNumber(number->valuedouble) : cJSON_CreateNull();
    if (n && cJSON_AddItemToArray(list, n))
        return true;
    cJSON_Delete(n);
    return false;
}

static cJSON *as_json(const char *tree, time_t when, const cJSON *d)
{
    char time[UTC_TEXT];
    const char *why = json_text(d, "why");
    cJSON *a = cJSON_CreateArray();
    utc_text(when, time);
    if (a && add_text(a, tree) && add_text(a, json_text(d, "collection")) &&
        add_text(a, json_text(d, "kind")) && add_text(a, json_text(d, "shard")) && add_text(a, time) &&
        add_text(a, json_text(d, "snapshot")) && add_text(a, json_text(d, "node")) &&
        add_text(a, json_text(d, "verdict")) && add_number(a, json_member(d, "restore_seconds")) &&
        add_number(a, json_member(d, "points")) && add_text(a, *why ? why : json_text(d, "note")))
        return a;
    cJSON_Delete(a);
    return NULL;
}

static int put_record(struct drills *w, const char *tree, time_t when, const cJSON *whole, struct err *e)
{
    const cJSON *one;
    cJSON_ArrayForEach(one, json_member(whole, "drills"))
    {
        if (!cJSON_IsObject(one) || !cmd_collection_wanted(w->o, json_text(one, "collection")))
            continue;
        cleanup_json cJSON *row = as_json(tree, when, one);
        if (w->any)
            (void)putchar(',');
        w->any = true;
        if (browse_put(row, e) != 0)
            return -1;
    }
    return 0;
}

/* One that was deleted meanwhile, as the oldest are, is none; on a replica one may be cut short. */
static int put_of(struct drills *w, const char *base, const char *node, time_t when, struct err *e)
{
    char path[PATH_MAX];
    struct err why = {0};
    if (history_path(base, &history_drills, node, when, path, e) != 0)
        return -1;
    cleanup_free char *text = files_get(path, RECORD_MAX, &why);
    cleanup_json cJSON *whole = text ? cJSON_Parse(text) : NULL;
    if (text && !cJSON_IsObject(whole))
        (void)err_set(&why, 0, "no record of a drill, or cut short:", path, NULL);
    if (why.text[0] && why.code != ENOENT)
        cmd_complain("%s; what drills found is not all in the page", why.text);
    return why.text[0] ? 0 : put_record(w, strrchr(base, '/') + 1, when, whole, e);
}

static int put_tree(const struct options *o, const char *base, void *arg, struct err *e)
{
    char **nodes = NULL;
    size_t n_nodes = 0;
    struct err why = {0};
    int rc = 0;
    (void)o;
    if (history_nodes(base, &history_drills, &nodes, &n_nodes, &why) != 0)
        return cmd_complain("%s; what drills found is not in the page", why.text), 0;
    for (size_t i = 0; rc == 0 && i < n_nodes; i++) {
        cleanup_free time_t *times = NULL;
        size_t n = 0;
        if (history_times(base, &history_drills, nodes[i], &times, &n, &why) != 0)
            cmd_complain("%s; what drills found is not all in the page", why.text);
        for (size_t k = 0; rc == 0 && k < n && k < RECORDS; k++) /* the newest first */
            rc = put_of(arg, base, nodes[i], times[k], e);
    }
    history_nodes_free(nodes, n_nodes);
    return rc;
}

int browse_drills(const struct options *o, struct err *e)
{
    struct drills w = {.o = o};
    return cmd_each_tree(o, put_tree, &w, e);
}
