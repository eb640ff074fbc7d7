/* The keys that a container gets from AWS: from AWS_ACCESS_KEY_ID and its fellows, or from the address that
 * ECS or EKS names in AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI. Kept until five minutes before
 * they expire; when they cannot be renewed then, they serve to their very end. For any number of threads. Not
 * for profiles, SSO or EC2 instances. */
#ifndef AWS_CREDENTIALS_H
#define AWS_CREDENTIALS_H
#include "aws/keys.h"
#include "common/base/err.h"
#include <stdatomic.h>

struct credentials_options {
    const char *ca_file;     /* see common/http.h */
    const atomic_bool *stop; /* must outlive the credentials; may be NULL */
    /* For tests alone: asked in place of http://169.254.170.2. An option and no variable, so that nothing in
     * a task's environment can lead its keys' request elsewhere. NULL otherwise. */
    const char *relative_host;
};
struct credentials;
/* Reads the environment, once and for all; asks nobody yet. NULL and `e` says what to set. */
struct credentials *credentials_new(const struct credentials_options *o, struct err *e);
void credentials_free(struct credentials *c);
/* A copy of keys that are good now; wipe it (cleanup_keys). May ask the network, for some seconds at most. */
int credentials_get(struct credentials *c, struct aws_keys *out, struct err *e);
/* A service said of `used` that they are expired or unknown: renew them, unless another thread did. 0: there
 * are others now, 1: they are still the same, -1: they cannot be had. */
int credentials_refused(struct credentials *c, const struct aws_keys *used, struct err *e);
#endif
