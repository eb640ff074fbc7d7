/* Whose backup is it? A node with a NODE_NAME keeps it for ever. One without comes back with another peer id
 * each time its task is replaced, so that the peers of one node are a chain: each begins where the one before
 * it ended. Peers that live side by side are different nodes. Pure functions. */
#ifndef EFS_REPO_NODE_H
#define EFS_REPO_NODE_H
#include <stddef.h>
#include <time.h>

/* During a deployment the old task and the new one run side by side for a while. */
enum { NODE_OVERLAP = 2 * 3600 };
struct node_peer {
    const char *peer;
    time_t first, last; /* its oldest and its newest backup */
    unsigned chain;     /* out: from 0, that of the newest backup of all */
    time_t end;         /* out: of the first one of a chain when that chain ended, else 0 */
};
/* Put each peer into the chain that ended last before it began; into one of its own when none has ended. The
 * peers come back in another order. */
void node_chains(struct node_peer *v, size_t n);
#endif
