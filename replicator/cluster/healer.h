/* The cluster of this node's Qdrant, looked after (HEAL): leaves on EFS who this node is, and where it is the
 * leader, has `qdrant-efs heal` get the cluster over peers that are gone for good (gone_rule.h). One node
 * does so at a time, under a claim on EFS. What it does not know for sure it leaves to people, and says what
 * they would do. */
#ifndef REPLICATOR_CLUSTER_HEALER_H
#define REPLICATOR_CLUSTER_HEALER_H
#include "replicator/core/context.h"

struct healer;
/* NULL without memory. */
struct healer *healer_start(struct context *x);
/* False: it hangs with EFS, and nothing of it may be freed. */
bool healer_stop(struct healer *h, int64_t end);
void healer_free(struct healer *h);
#endif
