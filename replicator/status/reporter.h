/* Once a minute: the CloudWatch lines on stdout. Also asks ECS who we are, until that is known. A thread of
 * its own that touches neither EFS nor Qdrant. */
#ifndef REPLICATOR_STATUS_REPORTER_H
#define REPLICATOR_STATUS_REPORTER_H
#include "replicator/core/context.h"
struct reporter;
struct reporter *reporter_start(struct context *x); /* NULL with errno */
bool reporter_stop(struct reporter *r,
                   int64_t end); /* after context->stop; until the monotonic millisecond `end` */
void reporter_free(struct reporter *r);
#endif
