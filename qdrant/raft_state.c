#include "qdrant/raft_state.h"
#include "common/base/cleanup.h"
#include "common/base/files.h"
#include "common/json.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>

enum { STATE_MAX = 16 << 20 };

int raft_state_parse(const char *text, const char *path, struct raft_state *out, struct err *e)
{
    cleanup_json cJSON *o = cJSON_Parse(text);
    const cJSON *state = json_member(o, "state"),
                *term = json_member(json_member(state, "hard_state"), "term"),
                *me = json_member(o, "this_peer_id");
    char id[32];
    *out = (struct raft_state){0};
    if (!cJSON_IsNumber(term) || !cJSON_IsNumber(me))
        return err_set(e, 0, "this is not the raft state of a Qdrant 1.18:", path,
                       "start the Qdrant that wrote it, without QDRANT_CLUSTER_DNS");
    out->there = true;
    out->member = term->valuedouble > 0;
    out->alone =
        !out->member && cJSON_GetArraySize(json_member(json_member(state, "conf_state"), "voters")) > 0;
    (void)snprintf(id, sizeof id, "%.0f", me->valuedouble);
    (void)snprintf(out->peer_id, sizeof out->peer_id, "%.23s", id);
    (void)snprintf(out->uri, sizeof out->uri, "%s", json_text(json_member(o, "peer_address_by_id"), id));
    return 0;
}

int raft_state_read(const char *storage, struct raft_state *out, struct err *e)
{
    char path[PATH_MAX];
    struct err why = {0};
    *out = (struct raft_state){0};
    if (files_join(path, sizeof path, storage, "raft_state.json", e) != 0)
        return -1;
    cleanup_free char *text = files_get(path, STATE_MAX, &why);
    if (text)
        return raft_state_parse(text, path, out, e);
    if (why.code == ENOENT)
        return 0;
    *e = why;
    return -1;
}
