/* What drills found, on EFS (efs/record.h): {base}/drills/{node}/{time}.json. */
#ifndef EFS_DRILL_RECORD_H
#define EFS_DRILL_RECORD_H
#include "efs/record.h"
static inline int drill_record_keep(const char *base, const char *node, time_t when, const char *json,
                                    struct err *e)
{
    return record_keep(base, &record_drills, node, when, json, e);
}
/* When the last one of `node` was kept, of any for NULL; 0: none. */
static inline time_t drill_record_last(const char *base, const char *node)
{
    return record_last(base, &record_drills, node);
}
#endif
