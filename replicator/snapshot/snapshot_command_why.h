/* Why is a snapshot not on EFS yet? As a pure function over the running replicator's status document, for
 * `qdrant-replicator snapshot`, which waits for it. */
#ifndef REPLICATOR_SNAPSHOT_SNAPSHOT_COMMAND_WHY_H
#define REPLICATOR_SNAPSHOT_SNAPSHOT_COMMAND_WHY_H
#include <stddef.h>
#include <time.h>

struct cJSON;
enum why {
    WHY_UNKNOWN,  /* nothing is said of it */
    WHY_PROGRESS, /* the replicator copies snapshots, and shows signs of life */
    WHY_TROUBLE,  /* it cannot be published now; the replicator tries again */
    WHY_NEVER,    /* as it is, it is not published */
};
struct why_question {
    const char *base;       /* where the asker looks for it: {EFS_ROOT}/{TIER}-{CPU_ARCH} */
    const char *collection; /* whose snapshot it is */
    time_t since;           /* when it was asked for: what was said before is about others */
};
/* `text`: the reason; empty for WHY_UNKNOWN and WHY_PROGRESS. */
enum why snapshot_command_why(const struct cJSON *status, const struct why_question *q, char *text,
                              size_t size);
#endif
