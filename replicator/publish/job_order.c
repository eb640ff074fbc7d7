#include "replicator/publish/job_order.h"

bool job_order_is_large(const struct job *j)
{
    return j->kind == JOB_PUBLISH && j->stamp.size >= JOB_ORDER_LARGE;
}

static bool may_begin(const struct job *j, const struct job_order *o)
{
    if ((j->kind == JOB_DELETE_LOCAL) != o->local || (o->hurry && j->kind != JOB_PUBLISH))
        return false;
    return o->local ||
           (!o->busy(j->folder, o->arg) && !(job_order_is_large(j) && o->large >= JOB_ORDER_LARGE_AT_ONCE));
}

/* What a publication may overtake: nothing that says when something happened, as a tombstone does. */
static bool gives_way(const struct job *j, int64_t now)
{
    return (j->kind == JOB_REFRESH_FOLDER || j->kind == JOB_SCAN_EFS) &&
           now - j->pushed < JOB_ORDER_PATIENCE_MS;
}

struct job **job_order_next(struct job **head, const struct job_order *o)
{
    struct job **later = NULL;
    for (struct job **at = head; *at; at = &(*at)->next) {
        if (!may_begin(*at, o))
            continue;
        if (later ? (*at)->kind == JOB_PUBLISH : !gives_way(*at, o->now))
            return at;
        later = later ? later : at;
    }
    return later;
}
