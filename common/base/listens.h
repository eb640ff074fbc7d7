/* Where Qdrant listens, as its own variables say: one reading for the health check and for the replicator.
 * What its configuration files say became variables before (qdrant/config_files.h). libc alone, since the
 * health check is the entrypoint's. */
#ifndef COMMON_BASE_LISTENS_H
#define COMMON_BASE_LISTENS_H
#include <stdbool.h>
#include <stddef.h>

/* getenv, or a test's. */
typedef const char *listens_lookup(const char *name);
struct listens {
    const char *host, *port; /* as they are written; unset or empty: Qdrant's defaults, 0.0.0.0 and 6333 */
    bool tls;
};
void listens_read(struct listens *l, listens_lookup *get);
/* The number of a port, 1 to 65535; else 0. */
unsigned listens_port(const char *text);
/* "host:port", "[host]:port" with an IPv6 address, ":port" for 127.0.0.1: the host without brackets, and
 * where the port begins. "localhost" is 127.0.0.1, not what a resolver says, which may wait for DNS. False:
 * it is no such text; whether host and port are numbers is the caller's to ask. */
bool listens_split(const char *text, char *host, size_t size, const char **port);
/* Is the host of an http:// or https:// address this machine, by its name or its number? */
bool listens_on_loopback(const char *url);
/* What Qdrant takes for true (config-rs, Value::into_bool). Anything else that it takes is false, and with
 * what it does not take it does not start. */
bool listens_true(const char *value);
#endif
