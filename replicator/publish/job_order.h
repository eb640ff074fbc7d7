/* Which of the queued jobs is next: a pure function. Publishing goes before looking at folders and pruning
 * them, which is done each hour and may take minutes where each call takes milliseconds; but housekeeping
 * that has waited for long is overtaken no more. A few large copies use up what a task has of network and
 * CPU: more of them at once would only hold up the small ones. */
#ifndef REPLICATOR_PUBLISH_JOB_ORDER_H
#define REPLICATOR_PUBLISH_JOB_ORDER_H
#include "replicator/publish/jobs.h"

enum {
    JOB_ORDER_PATIENCE_MS = 600000,
    JOB_ORDER_LARGE = 64 << 20, /* bytes of the snapshot */
    JOB_ORDER_LARGE_AT_ONCE = 2,
};
struct job_order {
    bool local;     /* for the thread that frees the local disk: its jobs alone, and nobody else has them */
    bool hurry;     /* nothing but JOB_PUBLISH */
    unsigned large; /* copies that are large and running */
    int64_t now;    /* monotonic milliseconds, as of job.pushed */
    bool (*busy)(const char *folder, const void *arg); /* somebody works in that folder */
    const void *arg;
};
bool job_order_is_large(const struct job *j);
/* The place that points at it; NULL: there is none that may begin. */
struct job **job_order_next(struct job **head, const struct job_order *o);
#endif
