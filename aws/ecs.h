/* What ECS tells a task about itself (task metadata endpoint, version 4): who we are, for manifests and logs.
 * Never needed, and not always there at once: a task may start before its metadata do. */
#ifndef AWS_ECS_H
#define AWS_ECS_H
#include "aws/region.h"
#include "common/base/err.h"
#include <stdatomic.h>

/* Printable texts; empty when ECS does not say, or says something too long. */
struct ecs_task {
    char arn[256], cluster[256], family[256], revision[16], zone[32];
    char region[REGION_MAX]; /* of the ARN */
};
/* GET {uri}/task, where `uri` is the value of ECS_CONTAINER_METADATA_URI_V4. 0 done; 1 not on ECS, since
 * `uri` is NULL or empty; -1 no good answer within a second: try again later, or do without. `stop` may be
 * NULL. */
int ecs_task_get(const char *uri, const atomic_bool *stop, struct ecs_task *out, struct err *e);
/* Have ECS keep this task for so many minutes, whatever a deployment or a scale-in would do; 0: no more. PUT
 * {agent}/task-protection/v1/state, where `agent` is the value of ECS_AGENT_URI; the task role needs
 * ecs:UpdateTaskProtection. A protection ends by itself, so that a task that hangs blocks no deployment for
 * ever. -1 with what ECS said; `stop` may be NULL. */
int ecs_task_protect(const char *agent, unsigned minutes, const atomic_bool *stop, struct err *e);
#endif
