/* Is a collection in Qdrant made as the one that a snapshot is of? A snapshot that is restored into a
 * collection which exists brings its points, and keeps that collection's configuration (1.18.2): payload
 * indexes, sparse vectors and strict mode stay as they are there. A pure function over what both say. */
#ifndef EFS_RESTORE_SHAPE_H
#define EFS_RESTORE_SHAPE_H
#include "efs/restore/inside.h"

/* How many differences there are; `out` names as many as fit: "payload index city is missing". `now` is the
 * result of GET /collections/{name}. How often points are stored, and how replicas are read, is the cluster's
 * affair and not compared, nor are the settings of optimizers and of the write-ahead log, which change
 * nothing of what is found. */
enum { SHAPE_TEXT = 500 };
size_t shape_differs(const struct inside_says *was, const struct cJSON *now, char out[SHAPE_TEXT]);
#endif
