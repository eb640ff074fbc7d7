#include "aws/fault.h"
#include "common/text.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void fault_code(struct fault *f, const char *code)
{
    /* JSON services may put a namespace before it, and a place for details behind it:
     * "aws.protocols#ResourceNotFoundException:http://..." (Smithy, AWS JSON 1.1, operation error) */
    const char *hash = strchr(code, '#');
    (void)text_printable(hash ? hash + 1 : code, f->code, sizeof f->code);
    f->code[strcspn(f->code, ":")] = 0;
}

void fault_message(struct fault *f, const char *message)
{
    (void)text_printable(message, f->message, sizeof f->message);
}

bool fault_is(const struct fault *f, const char *code) { return strcmp(f->code, code) == 0; }

const char *fault_text(const struct fault *f, char out[512])
{
    if (f->code[0])
        (void)snprintf(out, 512, "%s%s%s", f->code, f->message[0] ? ": " : "", f->message);
    else
        (void)snprintf(out, 512, "HTTP status %ld, and no reason that can be read", f->status);
    return out;
}

int fault_error(struct err *e, int code, const char *advice, const char *fmt, ...)
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
