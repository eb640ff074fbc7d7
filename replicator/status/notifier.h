/* Tells NOTIFY_URL of good runs and of failures (replicator/status/notify_rule.h). A thread of its own that
 * touches neither EFS nor Qdrant, and that nobody waits for: an address that does not answer holds up no
 * backup, and no stop. */
#ifndef REPLICATOR_STATUS_NOTIFIER_H
#define REPLICATOR_STATUS_NOTIFIER_H
#include "replicator/core/context.h"
struct notifier;
struct notifier *notifier_start(struct context *x);  /* NULL with errno */
bool notifier_stop(struct notifier *n, int64_t end); /* after context->stop; until that monotonic ms */
void notifier_free(struct notifier *n);
#endif
