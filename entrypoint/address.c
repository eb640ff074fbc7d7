#include "entrypoint/address.h"
#include "common/base/listens.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

uint16_t address_port(const char *text) { return (uint16_t)listens_port(text); }

static void make_v4(struct address *a, struct in_addr host, uint16_t port)
{
    char text[INET_ADDRSTRLEN] = "?";
    if (host.s_addr == htonl(INADDR_ANY))
        host.s_addr = htonl(INADDR_LOOPBACK);
    a->to.v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = host};
    a->length = sizeof a->to.v4;
    (void)inet_ntop(AF_INET, &host, text, sizeof text); /* has room for every address */
    (void)snprintf(a->text, sizeof a->text, "%s:%u", text, port);
}

static void make_v6(struct address *a, struct in6_addr host, uint16_t port)
{
    char text[INET6_ADDRSTRLEN] = "?";
    a->dual = IN6_IS_ADDR_UNSPECIFIED(&host);
    if (a->dual)
        host = in6addr_loopback;
    a->to.v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = host};
    a->length = sizeof a->to.v6;
    (void)inet_ntop(AF_INET6, &host, text, sizeof text);
    (void)snprintf(a->text, sizeof a->text, "[%s]:%u", text, port);
}

bool address_make(struct address *a, const char *host, uint16_t port)
{
    char bare[INET6_ADDRSTRLEN];
    struct in_addr v4;
    struct in6_addr v6;
    size_t n = strlen(host);
    bool brackets = n >= 2 && host[0] == '[' && host[n - 1] == ']';
    *a = (struct address){0};
    if (brackets) {
        host++;
        n -= 2;
    }
    if (n >= sizeof bare || port == 0)
        return false;
    memcpy(bare, host, n);
    bare[n] = '\0';
    if (inet_pton(AF_INET6, bare, &v6) == 1)
        make_v6(a, v6, port);
    else if (!brackets &&
             inet_pton(AF_INET, strcasecmp(bare, "localhost") == 0 ? "127.0.0.1" : bare, &v4) == 1)
        make_v4(a, v4, port);
    else
        return false;
    return true;
}

bool address_parse(struct address *a, const char *text)
{
    char host[INET6_ADDRSTRLEN + 2];
    const char *port;
    return listens_split(text, host, sizeof host, &port) && address_make(a, host, address_port(port));
}
