#include "replicator/restore/record.h"
#include "common/base/cleanup.h"
#include "common/base/files.h"
#include "common/log.h"
#include "common/base/version.h"
#include "common/json.h"
#include "efs/repo/manifest.h"
#include "efs/repo/signed.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { FORMAT = 1, HISTORY_MAX = 16 << 20 };

void restore_history_free(struct restore_history *h)
{
    free(h->v);
    *h = (struct restore_history){0};
}

/* --- the rules */

bool restore_history_obeyed(const struct restore_history *h, const char *setting)
{
    /* Also one that was made by the newest backup, since the setting had been obeyed before: the first record
     * is pruned some day. */
    if (strcmp(setting, "latest") == 0)
        return false;
    for (size_t i = 0; i < h->n; i++)
        if (strcmp(h->v[i].setting, setting) == 0)
            return true;
    return h->unreadable > 0; /* going back a second time loses more than not going back */
}

/* Whose turn was it at that time: the tree of the last node that went over from one tree to the other. */
static const struct restore_past *turn(const struct restore_history *h, time_t when)
{
    const struct restore_past *last = NULL;
    for (size_t i = 0; i < h->n && h->v[i].when <= when; i++)
        if (h->v[i].crossed)
            last = &h->v[i];
    return last;
}

const char *restore_history_forbids(const struct restore_history *h, bool own, time_t taken, bool to_time)
{
    const struct restore_past *last = turn(h, taken);
    if (last && last->own != own)
        return own ? "the other Region's node had taken over before it was taken"
                   : "this Region's node had taken over before it was taken";
    for (size_t i = 0; i < h->n && !to_time; i++)
        if (h->v[i].at && taken > h->v[i].at && taken < h->v[i].when)
            return "a restore to an earlier time has thrown away what it holds";
    return NULL;
}

/* --- reading */

static bool add(struct restore_history *h, const struct restore_past *one)
{
    struct restore_past *grown = realloc(h->v, (h->n + 1) * sizeof *grown);
    size_t i = h->n;
    if (!grown)
        return false;
    h->v = grown;
    for (; i > 0 && h->v[i - 1].when > one->when; i--)
        h->v[i] = h->v[i - 1];
    h->v[i] = *one;
    h->n++;
    return true;
}

/* `when` is of its name: a record is never changed. */
static bool parse(const char *text, time_t when, bool own, struct restore_past *out)
{
    cleanup_json cJSON *o = cJSON_Parse(text);
    const char *setting = json_string(o, "setting");
    const cJSON *format = json_member(o, "format"), *at = json_member(o, "at");
    if (!cJSON_IsNumber(format) || format->valuedouble != FORMAT || !setting)
        return false;
    *out = (struct restore_past){.when = when,
                                 .at = cJSON_IsNumber(at) ? (time_t)at->valuedouble : 0,
                                 .crossed = json_true(o, "crossed"),
                                 .own = own};
    (void)snprintf(out->setting, sizeof out->setting, "%s", setting);
    return true;
}

static int read_one(struct restore_history *h, const char *path, time_t when, bool own, struct err *e)
{
    struct restore_past one;
    struct err why = {0};
    cleanup_free char *text = files_get(path, HISTORY_MAX, &why);
    if (!text && why.code == ENOENT)
        return 0; /* pruned meanwhile */
    if (!text && (why.code == EIO || why.code == ESTALE || why.code == ETIMEDOUT || why.code == ENOMEM))
        return e ? (*e = why, -1) : -1; /* EFS may give it yet */
    if (!text || !signed_obeyed(path, text, &why) || !parse(text, when, own, &one)) {
        h->unreadable++;
        log_line(LOG_WARN, "boot_record_unreadable", "%s is no record of a restore, and is left out%s%s",
                 path, why.text[0] ? ": " : "", why.text);
        return 0;
    }
    return add(h, &one) ? 0 : err_set(e, ENOMEM, "cannot read", path, NULL);
}

/* history_add's folder of a node. */
static bool folder_of(const char *node, char out[NAME_MAX + 1])
{
    if (!*node)
        return snprintf(out, NAME_MAX + 1, "%s", HISTORY_UNNAMED) > 0;
    return name_escape(node, out, NAME_MAX + 1);
}

int restore_history_read(struct restore_history *h, const char *base, bool own, const char *node,
                         struct err *e)
{
    char folder[NAME_MAX + 1], path[PATH_MAX];
    cleanup_free time_t *times = NULL;
    size_t n = 0;
    if (!folder_of(node, folder))
        return err_set(e, ENAMETOOLONG, "no folder can have the name of", node, NULL);
    if (history_times(base, &history_restores, folder, &times, &n, e) != 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        struct stat st;
        time_t when = times[i];
        if (history_path(base, &history_restores, folder, when, path, e) != 0)
            return -1;
        /* Its node's clock ran ahead: all that came since would count as of before. */
        if (stat(path, &st) == 0 && when > st.st_mtime + HISTORY_AHEAD)
            when = st.st_mtime;
        if (read_one(h, path, when, own, e) != 0)
            return -1;
    }
    return 0;
}

/* --- writing */

static bool add_collection(cJSON *list, const struct marker_part *p)
{
    cJSON *o = json_append_object(list);
    return o && cJSON_AddStringToObject(o, "collection", p->collection) &&
           (!p->snapshot || cJSON_AddStringToObject(o, "snapshot", p->snapshot)) &&
           (!p->taken || json_add_time(o, "taken", p->taken)) &&
           (p->points < 0 || cJSON_AddNumberToObject(o, "points", (double)p->points)) &&
           (!p->from || cJSON_AddStringToObject(o, "from", p->from)) &&
           (!p->why || cJSON_AddStringToObject(o, "why", p->why));
}

static bool is_crossed(const char *own, const struct marker *m)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->v[i].state == PART_STAGED && m->v[i].from && strcmp(m->v[i].from, own) != 0)
            return true;
    return false;
}

static bool fill(cJSON *o, const char *own, const char *node, const struct marker *m, time_t when)
{
    if (!cJSON_AddNumberToObject(o, "format", FORMAT) || !cJSON_AddStringToObject(o, "node", node) ||
        !json_add_time(o, "restored", when) || !cJSON_AddStringToObject(o, "setting", m->setting) ||
        (m->at && !cJSON_AddNumberToObject(o, "at", (double)m->at)) ||
        !cJSON_AddBoolToObject(o, "crossed", is_crossed(own, m)) ||
        !cJSON_AddStringToObject(o, "written_by", "qdrant-replicator " VERSION))
        return false;
    cJSON *list = cJSON_AddArrayToObject(o, "collections");
    for (size_t i = 0; list && i < m->n; i++)
        if (!add_collection(list, &m->v[i]))
            return false;
    return list != NULL;
}

int restore_record_add(const char *own, const char *node, const struct marker *m, time_t when, struct err *e)
{
    cleanup_json cJSON *o = cJSON_CreateObject();
    cleanup_json_text char *text = o && fill(o, own, node, m, when) ? cJSON_Print(o) : NULL;
    if (!text)
        return err_set(e, ENOMEM, "cannot record the restore in", own, NULL);
    return history_add(own, &history_restores, node, when, text, e);
}
