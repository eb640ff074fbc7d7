/* What AWS says of a file system's replication: how far it is. Of the source or of the destination, asked in
 * its own Region. */
#ifndef AWS_EFS_REPLICATION_H
#define AWS_EFS_REPLICATION_H
#include "aws/request.h"
#include "aws/region.h"

struct efs_replication {
    char status[32];   /* ENABLED, ENABLING, PAUSED, PAUSING, ERROR, DELETING */
    char message[256]; /* why; may be empty */
    char source[64], destination[64], source_region[REGION_MAX],
        region[REGION_MAX]; /* region: the destination's */
    time_t synced; /* all that was changed before then is at the destination; 0: the first sync goes on */
};
/* "fs-0123456789abcdef0", or its ARN. */
bool efs_replication_is_id(const char *file_system);
/* Asks elasticfilesystem.{region}.amazonaws.com, or what AWS_ENDPOINT_URL_EFS or AWS_ENDPOINT_URL say; the
 * Region is the ARN's, else AWS_REGION's. -1 with codes ENOENT (no such file system, or it is not
 * replicated), EACCES, EINVAL, or one that passes. */
int efs_replication_get(struct aws_client *c, const char *file_system, struct efs_replication *out,
                        struct err *e);
#endif
