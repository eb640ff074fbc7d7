/* A node's place in a cluster, which it has to find before Qdrant starts (QDRANT_CLUSTER_DNS): what
 * `qdrant-replicator cluster-start` says in its one line, and what Qdrant is told of it. Qdrant (1.18.2,
 * src/main.rs) takes QDRANT_URI and QDRANT_BOOTSTRAP as it takes --uri and --bootstrap. */
#ifndef ENTRYPOINT_PLACE_H
#define ENTRYPOINT_PLACE_H
#include <stdbool.h>
#include <stddef.h>

enum { PLACE_LINE = 640 };
struct place {
    char uri[300];  /* where its peers reach it; empty: they know */
    char peer[300]; /* whom it joins; empty: nobody */
};
/* "run [URI]", "join URI PEER" or "found URI"; false: it is none of these. Pure. */
bool place_parse(const char *line, struct place *out);
/* In the child that becomes Qdrant. False with errno. */
bool place_tell(const struct place *p);
#endif
