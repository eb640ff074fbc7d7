/* Addresses: the percent encoding that AWS signs, an endpoint taken apart (by libcurl), and whether a host is
 * this machine or its link, where plain HTTP may carry credentials. */
#ifndef AWS_URI_H
#define AWS_URI_H
#include "common/base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* All but A-Z a-z 0-9 - . _ ~ becomes %XX, and '/' only if `slash`: "UriEncode" of the S3 documentation. */
void uri_encode(FILE *to, const char *text, size_t n, bool slash);
char *uri_encoded(const char *text, bool slash); /* caller frees; NULL without memory */
/* Undo %XX in place, and '+' for a space if `form`. Returns the new length: there may be NULs inside. */
size_t uri_decode(char *text, bool form);

enum uri_where { URI_ELSEWHERE, URI_LINK_LOCAL, URI_LOOPBACK };
struct uri {
    bool https;
    char host[256]; /* as for the Host header: with the port, unless that is the scheme's own */
    char path[512]; /* at least "/" */
    bool query;     /* has one */
    enum uri_where where;
    bool credentials_host; /* one of the addresses that AWS gives credentials at over plain HTTP */
};
/* An http or https address without user and fragment. `name` is what to call it in an error: the variable. */
int uri_parse(const char *name, const char *text, struct uri *out, struct err *e);
#endif
