/* A task of ECS that restores its empty disk, or heals the cluster, is kept by ECS meanwhile: a deployment or
 * a scale-in that replaced it would have the next one begin anew. Only while that makes progress: a restore
 * that waits for something must not keep away the deployment that mends it. */
#ifndef REPLICATOR_STATUS_TASK_PROTECTION_H
#define REPLICATOR_STATUS_TASK_PROTECTION_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct task_protection { /* all 0 at first */
    bool on, said;
    int64_t asked; /* clock_ms of the last question that ECS answered */
};
/* Is there anybody to ask for it? */
bool task_protection_possible(void);
/* Of the reporter, every few seconds; asks only when something changes, or grows old. Not on ECS: nothing.
 * Blocks for ten seconds at most. */
void task_protection_keep(struct task_protection *p, bool wanted, const atomic_bool *stop);
#endif
