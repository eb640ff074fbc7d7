/* restore --points, --filter: a few points of a backup, put back into the collection that goes on. The backup
 * is restored into a second Qdrant, as by a drill; they are read there, and written to the one that serves.
 * Nothing else of the collection is touched, and a point that is there is only replaced with --force. */
#include "common/base/cleanup.h"
#include "common/json.h"
#include "efs/cli/cmd_drill.h"
#include "efs/cli/cmd_restore.h"
#include <cjson/cJSON.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = 64, CHANGE_MS = 120000, UUID = 36, NAMED = 10 };
static const double EXACT = 9007199254740992.0; /* 2^53: what is larger, JSON's numbers do not keep */

struct points_job {
    struct job *j;
    struct qdrant *from;
    const char *source; /* collection in `from` */
    struct points_told told;
    char missing[300]; /* the first of those that were asked for and are not there */
};

static enum restore_outcome wrong(struct err *e, const char *what, const char *advice)
{
    (void)err_set(e, 0, what, NULL, advice);
    return RESTORE_FAILED;
}

/* --- which */

static bool is_uuid(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (i == 8 || i == 13 || i == 18 || i == 23 ? s[i] != '-' : !isxdigit((unsigned char)s[i]))
            return false;
    return n == UUID;
}

static cJSON *id_of(const char *s, size_t n)
{
    char text[UUID + 1] = "";
    if (n > UUID)
        return NULL;
    memcpy(text, s, n);
    if (is_uuid(s, n))
        return cJSON_CreateString(text);
    bool digits = n > 0 && n < 17 && strspn(text, "0123456789") == n && strtod(text, NULL) < EXACT;
    return digits ? cJSON_CreateNumber(strtod(text, NULL)) : NULL;
}

cJSON *points_ids(const char *list)
{
    cJSON *ids = cJSON_CreateArray();
    for (const char *p = list; ids; p++) {
        size_t n = strcspn(p, ",");
        cJSON *id = id_of(p, n);
        if (!id || !cJSON_AddItemToArray(ids, id)) {
            cJSON_Delete(id);
            cJSON_Delete(ids);
            return NULL;
        }
        p += n;
        if (!*p)
            break;
    }
    return ids;
}

int restore_points_check(const struct options *o)
{
    const struct restore_options *r = &o->restore;
    const char *flag = r->to          ? "--to"
                       : r->to_stdout ? "--stdout"
                       : r->storage   ? "--storage-snapshot"
                       : r->shard     ? "--shard"
                       : r->recreate  ? "--recreate"
                       : r->swap      ? "--swap"
                       : r->location  ? "--location"
                                      : NULL;
    cleanup_json cJSON *ids = r->points ? points_ids(r->points) : NULL,
                       *filter = r->filter ? cJSON_Parse(r->filter) : NULL;
    if (r->points && r->filter)
        cmd_complain("--points or --filter, not both; see qdrant-efs restore --help");
    else if (o->set)
        cmd_complain(
            "--points and --filter read one node's backup, not a set: in a cluster name each node with "
            "--node, one after the other; see qdrant-efs restore --help");
    else if (flag)
        cmd_complain("--points and --filter put points back into a collection that is there: no %s; see "
                     "qdrant-efs restore --help",
                     flag);
    else if (o->n_collections != 1)
        cmd_complain("--points and --filter need one --collection; see qdrant-efs restore --help");
    else if (r->points && strchr(r->points, ' '))
        cmd_complain("--points %.100s is not allowed; separate them by commas, without spaces", r->points);
    else if (r->points && !ids)
        cmd_complain("--points %.100s is not allowed; use numbers below 2^53 and UUIDs, as in "
                     "1,2,5c56c793-69f3-4fbf-87e6-c4bf54c28c26",
                     r->points);
    else if (filter && cJSON_IsObject(filter) && !filter->child && r->force)
        cmd_complain(
            "--filter {} with --force would replace every point; that is restore --force without --filter");
    else if (r->filter && !cJSON_IsObject(filter))
        cmd_complain("--filter %.100s is no JSON object; use a filter as Qdrant has it, as in "
                     "{\"must\": [{\"key\": \"city\", \"match\": {\"value\": \"Berlin\"}}]}",
                     r->filter);
    else
        return 0;
    return EXIT_SETTING;
}

/* --- asking */

static cJSON *ask(struct qdrant *q, const char *collection, const char *path, const cJSON *body,
                  struct err *e)
{
    cleanup_json_text char *json = cJSON_PrintUnformatted(body);
    struct qdrant_ask what = {.method = strncmp(path, "/points?", 8) == 0 ? "PUT" : "POST",
                              .collection = collection,
                              .path = path,
                              .json = json,
                              .total_ms = CHANGE_MS};
    if (!json)
        return (void)err_set(e, ENOMEM, "cannot ask for points of", collection, NULL), NULL;
    return qdrant_ask(q, &what, e);
}

