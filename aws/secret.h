/* A secret of AWS Secrets Manager: its string, or one member of it, fit to go into a header. Errors are one
 * line that says what to do, and never the value. */
#ifndef AWS_SECRET_H
#define AWS_SECRET_H
#include "aws/request.h"

enum { SECRET_MAX = 1024 };
/* The current value of the secret `arn`, without white space around it: of its member `key` if that is given,
 * and the secret is a JSON object. The Region is the ARN's. Asks secretsmanager.{region}.amazonaws.com, or
 * what AWS_ENDPOINT_URL_SECRETS_MANAGER or AWS_ENDPOINT_URL say. secret_free it. NULL on error, whose code is
 * ENOENT (no such secret or member), EACCES, EINVAL (what is given, or what is there, cannot be used), or
 * passes. */
char *secret_get(struct aws_client *c, const char *arn, const char *key, struct err *e);
void secret_free(char *value); /* wipes it */
/* Is it "arn:PARTITION:secretsmanager:REGION:ACCOUNT:secret:NAME"? For whoever checks settings. */
int secret_check_arn(const char *arn, struct err *e);
#endif
