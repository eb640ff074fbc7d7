#include "common/base/err.h"
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

int err_set(struct err *e, int code, const char *what, const char *path, const char *advice)
{
    char why[128];
    bool system = code && code != EBADMSG; /* "Bad message" is our own mark, and `what` says it better */
    if (!e)
        return -1;
    e->code = code;
    (void)snprintf(e->text, sizeof e->text, "%s%s%s%s%s%s%s", what, path ? " " : "", path ? path : "",
                   system ? ": " : "", system ? strerror_r(code, why, sizeof why) : "", advice ? "; " : "",
                   advice ? advice : "");
    return -1;
}
