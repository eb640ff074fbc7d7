/* Where the nodes of the cluster may be, by QDRANT_CLUSTER_DNS, and which of these addresses is this node's.
 * A name is resolved anew each time: it may stand for one node, as in compose, or for all of them, as in
 * Cloud Map and with a headless service of Kubernetes. Blocks for as long as the resolver does. */
#ifndef REPLICATOR_CLUSTER_ADDRESSES_H
#define REPLICATOR_CLUSTER_ADDRESSES_H
#include "common/base/err.h"
#include <stdbool.h>
#include <stddef.h>

enum { ADDRESSES_MAX = 64 };
struct cluster_addresses {
    struct cluster_address {
        char uri[300]; /* for the peers, with the port that they use */
        bool own;
    } v[ADDRESSES_MAX];
    size_t n;
    char own[300];     /* of this node; empty: it has no address that others can reach */
    bool guessed;      /* nothing in the list is this node: `own` is the machine's first address */
    char unknown[256]; /* the first name that nobody knows; empty: there is none */
    char silent[256];  /* the first name of which the resolver did not tell whether it is known */
};
struct cluster_port {
    unsigned port; /* that peers use, where the list names none */
    bool tls;
};
/* `list`: HOST[:PORT], separated by commas. `own`: this node's address, where somebody has said it
 * (QDRANT_URI), or empty. In a list of several a name that stands for one machine stays a name: addresses are
 * lent, names are kept. A list of one is a name of all nodes, of which only one may be there yet. -1: the
 * list is wrong. */
int cluster_addresses_find(const char *list, const char *own, const struct cluster_port *port,
                           struct cluster_addresses *out, struct err *e);
/* Is it http:// or https://, HOST:PORT, and nothing more? */
bool cluster_uri_allowed(const char *uri);
/* Does anything take a connection there, within so many milliseconds? */
bool cluster_address_listens(const char *uri, int within_ms);
/* Does `uri` name a host, or an address of this machine? Resolves nothing. */
bool cluster_address_stays(const char *uri);
#endif
