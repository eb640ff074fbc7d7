#include "replicator/status/connections.h"
#include <stdbool.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/socket.h>

struct one {
    TAILQ_ENTRY(one) next;
    int fd;
    bool asked, cut;
};
TAILQ_HEAD(list, one);
struct connections {
    struct list open; /* the one that has rested for longest first */
    unsigned n, crowded;
};

struct connections *connections_new(unsigned crowded)
{
    struct connections *all = calloc(1, sizeof *all);
    if (!all)
        return NULL;
    TAILQ_INIT(&all->open);
    all->crowded = crowded;
    return all;
}

void connections_free(struct connections *all) { free(all); }

/* libmicrohttpd has no call for it: it closes a connection whose other side seems to be gone. */
static void cut(struct one *it)
{
    (void)shutdown(it->fd, SHUT_RDWR); /* fails where the other side is gone indeed */
    it->cut = true;
}

static struct one *oldest(struct connections *all, bool asked)
{
    for (struct one *it = TAILQ_FIRST(&all->open); it; it = TAILQ_NEXT(it, next))
        if (!it->cut && it->asked == asked)
            return it;
    return NULL;
}

static void make_room(struct connections *all)
{
    struct one *it = oldest(all, false);
    if (!it)
        it = oldest(all, true);
    if (it)
        cut(it);
}

static void opened(struct connections *all, struct MHD_Connection *c, void **context)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct one *it = info ? calloc(1, sizeof *it) : NULL;
    *context = it;
    if (!it)
        return; /* without memory it cannot be cut off, and ends by itself */
    if (all->n >= all->crowded)
        make_room(all);
    it->fd = info->connect_fd;
    TAILQ_INSERT_TAIL(&all->open, it, next);
    all->n++;
}

void connections_notify(void *arg, struct MHD_Connection *c, void **context,
                        enum MHD_ConnectionNotificationCode what)
{
    struct connections *all = arg;
    struct one *it = *context;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        opened(all, c, context);
    } else if (it) {
        TAILQ_REMOVE(&all->open, it, next);
        all->n--;
        free(it);
        *context = NULL;
    }
}

static struct one *one_of(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

void connections_asked(struct MHD_Connection *c)
{
    struct one *it = one_of(c);
    if (it)
        it->asked = true;
}

/* It rests from now on. */
void connections_completed(void *arg, struct MHD_Connection *c, void **request,
                           enum MHD_RequestTerminationCode why)
{
    struct connections *all = arg;
    struct one *it = one_of(c);
    (void)request, (void)why;
    if (!it)
        return;
    it->asked = false;
    TAILQ_REMOVE(&all->open, it, next);
    TAILQ_INSERT_TAIL(&all->open, it, next);
}
