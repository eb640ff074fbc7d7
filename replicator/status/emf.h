/* CloudWatch's embedded metric format: the status document as metrics, a JSON object a line, which CloudWatch
 * Logs turns into metrics without any call of ours. Only what is low in number is a dimension, since each
 * combination is billed as a metric of its own: Tier and CpuArch, and Frequency where it matters.
 * Collections, the task and the zone are plain members, for queries. */
#ifndef REPLICATOR_STATUS_EMF_H
#define REPLICATOR_STATUS_EMF_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cJSON;
struct emf_options {
    const char *name_space; /* EMF_NAMESPACE */
    const char *tier, *cpu_arch;
};
/* The lines for what happened between two documents, each with its newline; `before` may be NULL: all since
 * the start. The last one is NULL. A pure function; free with emf_lines_free. NULL without memory. */
char **emf_lines(const struct emf_options *o, const struct cJSON *status, const struct cJSON *before);
void emf_lines_free(char **lines);

/* Writes lines to stdout, or another `fd`. That may be a pipe that nobody empties, and the same one that
 * Qdrant writes to: so a thread of its own writes, from a bounded queue, and lines that find no room are
 * dropped and counted. */
struct emf;
struct emf *emf_open(int fd); /* NULL without memory or thread */
/* Takes ownership of `lines` (NULL: nothing to do). Never waits. */
void emf_write(struct emf *e, char **lines);
unsigned long long emf_dropped(struct emf *e);
/* Write out what is queued, until the monotonic millisecond `end` at most, and stop. False: it hangs, and is
 * left behind. */
bool emf_close(struct emf *e, int64_t end);
#endif
