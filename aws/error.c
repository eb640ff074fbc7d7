#include "aws/error.h"
#include "common/base/text.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void aws_error_code(struct aws_error *f, const char *code)
{
    /* JSON services may put a namespace before it, and a place for details behind it:
     * "aws.protocols#ResourceNotFoundException:http://..." (Smithy, AWS JSON 1.1, operation error) */
    const char *hash = strchr(code, '#');
    (void)text_printable(hash ? hash + 1 : code, f->code, sizeof f->code);
    f->code[strcspn(f->code, ":")] = 0;
}

void aws_error_message(struct aws_error *f, const char *message)
{
    (void)text_printable(message, f->message, sizeof f->message);
}

bool aws_error_is(const struct aws_error *f, const char *code) { return strcmp(f->code, code) == 0; }

int aws_error_meaning(const struct aws_error *f, const struct aws_error_meaning *known, size_t n,
                      const char **advice)
{
    *advice = NULL;
    for (size_t i = 0; i < n; i++)
        if (aws_error_is(f, known[i].code))
            return *advice = known[i].advice, known[i].error;
    return f->status >= 500 || f->status == 429 ? EAGAIN : EPROTO;
}

const char *aws_error_text(const struct aws_error *f, char out[512])
{
    if (f->code[0])
        (void)snprintf(out, 512, "%s%s%s", f->code, f->message[0] ? ": " : "", f->message);
    else
        (void)snprintf(out, 512, "HTTP status %ld, and no reason that can be read", f->status);
    return out;
}

int aws_error_report(struct err *e, int code, const char *advice, const char *fmt, ...)
{
    char text[sizeof e->text];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    (void)err_set(e, 0, text, NULL, advice);
    if (e)
        e->code = code;
    return -1;
}
