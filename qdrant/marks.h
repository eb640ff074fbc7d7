/* How far each collection was written to: a mark of each, taken now. When two are equal, nothing was written
 * between them, and a snapshot that was begun after the first has all. Qdrant (1.18.2) numbers the operations
 * of each shard (/telemetry: update_queue of a local shard), counts those that wait, and keeps the number
 * through a restart; its process and the collection's configuration are in the mark, too. */
#ifndef QDRANT_MARKS_H
#define QDRANT_MARKS_H
#include "common/base/err.h"
#include <stddef.h>

struct qdrant;
struct cJSON;
struct qdrant_mark {
    char *collection;
    char mark[65]; /* digest in hex; empty: Qdrant does not tell */
};
struct qdrant_marks {
    struct qdrant_mark *v; /* sorted */
    size_t n;
};
/* One question for all collections; its cost does not grow with their points. -1: none is known. */
int qdrant_marks(struct qdrant *q, struct qdrant_marks *out, struct err *e);
/* The same from /telemetry's result. Pure. */
int qdrant_marks_read(const struct cJSON *telemetry, struct qdrant_marks *out, struct err *e);
void qdrant_marks_free(struct qdrant_marks *m);
#define cleanup_marks __attribute__((cleanup(qdrant_marks_free)))
/* Empty for one that is not there. */
const char *qdrant_marks_of(const struct qdrant_marks *m, const char *collection);
#endif
