/* The shape of a collection: what a snapshot of it must have in common with it, so that it can be restored in
 * its place. Vectors by name (size, distance, kind of number, whether there are several for a point), sparse
 * vectors by name, the sharding and the number of shards. Not what may change while a collection lives: where
 * vectors are kept, indexes, quantization, replication. Pure. */
#ifndef QDRANT_COLLECTION_SHAPE_H
#define QDRANT_COLLECTION_SHAPE_H
#include <stdbool.h>
#include <stddef.h>

struct cJSON;
/* `params`: as in config.json of a snapshot, and in GET /collections/{name}. Is `there`, of a snapshot, of
 * the shape of `live`? False: `why` (size bytes) says what differs. */
bool shape_fits(const struct cJSON *there, const struct cJSON *live, char *why, size_t size);
/* The same of one segment of a shard, whose segment.json has only the vectors. `config` is its "config". */
bool shape_fits_segment(const struct cJSON *config, const struct cJSON *live, char *why, size_t size);
#endif
