/* Who we are on ECS, for manifests, metrics and the log. The metadata endpoint may lag at a task's start, or
 * not be there at all: it is asked for a while in the background, and nothing waits for it. */
#ifndef REPLICATOR_STATUS_ECS_TASK_H
#define REPLICATOR_STATUS_ECS_TASK_H
#include "efs/repo/manifest.h"
#include <stdatomic.h>

struct status;
struct ecs_task_source;
struct ecs_task_source *ecs_task_new(void);
void ecs_task_free(struct ecs_task_source *id);
/* Ask once, if it makes sense and is not known yet; blocks for a second at most. True when there is nothing
 * more to be asked: known, not on ECS, or asked in vain for too often. */
bool ecs_task_ask(struct ecs_task_source *id, struct status *status, const atomic_bool *stop);
/* Put it into a manifest, as far as it is known. */
void ecs_task_fill(struct ecs_task_source *id, struct manifest *m);
#endif