/* {"ids": [...], "with_payload": w, "with_vector": w}; `ids` stays the caller's. */
static cJSON *ask_ids(struct qdrant *q, const char *collection, cJSON *ids, bool whole, struct err *e)
{
    cleanup_json cJSON *body = cJSON_CreateObject();
    if (!body || !cJSON_AddItemReferenceToObject(body, "ids", ids) ||
        !cJSON_AddBoolToObject(body, "with_payload", whole) ||
        !cJSON_AddBoolToObject(body, "with_vector", whole))
        return (void)err_set(e, ENOMEM, "cannot ask for points of", collection, NULL), NULL;
    return ask(q, collection, "/points", body, e);
}

/* --- one page of points */

static const cJSON *find(const cJSON *points, const cJSON *id)
{
    const cJSON *p;
    cJSON_ArrayForEach(p, points)
    {
        if (cJSON_Compare(json_member(p, "id"), id, 1))
            return p;
    }
    return NULL;
}

/* Whole numbers that a double does not hold would come back as others. */
static bool is_exact(const cJSON *v)
{
    const cJSON *child;
    if (cJSON_IsNumber(v))
        return fabs(v->valuedouble) < EXACT;
    cJSON_ArrayForEach(child, v)
    {
        if (!is_exact(child))
            return false;
    }
    return true;
}

static cJSON *existing(struct points_job *p, const cJSON *points, struct err *e)
{
    cleanup_json cJSON *ids = cJSON_CreateArray();
    const cJSON *one;
    cJSON_ArrayForEach(one, points)
    {
        if (!cJSON_AddItemReferenceToArray(ids, json_member(one, "id")))
            return (void)err_set(e, ENOMEM, "cannot compare the points of", p->source, NULL), NULL;
    }
    return ask_ids(p->j->qdrant, p->j->target, ids, false, e);
}

static bool add_point(cJSON *to, const cJSON *point)
{
    static const char *const members[] = {"id", "vector", "payload"};
    cJSON *o = json_append_object(to);
    bool good = o != NULL;
    for (size_t i = 0; good && i < sizeof members / sizeof *members; i++) {
        cJSON *v = json_member(point, members[i]);
        good = !v || cJSON_IsNull(v) || cJSON_AddItemReferenceToObject(o, members[i], v);
    }
    return good;
}

static enum restore_outcome put(struct points_job *p, const cJSON *body, int n, struct err *e)
{
    if (n == 0 || p->j->o->dry_run)
        return p->told.written += (unsigned)n, RESTORE_DONE;
    cleanup_json cJSON *done = ask(p->j->qdrant, p->j->target, "/points?wait=true", body, e);
    if (!done)
        return RESTORE_FAILED;
    p->told.written += (unsigned)n;
    return RESTORE_DONE;
}

static enum restore_outcome page(struct points_job *p, const cJSON *points, struct err *e)
{
    const cJSON *one;
    char what[300];
    cleanup_json cJSON *there = existing(p, points, e), *body = cJSON_CreateObject();
    cJSON *list = there ? cJSON_AddArrayToObject(body, "points") : NULL;
    if (!list)
        return RESTORE_FAILED;
    cJSON_ArrayForEach(one, points)
    {
        cleanup_json_text char *id = cJSON_PrintUnformatted(json_member(one, "id"));
        bool had = find(json_member(there, "result"), json_member(one, "id"));
        p->told.found++;
        if (!is_exact(one)) {
            (void)snprintf(
                what, sizeof what,
                "the point %.60s has a whole number beyond 2^53, which would come back as another one",
                id ? id : "");
            return wrong(e, what, "restore all beside it (--rename), and copy that point");
        }
        p->told.replaced += had && p->j->o->restore.force;
        if (had && !p->j->o->restore.force)
            p->told.kept++;
        else if (!add_point(list, one))
            return wrong(e, "no memory for points", NULL);
    }
    return put(p, body, cJSON_GetArraySize(list), e);
}

/* --- all */

static void note_missing(struct points_job *p, const cJSON *ids, const cJSON *points)
{
    const cJSON *id;
    size_t n = strlen(p->missing);
    cJSON_ArrayForEach(id, ids)
    {
        if (find(points, id))
            continue;
        cleanup_json_text char *text = cJSON_PrintUnformatted(id);
        if (p->told.missing++ < NAMED && n < sizeof p->missing)
            n += (size_t)snprintf(p->missing + n, sizeof p->missing - n, "%s%.40s", n ? ", " : "",
                                  text ? text : "");
    }
}

