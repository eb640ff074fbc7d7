#include "replicator/status/ecs_task.h"
#include "aws/ecs.h"
#include "common/log.h"
#include "replicator/status/state.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRIES_MAX = 24 }; /* two minutes, as the reporter asks; a task's metadata is there within seconds */

struct ecs_task_source {
    struct ecs_task task; /* written once, before `known` */
    atomic_bool known;
    unsigned tries; /* the asking thread's own */
};

struct ecs_task_source *ecs_task_new(void) { return calloc(1, sizeof(struct ecs_task_source)); }
void ecs_task_free(struct ecs_task_source *id) { free(id); }

bool ecs_task_ask(struct ecs_task_source *id, struct status *status, const atomic_bool *stop)
{
    struct err e = {0};
    int rc = ecs_task_get(getenv("ECS_CONTAINER_METADATA_URI_V4"), stop, &id->task, &e);
    if (rc > 0)
        return true; /* not on ECS */
    if (rc == 0) {
        atomic_store(&id->known, true);
        status_task(status, id->task.arn, id->task.zone, id->task.family);
        log_line(LOG_INFO, "task", "%s of family %s in %s", id->task.arn, id->task.family, id->task.zone);
        return true;
    }
    if (++id->tries < TRIES_MAX)
        return false;
    log_line(LOG_WARN, "no_task", "ECS does not tell which task this is, and manifests will not either: %s",
             e.text);
    return true;
}

void ecs_task_fill(struct ecs_task_source *id, struct manifest *m)
{
    if (!atomic_load(&id->known))
        return;
    (void)snprintf(m->task_arn, sizeof m->task_arn, "%s", id->task.arn);
    (void)snprintf(m->zone, sizeof m->zone, "%s", id->task.zone);
    (void)snprintf(m->family, sizeof m->family, "%s", id->task.family);
}
