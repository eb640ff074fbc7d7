#include "common/err.h"
#include <stdio.h>
#include <string.h>

int err_set(struct err *e, int code, const char *what, const char *path, const char *advice)
{
    char why[128];
    if (!e)
        return -1;
    e->code = code;
    (void)snprintf(e->text, sizeof e->text, "%s%s%s%s%s%s%s", what, path ? " " : "", path ? path : "",
                   code ? ": " : "", code ? strerror_r(code, why, sizeof why) : "", advice ? "; " : "",
                   advice ? advice : "");
    return -1;
}
