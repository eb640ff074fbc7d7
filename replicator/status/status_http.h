/* What people and probes ask the replicator over HTTP: / is a page for people, /status the document, /metrics
 * Prometheus' text, /health 200 or 503, /restored 200 unless an empty disk is still to be restored. Read-only
 * and without a password: it listens on the loopback, and whoever opens it to others (STATUS_LISTEN) shows
 * them the names of the collections, under names of ours alone (host_name.h). Answers come from memory alone,
 * so that a hung EFS or Qdrant delays none. With a token (STATUS_TOKEN_FILE) whoever is not on this machine
 * has to send it, as a bearer or as the password of any user; without it /health and /restored give their
 * code alone, for load balancers. */
#ifndef REPLICATOR_STATUS_STATUS_HTTP_H
#define REPLICATOR_STATUS_STATUS_HTTP_H
#include "common/base/err.h"
#include "replicator/status/state.h"

struct status_http;
enum { STATUS_TOKEN_MAX = 512, STATUS_HOSTS_MAX = 1024 };
struct status_http_options {
    const char *listen; /* STATUS_LISTEN: "127.0.0.1:6336", "[::1]:6336", "localhost:6336", "0.0.0.0:6336".
                           Without a host: the loopback. Port 0: any that is free. */
    const char *token;  /* of STATUS_TOKEN_FILE; NULL or empty: everybody may ask */
    const char *node;   /* the host name in QDRANT_FQDN; NULL or empty: none */
    const char *hosts;  /* STATUS_HOSTS: more names that it answers to; NULL or empty: none */
};
/* Is that an address to listen on? Opens nothing. */
int status_http_check(const char *listen, struct err *e);
/* NULL with the reason; the caller goes on without. The status must outlive it. */
struct status_http *status_http_start(const struct status_http_options *o, struct status *l, struct err *e);
unsigned status_http_port(const struct status_http *s); /* that it listens on */
void status_http_stop(struct status_http *s);           /* NULL is fine */
#endif