static enum restore_outcome by_ids(struct points_job *p, struct err *e)
{
    cleanup_json cJSON *ids = points_ids(p->j->o->restore.points);
    enum restore_outcome outcome = RESTORE_DONE;
    while (outcome == RESTORE_DONE && cJSON_GetArraySize(ids) > 0) {
        cleanup_json cJSON *some = cJSON_CreateArray();
        for (int i = 0; some && i < PAGE && cJSON_GetArraySize(ids) > 0; i++)
            (void)cJSON_AddItemToArray(some, cJSON_DetachItemFromArray(ids, 0));
        cleanup_json cJSON *whole = ask_ids(p->from, p->source, some, true, e);
        const cJSON *points = json_member(whole, "result");
        outcome = whole ? page(p, points, e) : RESTORE_FAILED;
        note_missing(p, some, points);
    }
    return outcome;
}

static enum restore_outcome by_filter(struct points_job *p, struct err *e)
{
    enum restore_outcome outcome = RESTORE_DONE;
    cleanup_json cJSON *body = cJSON_CreateObject();
    cJSON *filter = cJSON_Parse(p->j->o->restore.filter);
    bool more = true;
    if (!filter || !cJSON_AddItemToObject(body, "filter", filter) ||
        !cJSON_AddNumberToObject(body, "limit", PAGE) || !cJSON_AddBoolToObject(body, "with_payload", true) ||
        !cJSON_AddBoolToObject(body, "with_vector", true))
        return wrong(e, "no memory for points", NULL);
    while (outcome == RESTORE_DONE && more && !atomic_load(p->j->stop)) {
        cleanup_json cJSON *whole = ask(p->from, p->source, "/points/scroll", body, e);
        cJSON *result = json_member(whole, "result"),
              *next = cJSON_DetachItemFromObjectCaseSensitive(result, "next_page_offset");
        outcome = whole ? page(p, json_member(result, "points"), e) : RESTORE_FAILED;
        more = next && !cJSON_IsNull(next);
        cJSON_DeleteItemFromObjectCaseSensitive(body, "offset");
        if (!next || !cJSON_AddItemToObject(body, "offset", next))
            cJSON_Delete(next);
    }
    if (outcome == RESTORE_DONE && atomic_load(p->j->stop))
        return wrong(e, "stopped", "what was put back stays; do it again");
    return outcome;
}

static enum restore_outcome look_at_target(struct job *j, struct err *e)
{
    cleanup_names struct qdrant_names names = {0};
    if (qdrant_collections(j->qdrant, &names, e) != 0)
        return RESTORE_FAILED;
    j->report.existed = qdrant_names_have(&names, j->target);
    if (j->report.existed)
        return qdrant_count(j->qdrant, j->target, &j->report.points_before, e) == 0 ? RESTORE_DONE
                                                                                    : RESTORE_FAILED;
    (void)err_set(e, 0,
                  "points are put back into a collection that is there, and Qdrant has none of this name:",
                  j->target, "restore all of it");
    return RESTORE_REFUSED;
}

static enum restore_outcome conclude(struct points_job *p, struct err *e)
{
    char what[700], kept[120] = "";
    struct job *j = p->j;
    j->points = p->told;
    if (!j->o->dry_run && qdrant_count(j->qdrant, j->target, &j->report.points, e) != 0)
        return RESTORE_FAILED;
    if (p->told.missing == 0 && (p->told.found > 0 || j->o->restore.points))
        return RESTORE_DONE;
    if (p->told.kept > 0)
        (void)snprintf(kept, sizeof kept,
                       ", %" PRIu64 " are there already and %s left (--force replaces them)", p->told.kept,
                       j->o->dry_run ? "would be" : "were");
    (void)snprintf(what, sizeof what, "%" PRIu64 " points %s put back%s, and %s%s", p->told.written,
                   j->o->dry_run ? "would be" : "were", kept,
                   p->told.missing ? "not in the backup are " : "none in the backup matches the filter",
                   p->missing);
    return wrong(e, what, "an older backup may have more (--at)");
}

enum restore_outcome restore_points(struct job *j, const struct backup *b, const struct copy_watch *watch,
                                    struct err *e)
{
    struct drill_report d;
    struct points_job p = {.j = j, .source = b->m.source.collection};
    enum restore_outcome outcome = look_at_target(j, e);
    if (outcome != RESTORE_DONE)
        return outcome;
    struct drill *second = drill_settings_open(j->o, watch, j->stop, e);
    if (!second)
        return RESTORE_FAILED;
    p.from = drill_hold(second, b, j->s3 ? restore_s3_origin(j->s3) : NULL, &d);
    if (p.from) {
        outcome = j->o->restore.points ? by_ids(&p, e) : by_filter(&p, e);
    } else {
        (void)err_set(e, 0, d.why, NULL, NULL);
        outcome = d.defect ? RESTORE_DEFECT : RESTORE_FAILED;
    }
    if (outcome == RESTORE_DONE)
        outcome = conclude(&p, e);
    struct err left = {0};
    if (drill_close(second, &left) != 0)
        cmd_complain("%s", left.text);
    return outcome;
}
