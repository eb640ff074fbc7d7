/* The status server's open connections, so that nobody can take all of them, nor keep one for ever: when many
 * are open, or many of one address, the one of these that has rested for longest is cut off for each new one;
 * and a request has so long to come whole, its answer so long to be taken, however busy both look. This
 * machine's own addresses have no limit of their own: the health check comes from the same one as whatever
 * else dawdles here. Where there is a choice, those from elsewhere go first. All but connections_new and
 * connections_free is called by the server's one thread. */
#ifndef REPLICATOR_STATUS_CONNECTIONS_H
#define REPLICATOR_STATUS_CONNECTIONS_H
#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>

struct connections;
struct connections_limits {
    unsigned crowded;        /* from so many open ones on each new one costs an old one its place; ... */
    unsigned of_one_address; /* ... from so many of one address (of IPv6: a /64), one of that address */
    int64_t request_ms, answer_ms; /* for a request to come whole, and for its answer to be taken */
};
/* NULL without memory. */
struct connections *connections_new(const struct connections_limits *limits);
void connections_free(struct connections *all);
/* For MHD_OPTION_NOTIFY_CONNECTION and MHD_OPTION_NOTIFY_COMPLETED, with `all`. */
void connections_notify(void *all, struct MHD_Connection *c, void **context,
                        enum MHD_ConnectionNotificationCode what);
void connections_completed(void *all, struct MHD_Connection *c, void **request,
                           enum MHD_RequestTerminationCode why);
/* It has sent a whole request: it is cut off only when all have. */
void connections_asked(struct MHD_Connection *c);
/* Cut off those whose time is over. Returns whether any connection is open, so that it is to be called again
 * soon. */
bool connections_look(struct connections *all);

/* Of this machine: 127.0.0.0/8, ::1. */
bool connections_local(const struct sockaddr *from);
#endif
