/* The status server's open connections, so that nobody can take all of them: when many are open, the one that
 * has rested for longest is cut off for each new one. A limit of one address would refuse the health check,
 * which comes from the same address as whatever else dawdles on this machine. All but connections_new and
 * connections_free is called by libmicrohttpd's one thread. */
#ifndef REPLICATOR_STATUS_CONNECTIONS_H
#define REPLICATOR_STATUS_CONNECTIONS_H
#include <microhttpd.h>

struct connections;
/* From `crowded` open ones on each new one costs an old one its place. NULL without memory. */
struct connections *connections_new(unsigned crowded);
void connections_free(struct connections *all);
/* For MHD_OPTION_NOTIFY_CONNECTION and MHD_OPTION_NOTIFY_COMPLETED, with `all`. */
void connections_notify(void *all, struct MHD_Connection *c, void **context,
                        enum MHD_ConnectionNotificationCode what);
void connections_completed(void *all, struct MHD_Connection *c, void **request,
                           enum MHD_RequestTerminationCode why);
/* It has sent a whole request: it is cut off only when all have. */
void connections_asked(struct MHD_Connection *c);
#endif
