/* Asks HTTP servers one short question each, all side by side under one deadline: GET, the status line, and
 * what comes behind it as far as it fits. For a health check, which has to have an answer in time whatever
 * the other side does: accepts and says nothing, sends a byte a second, or is not there at all. No TLS, no
 * redirects, no parsing beyond the status line. */
#ifndef ENTRYPOINT_HTTP_PROBE_H
#define ENTRYPOINT_HTTP_PROBE_H
#include "entrypoint/address.h"
#include <stddef.h>
#include <stdint.h>

enum { PROBE_REPLY_MAX = 4096, PROBE_AT_ONCE = 3 };

enum probe_end {
    PROBE_ANSWERED, /* with `status` */
    PROBE_ACCEPTED, /* the connection, which was all that was asked */
    PROBE_FAILED,   /* `error` says why: ECONNREFUSED, or ECONNRESET before a status line */
    PROBE_NO_PEER,  /* no connection in time */
    PROBE_SILENT,   /* a connection, but no status line in time */
    PROBE_CLOSED,   /* the connection was closed before a status line */
    PROBE_NOT_HTTP, /* something else speaks there, such as TLS */
};

struct probe {
    struct address at;
    const char *path; /* NULL: only whether the port takes a connection */
    /* The answer. */
    enum probe_end end;
    int error, status;
    int64_t ms; /* until the status line, or until it was over without one */
    char reply[PROBE_REPLY_MAX];
    size_t length; /* of `reply`: status line, headers, body */
    /* On the way there. */
    enum { PROBE_CONNECTING, PROBE_READING, PROBE_OVER } step;
    int fd;
    int64_t begun;
};

/* Asks all of up to PROBE_AT_ONCE, and is back after `within_ms` at the latest. */
void probe_all(struct probe *asks, size_t n, int64_t within_ms);
/* The status in the first `n` bytes of a reply: 0 while the status line is not complete, -1 when it is none.
 */
int probe_status(const char *reply, size_t n);
/* What the reply has behind its headers; NULL when it did not get that far. */
const char *probe_body(const struct probe *a, size_t *n);
#endif
