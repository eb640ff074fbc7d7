/* Where to connect to, from text. Numbers only, and "localhost" for 127.0.0.1: a name would need the
 * resolver, which reads files and hangs when DNS does. A wildcard (0.0.0.0, ::) is what a server listens on;
 * whoever asks that server asks its loopback. */
#ifndef ENTRYPOINT_ADDRESS_H
#define ENTRYPOINT_ADDRESS_H
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } to;
    socklen_t length;
    bool dual;                        /* it was ::, which serves IPv4 too: 127.0.0.1 is the same server */
    char text[INET6_ADDRSTRLEN + 10]; /* "127.0.0.1:6333", "[::1]:6333", as the Host header wants it */
};

/* `host` as a server's setting names it, "::" or "[::]". False when it is no number and not localhost. */
bool address_make(struct address *a, const char *host, uint16_t port);
/* "host:port", "[host]:port", or ":port" for 127.0.0.1, as the replicator reads STATUS_LISTEN. */
bool address_parse(struct address *a, const char *text);
/* 1 to 65535, else 0. */
uint16_t address_port(const char *text);
#endif
