/* What a service of AWS answers when it says no, and errors made of it. */
#ifndef AWS_ERROR_H
#define AWS_ERROR_H
#include "common/base/err.h"
#include <stdbool.h>
#include <stddef.h>

struct aws_error {
    long status;       /* HTTP's */
    char code[80];     /* "AccessDenied"; empty when the reply was not the service's own */
    char message[400]; /* printable */
    char region[40];   /* where the bucket really is, when S3 says so */
};
/* Texts of a reply, made printable and cut. */
void aws_error_code(struct aws_error *f, const char *code);
void aws_error_message(struct aws_error *f, const char *message);
/* What a service's code means to the caller; `advice` may be NULL. */
struct aws_error_meaning {
    const char *code;
    int error;
    const char *advice;
};
/* That of the error, with its `advice`. One that is not among the `n` known: EAGAIN for a service that has a
 * bad moment, else EPROTO. */
int aws_error_meaning(const struct aws_error *f, const struct aws_error_meaning *known, size_t n,
                      const char **advice);
bool aws_error_is(const struct aws_error *f, const char *code);
/* "CODE: MESSAGE", or that HTTP's status came without a reason. */
const char *aws_error_text(const struct aws_error *f, char out[512]);
/* Like err_set, but with a format, and `code` is for the caller only: the text has said it in AWS's words.
 * Returns -1. */
int aws_error_report(struct err *e, int code, const char *advice, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
#endif
