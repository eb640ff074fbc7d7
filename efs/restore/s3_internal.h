/* Shared by the files of restore_s3. */
#ifndef EFS_RESTORE_S3_INTERNAL_H
#define EFS_RESTORE_S3_INTERNAL_H
#include "aws/digest.h"
#include "aws/s3/s3.h"
#include "efs/restore/piped.h"
#include "efs/restore/s3.h"

struct restore_s3 {
    struct credentials *credentials;
    struct aws_client *caller;
    struct s3 *s3;
    char place[80]; /* "s3://bucket", the begin of each entry's `dir` */
    /* The object that was looked at last: */
    char key[1100];
    struct s3_info info;
    /* and what is read of it: */
    struct restore_origin origin;
    struct piped piped;
};
/* Whose it is, by its label; one that went away says nothing. */
int restore_s3_label_node(struct restore_s3 *s, struct backup *b, struct err *e);
#endif
