#include "replicator/status/connections.h"
#include "common/base/clock.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

/* Whoever has one IPv6 address has mostly a network of them. */
enum { NETWORK_BYTES = 8 };

struct one {
    TAILQ_ENTRY(one) next;
    int fd;
    bool asked, cut, local;
    int64_t since;             /* it was opened, had asked, or had its answer */
    unsigned char address[16]; /* as of IPv6 */
};
TAILQ_HEAD(list, one);
struct connections {
    struct list open; /* the one that has rested for longest first */
    unsigned n;
    struct connections_limits limits;
};

struct connections *connections_new(const struct connections_limits *limits)
{
    struct connections *all = calloc(1, sizeof *all);
    if (!all)
        return NULL;
    TAILQ_INIT(&all->open);
    all->limits = *limits;
    return all;
}

void connections_free(struct connections *all) { free(all); }

/* --- whose it is */

bool connections_local(const struct sockaddr *from)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)from;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)from;
    if (from->sa_family == AF_INET)
        return ntohl(v4->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    return from->sa_family == AF_INET6 &&
           (IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr) ||
            (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr) && v6->sin6_addr.s6_addr[12] == IN_LOOPBACKNET));
}

static void note_address(struct one *it, const struct sockaddr *from)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)from;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)from;
    it->local = connections_local(from);
    if (from->sa_family == AF_INET)
        memcpy(it->address + 12, &v4->sin_addr, 4);
    else if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
        memcpy(it->address + 12, v6->sin6_addr.s6_addr + 12, 4);
    else
        memcpy(it->address, &v6->sin6_addr, NETWORK_BYTES);
}

/* --- who has to go */

/* libmicrohttpd has no call for it: it closes a connection whose other side seems to be gone. */
static void cut(struct one *it)
{
    (void)shutdown(it->fd, SHUT_RDWR); /* fails where the other side is gone indeed */
    it->cut = true;
}

static struct one *oldest(struct connections *all, bool asked, bool local)
{
    for (struct one *it = TAILQ_FIRST(&all->open); it; it = TAILQ_NEXT(it, next))
        if (!it->cut && it->asked == asked && it->local == local)
            return it;
    return NULL;
}

static void make_room(struct connections *all)
{
    struct one *it = oldest(all, false, false);
    if (!it)
        it = oldest(all, false, true);
    if (!it)
        it = oldest(all, true, false);
    if (!it)
        it = oldest(all, true, true);
    if (it)
        cut(it);
}

/* One of the same address goes, where these are too many. */
static void make_room_of_address(struct connections *all, const struct one *newcomer)
{
    struct one *first = NULL, *first_silent = NULL;
    unsigned n = 0;
    for (struct one *it = TAILQ_FIRST(&all->open); it; it = TAILQ_NEXT(it, next)) {
        if (it->cut || memcmp(it->address, newcomer->address, sizeof it->address) != 0)
            continue;
        n++;
        first = first ? first : it;
        first_silent = first_silent || it->asked ? first_silent : it;
    }
    if (first && n >= all->limits.of_one_address)
        cut(first_silent ? first_silent : first);
}

bool connections_look(struct connections *all)
{
    int64_t now = clock_ms();
    for (struct one *it = TAILQ_FIRST(&all->open); it; it = TAILQ_NEXT(it, next))
        if (!it->cut && now - it->since >= (it->asked ? all->limits.answer_ms : all->limits.request_ms))
            cut(it);
    return all->n > 0;
}

/* --- what libmicrohttpd tells */

static void opened(struct connections *all, struct MHD_Connection *c, void **context)
{
    const union MHD_ConnectionInfo *fd = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    const union MHD_ConnectionInfo *from = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    struct one *it = fd && from ? calloc(1, sizeof *it) : NULL;
    *context = it;
    if (!it)
        return; /* without memory it cannot be cut off, and ends by itself */
    it->fd = fd->connect_fd;
    it->since = clock_ms();
    note_address(it, from->client_addr);
    if (!it->local)
        make_room_of_address(all, it);
    if (all->n >= all->limits.crowded)
        make_room(all);
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
    if (!it)
        return;
    it->asked = true;
    it->since = clock_ms();
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
    it->since = clock_ms();
    TAILQ_REMOVE(&all->open, it, next);
    TAILQ_INSERT_TAIL(&all->open, it, next);
}
