/* What Qdrant's storage folder says of its part in a cluster: {storage}/raft_state.json (1.18.2,
 * lib/storage/src/content_manager/consensus/persistent.rs). Qdrant writes it at its first start, also without
 * a cluster and before it has joined one; a node belongs to a cluster from the first term of an election on
 * (its is_new_deployment). */
#ifndef QDRANT_RAFT_STATE_H
#define QDRANT_RAFT_STATE_H
#include "common/base/err.h"
#include <stdbool.h>

struct raft_state {
    bool there;
    char peer_id[24];
    bool member;   /* it has been in a cluster, and takes its part in it again by itself */
    bool alone;    /* not so, but it counts itself among the voters: it would found a cluster */
    char uri[300]; /* where its peers know it; empty: nowhere */
};
/* 0: read, or there is none, which is all false. -1: it cannot be read, or made out. */
int raft_state_read(const char *storage, struct raft_state *out, struct err *e);
/* The same from its text; `path` is for errors. */
int raft_state_parse(const char *text, const char *path, struct raft_state *out, struct err *e);
#endif
