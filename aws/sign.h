/* AWS Signature Version 4 for one request: a pure function. Why our own: the signer in Debian 12's libcurl
 * (7.88) takes path and query as they are, signs headers that are not sent, and has no way to leave a payload
 * unsigned; each was fixed in a release between 8.0 and 8.14, so that it behaves differently on each
 * distribution. AWS's own C library is not in Debian. This one is held to AWS's published examples. */
#ifndef AWS_SIGN_H
#define AWS_SIGN_H
#include "aws/keys.h"
#include "common/base/err.h"

#define SIGN_EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
struct sign_request {
    const char *method, *host;  /* as in the Host header */
    const char *path, *query;   /* as they stand in the request; `query` without '?', may be NULL */
    const char *const *headers; /* "Name: value" lines, NULL behind them; all are signed; may be NULL */
    const char *payload_sha256; /* hex */
};
struct sign_with {
    const struct aws_keys *keys;
    const char *region, *service; /* "s3": its path is not encoded again, and it wants the hash in a header */
    time_t now;
};
/* The header lines to send: those of the request, Host, X-Amz-Date, X-Amz-Security-Token and so on, and
 * Authorization. NULL without memory. */
char **sign_headers(const struct sign_request *r, const struct sign_with *with, struct err *e);
void sign_free(char **headers); /* wipes them */
/* What is hashed and signed, for tests and for finding out what a SignatureDoesNotMatch is about. `headers`
 * as sign_headers gave them, Authorization is left out. Caller frees. */
char *sign_canonical(const struct sign_request *r, const char *service, char *const *headers);
#endif
