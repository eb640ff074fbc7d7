/* What a service of AWS answers when it says no, and errors made of it. */
#ifndef AWS_FAULT_H
#define AWS_FAULT_H
#include "common/err.h"
#include <stdbool.h>

struct fault {
    long status;       /* HTTP's */
    char code[80];     /* "AccessDenied"; empty when the reply was not the service's own */
    char message[400]; /* printable */
    char region[40];   /* where the bucket really is, when S3 says so */
};
/* Texts of a reply, made printable and cut. */
void fault_code(struct fault *f, const char *code);
void fault_message(struct fault *f, const char *message);
bool fault_is(const struct fault *f, const char *code);
/* "CODE: MESSAGE", or that HTTP's status came without a reason. */
const char *fault_text(const struct fault *f, char out[512]);
/* Like err_set, but with a format, and `code` is for the caller only: the text has said it in AWS's words.
 * Returns -1. */
int fault_error(struct err *e, int code, const char *advice, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
#endif
