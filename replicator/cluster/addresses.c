#include "replicator/cluster/addresses.h"
#include "common/base/cleanup.h"
#include "common/base/listens.h"
#include "common/base/peer_uri.h"
#include "common/config.h"
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static const char VARIABLE[] = "QDRANT_CLUSTER_DNS",
                  FORM[] = "names or addresses of the nodes, such as qdrant-0,qdrant-1,qdrant-2 or "
                           "qdrant.internal:6335, separated by commas";

static void addrinfo_freep(struct addrinfo **a)
{
    if (*a)
        freeaddrinfo(*a);
}
#define cleanup_addrinfo __attribute__((cleanup(addrinfo_freep)))
static void ifaddrs_freep(struct ifaddrs **a) { freeifaddrs(*a); }
#define cleanup_ifaddrs __attribute__((cleanup(ifaddrs_freep)))

static bool same(const struct sockaddr *a, const struct sockaddr *b)
{
    if (a->sa_family != b->sa_family)
        return false;
    if (a->sa_family == AF_INET)
        return memcmp(&((const struct sockaddr_in *)(const void *)a)->sin_addr,
                      &((const struct sockaddr_in *)(const void *)b)->sin_addr, sizeof(struct in_addr)) == 0;
    return a->sa_family == AF_INET6 &&
           memcmp(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr,
                  &((const struct sockaddr_in6 *)(const void *)b)->sin6_addr, sizeof(struct in6_addr)) == 0;
}

static bool is_of_list(const struct sockaddr *a, const struct addrinfo *list)
{
    for (; list; list = list->ai_next)
        if (same(a, list->ai_addr))
            return true;
    return false;
}

static bool is_of_this_machine(const struct sockaddr *a, const struct ifaddrs *interfaces)
{
    for (const struct ifaddrs *i = interfaces; i; i = i->ifa_next)
        if (i->ifa_addr && same(a, i->ifa_addr))
            return true;
    return false;
}

/* As it stands in an address: IPv6 in brackets. */
static bool number_of(const struct sockaddr *a, char out[128])
{
    char text[INET6_ADDRSTRLEN];
    const void *raw = a->sa_family == AF_INET
                          ? (const void *)&((const struct sockaddr_in *)(const void *)a)->sin_addr
                          : &((const struct sockaddr_in6 *)(const void *)a)->sin6_addr;
    return inet_ntop(a->sa_family, raw, text, sizeof text) &&
           snprintf(out, 128, a->sa_family == AF_INET6 ? "[%s]" : "%s", text) > 0;
}

/* 127.0.0.1 is an address of each machine, and what the link gave itself cannot be reached from another one.
 */
static bool reaches(const struct ifaddrs *i)
{
    if (!i->ifa_addr || (i->ifa_flags & IFF_LOOPBACK) || !(i->ifa_flags & IFF_UP))
        return false;
    if (i->ifa_addr->sa_family == AF_INET) {
        uint32_t n = ntohl(((const struct sockaddr_in *)(const void *)i->ifa_addr)->sin_addr.s_addr);
        return n >> 16 != (169U << 8 | 254U);
    }
    return i->ifa_addr->sa_family == AF_INET6 &&
           !IN6_IS_ADDR_LINKLOCAL(&((const struct sockaddr_in6 *)(const void *)i->ifa_addr)->sin6_addr);
}

/* *answered (may be NULL): the resolver said whether there is such a name. */
static struct addrinfo *resolve(const char *host, int flags, bool *answered)
{
    struct addrinfo how = {.ai_socktype = SOCK_STREAM, .ai_flags = flags}, *found = NULL;
    int rc = getaddrinfo(host, NULL, &how, &found);
    if (answered)
        *answered = rc == 0 || rc == EAI_NONAME || rc == EAI_NODATA || rc == EAI_ADDRFAMILY;
    return rc == 0 ? found : NULL;
}

static void put_uri(char out[300], const char *host, unsigned port, const struct cluster_port *how)
{
    (void)snprintf(out, 300, "http%s://%.255s:%u", how->tls ? "s" : "", host, port);
}

/* "HOST", "HOST:PORT", "[IPv6]:PORT"; an IPv6 address without a port has brackets as well. */
static bool split(const char *entry, size_t n, char host[256], unsigned *port)
{
    char text[320];
    const char *after = NULL;
    if (n == 0 || n >= sizeof text - 8)
        return false;
    (void)snprintf(text, sizeof text, "%.*s", (int)n, entry);
    const char *colon = strrchr(text, ':'), *bracket = strrchr(text, ']');
    if (!colon || (bracket && colon < bracket))
        (void)snprintf(text + n, sizeof text - n, ":%u", *port);
    if (!listens_split(text, host, 256, &after) || !*host)
        return false;
    *port = listens_port(after);
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    return *port > 0 && (strchr(host, ':') || strspn(host, letters) == strlen(host));
}

struct finder {
    const struct cluster_port *how;
    const struct ifaddrs *interfaces;
    const struct addrinfo *own; /* of the given address, or NULL */
    bool several;               /* the list has more than one entry, each of which may be a node's own name */
    struct cluster_addresses *out;
};

static void add(const struct finder *f, const char *host, unsigned port, bool own)
{
    struct cluster_addresses *out = f->out;
    char uri[300];
    put_uri(uri, host, port, f->how);
    for (size_t i = 0; i < out->n; i++)
        if (strcmp(out->v[i].uri, uri) == 0)
            return;
    if (own && !out->own[0])
        (void)snprintf(out->own, sizeof out->own, "%s", uri);
    if (out->n < ADDRESSES_MAX) {
        struct cluster_address *a = &out->v[out->n++];
        (void)snprintf(a->uri, sizeof a->uri, "%s", uri);
        a->own = own;
    }
}

