/* Who founds the cluster: {tree}/cluster/{word}-{n}.json, a claim, of which each name is given once, by
 * link(2); and {word}-{n}.founded.json beside it once somebody has seen that cluster have a leader. The word
 * is "first", or an operator's, who says by it that an earlier cluster is gone.
 *
 * An empty Qdrant that is started without the address of a peer founds a cluster (1.18.2, src/main.rs). Two
 * that do so at the same time, or one that comes back empty, would be two clusters of one name, each with a
 * part of the points. So a node founds by a claim alone, and never by what it cannot reach: a peer that does
 * not answer may be there all the same.
 *
 * A claim is of a disk, not of a name: of the token on it. Whoever restarts with that disk goes on; when the
 * disk is lost before the cluster was there, the claim is taken over by the next number once it is old, by
 * the clock of EFS's server. Claims are not signed: one more of them can only keep a cluster from being
 * founded. Every call may hang with EFS. */
#ifndef EFS_REPO_FOUNDING_H
#define EFS_REPO_FOUNDING_H
#include "common/base/err.h"
#include <stdbool.h>

#define FOUNDING_FIRST "first"
enum { FOUNDING_STALE = 180 }; /* seconds: whoever has a claim founds within some; and see founding_look */
enum founding_state {
    FOUNDING_UNKNOWN, /* EFS has not told */
    FOUNDING_FREE,    /* there is no claim, and nothing of an earlier cluster that counts */
    FOUNDING_EARLIER, /* the tree has backups, or claims of other words: founding takes an operator's word */
    FOUNDING_OURS,    /* the claim is ours, and young: found */
    FOUNDING_OTHERS,  /* another node has it */
    FOUNDING_LEFT,    /* whoever has it did not found for FOUNDING_STALE seconds; or it is ours, and old */
    FOUNDING_DONE,    /* that cluster was founded */
};
struct founder {
    const char *root, *base; /* EFS_ROOT and the tree in it */
    const char *word;
    const char *token;      /* of this disk */
    const char *node, *uri; /* for people; may be empty */
};
struct founding {
    enum founding_state state;
    unsigned n;     /* of the newest claim of this word; 0: there is none */
    char node[128]; /* who has it */
    char uri[300];
};
/* Ours is young for half of FOUNDING_STALE: whoever has it must have founded long before others take over. */
int founding_look(const struct founder *me, struct founding *out, struct err *e);
/* Take the claim behind `at`, which is FOUNDING_FREE or FOUNDING_LEFT. 0: it is ours; 1: another was first.
 */
int founding_claim(const struct founder *me, const struct founding *at, struct err *e);
/* A cluster with a leader was seen: all claims there are done with. `peer`: who has seen it. */
int founding_seen(const char *root, const char *base, const char *node, const char *peer, struct err *e);
/* The parts of a name in that folder; false: it is none of ours. Pure. */
bool founding_name(const char *name, char word[72], unsigned *n, bool *founded);
#endif
