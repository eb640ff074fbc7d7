/* Who we are on ECS, for manifests, metrics and the log. The metadata endpoint may lag at a task's start, or
 * not be there at all: it is asked for a while in the background, and nothing waits for it. */
#ifndef REPLICATOR_IDENTITY_H
#define REPLICATOR_IDENTITY_H
#include "efs/manifest.h"
#include <stdatomic.h>

struct ledger;
struct identity;
struct identity *identity_new(void);
void identity_free(struct identity *id);
/* Ask once, if it makes sense and is not known yet; blocks for a second at most. True when there is nothing
 * more to be asked: known, not on ECS, or asked in vain for too often. */
bool identity_ask(struct identity *id, struct ledger *ledger, const atomic_bool *stop);
/* Put it into a manifest, as far as it is known. */
void identity_fill(struct identity *id, struct manifest *m);
#endif