/* One machine, as far as anybody can tell: it may have an address of each kind. */
static bool is_one(const struct addrinfo *found)
{
    for (const struct addrinfo *a = found; a; a = a->ai_next)
        for (const struct addrinfo *b = a->ai_next; b; b = b->ai_next)
            if (a->ai_family == b->ai_family && !same(a->ai_addr, b->ai_addr))
                return false;
    return true;
}

static void add_entry(const struct finder *f, const char *host, unsigned port)
{
    bool answered = false;
    cleanup_addrinfo struct addrinfo *found = resolve(host, 0, &answered);
    char number[128];
    bool one = f->several && is_one(found);
    for (const struct addrinfo *a = found; a; a = a->ai_next) {
        bool own = f->own ? is_of_list(a->ai_addr, f->own) : is_of_this_machine(a->ai_addr, f->interfaces);
        bool v6_number = strchr(host, ':') != NULL;
        if (number_of(a->ai_addr, number))
            add(f, one && !v6_number ? host : number, port, own);
    }
    char *note = found ? NULL : answered ? f->out->unknown : f->out->silent;
    if (note && !*note)
        (void)snprintf(note, sizeof f->out->unknown, "%s", host);
}

/* What has no name in the list: the first address of this machine that others may reach. */
static void add_own(const struct finder *f)
{
    char number[128];
    for (int family = AF_INET;; family = AF_INET6) {
        for (const struct ifaddrs *i = f->interfaces; i && !f->out->own[0]; i = i->ifa_next)
            if (reaches(i) && i->ifa_addr->sa_family == family && number_of(i->ifa_addr, number))
                put_uri(f->out->own, number, f->how->port, f->how);
        if (family == AF_INET6)
            return;
    }
}

/* Host and port of "scheme://host:port/"; false: it has none. */
static bool ends_of(const char *uri, char host[256], char port[8])
{
    const char *from = strstr(uri, "://"), *number;
    char text[300];
    (void)snprintf(text, sizeof text, "%.290s", from ? from + 3 : uri);
    text[strcspn(text, "/")] = 0;
    return listens_split(text, host, 256, &number) && (size_t)snprintf(port, 8, "%s", number) < 8;
}

static struct addrinfo *resolve_uri(const char *uri)
{
    char host[256], port[8];
    return ends_of(uri, host, port) ? resolve(host, 0, NULL) : NULL;
}

bool cluster_address_stays(const char *uri)
{
    char host[256], port[8];
    cleanup_ifaddrs struct ifaddrs *interfaces = NULL;
    if (!ends_of(uri, host, port))
        return false;
    cleanup_addrinfo struct addrinfo *number = resolve(host, AI_NUMERICHOST, NULL);
    return !number || (getifaddrs(&interfaces) == 0 && is_of_this_machine(number->ai_addr, interfaces));
}

bool cluster_uri_allowed(const char *uri)
{
    char host[256];
    unsigned port = 0; /* it has to name one */
    if (!peer_uri_is(uri))
        return false;
    const char *from = strstr(uri, "://") + 3;
    size_t n = strlen(from);
    return split(from, n > 0 && from[n - 1] == '/' ? n - 1 : n, host, &port);
}

static bool connects(const struct addrinfo *a, int within_ms)
{
    cleanup_close int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int error = 0;
    socklen_t size = sizeof error;
    if (fd < 0)
        return false;
    if (connect(fd, a->ai_addr, a->ai_addrlen) == 0)
        return true;
    return errno == EINPROGRESS && poll(&p, 1, within_ms) == 1 &&
           getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
}

bool cluster_address_listens(const char *uri, int within_ms)
{
    char host[256], port[8];
    struct addrinfo how = {.ai_socktype = SOCK_STREAM};
    if (!ends_of(uri, host, port))
        return false;
    cleanup_addrinfo struct addrinfo *found = NULL;
    if (getaddrinfo(host, port, &how, &found) != 0)
        return false;
    for (const struct addrinfo *a = found; a; a = a->ai_next)
        if (connects(a, within_ms))
            return true;
    return false;
}

int cluster_addresses_find(const char *list, const char *own, const struct cluster_port *port,
                           struct cluster_addresses *out, struct err *e)
{
    cleanup_ifaddrs struct ifaddrs *interfaces = NULL;
    cleanup_addrinfo struct addrinfo *given = *own ? resolve_uri(own) : NULL;
    /* A name of several machines says nothing of which of them is this one. */
    struct finder f = {.how = port,
                       .own = given && is_one(given) ? given : NULL,
                       .several = strchr(list, ',') != NULL,
                       .out = out};
    *out = (struct cluster_addresses){0};
    if (getifaddrs(&interfaces) == 0)
        f.interfaces = interfaces; /* else none is known to be ours */
    if (*own)
        (void)snprintf(out->own, sizeof out->own, "%s", own);
    for (const char *entry = list;;) {
        size_t n = strcspn(entry, ",");
        char host[256];
        unsigned at = port->port;
        if (!split(entry, n, host, &at))
            return config_wrong(e, VARIABLE, list, FORM);
        add_entry(&f, host, at);
        if (!entry[n])
            break;
        entry += n + 1;
    }
    out->guessed = !out->own[0];
    add_own(&f);
    return 0;
}
