/* What drills found, on EFS, so that it outlives the task and travels to the second Region:
 * {base}/drills/{node}/{time}.json, the last RECORDS_KEPT of each node. */
#ifndef EFS_DRILL_RECORD_H
#define EFS_DRILL_RECORD_H
#include "common/err.h"
#include <time.h>
enum { RECORDS_KEPT = 60 };
/* `base` as ever, {root}/{TIER}-{CPU_ARCH}; it is made if it is not there. */
int drill_record_keep(const char *base, const char *node, time_t when, const char *json, struct err *e);
/* When the last one of `node` was kept, of any for NULL; 0: none. */
time_t drill_record_last(const char *base, const char *node);
#endif
