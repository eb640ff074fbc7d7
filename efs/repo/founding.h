/* Who founds a cluster: claims below {EFS_ROOT}/clusters/{TIER}/, numbered from 1, for all trees of a TIER.
 *
 *     {n}.json             the claim, of which each name is given once, by link(2)
 *     {n}.telling.json     whoever has it is about to tell Qdrant to found: from now on a cluster may be
 * there {n}.founded.json     somebody has seen a leader: it is there used-{word}.json     an operator's word
 * that was given and not needed
 *
 * An empty Qdrant that is started without the address of a peer founds a cluster (1.18.2, src/main.rs). Two
 * that do so at the same time, or one that comes back empty, would be two clusters of one name, each with a
 * part of the points. So a node founds by a claim alone, and never by what it cannot reach: a peer that does
 * not answer may be there all the same. Where a cluster was founded, or may have been, the next claim takes
 * an operator's word that it is gone, and each word counts once.
 *
 * A claim is of a disk, not of a name: of the token on it. Whoever restarts with that disk goes on. One whose
 * holder left before it told is taken over by the next number, once it is old by the clock of EFS's server.
 * Two that pass each other there leave marks first and look then, so that at most one goes on. Claims are not
 * signed: one more of them can only keep a cluster from being founded. Every call may hang with EFS. */
#ifndef EFS_REPO_FOUNDING_H
#define EFS_REPO_FOUNDING_H
#include "common/base/err.h"
#include "common/base/utc.h"
#include <stdbool.h>

enum {
    FOUNDING_STALE = 180, /* seconds, after which a claim is taken over; its holder leaves off at half */
    FOUNDING_YOUNG = 60,  /* so long after telling a founder is most likely still starting */
};
enum founding_state {
    FOUNDING_UNKNOWN, /* EFS has not told */
    FOUNDING_FREE,    /* there is nothing of an earlier cluster, or the word says that it is gone */
    FOUNDING_EARLIER, /* a tree of this TIER has backups, and there is no word */
    FOUNDING_OURS,    /* the newest claim is ours, and young: tell, then found */
    FOUNDING_TELLING, /* ... and told by us, and by nobody else: found */
    FOUNDING_OTHERS,  /* another node has it, and is young */
    FOUNDING_LEFT,    /* whoever has it did not tell for so long */
    FOUNDING_MAYBE,   /* another node has told; whether a cluster came of it nobody has left */
    FOUNDING_DONE,    /* that cluster was founded */
    FOUNDING_USED,    /* the same, or MAYBE, and the word that was given was used before */
};
struct founder {
    const char *root, *tier; /* EFS_ROOT, TIER */
    const char *word;        /* an operator's; empty: none */
    const char *token;       /* of this disk */
    const char *node, *uri;  /* for people; may be empty */
};
struct founding {
    enum founding_state state;
    unsigned n;          /* of the newest claim; 0: there is none */
    char node[128];      /* who has it */
    char uri[300];       /* where */
    char when[UTC_TEXT]; /* claimed; "?": not known */
    bool young;          /* of FOUNDING_MAYBE, by our own clock: told a moment ago. For words alone */
};
int founding_look(const struct founder *me, struct founding *out, struct err *e);
/* Take the number behind `at`, which is FOUNDING_FREE or FOUNDING_LEFT. 0: it is ours; 1: another was first.
 */
int founding_claim(const struct founder *me, const struct founding *at, struct err *e);
/* Of `at`, which is FOUNDING_OURS. Found only if a look after it says FOUNDING_TELLING. */
int founding_tell(const struct founder *me, const struct founding *at, struct err *e);
/* A cluster with a leader was seen: the newest claim is done with, and so is the word. `peer`: by whom. */
int founding_seen(const struct founder *me, const char *peer, struct err *e);

enum founding_file { FOUNDING_CLAIM, FOUNDING_TOLD_FILE, FOUNDING_FOUNDED_FILE };
/* The parts of a name in that folder; false: it is none with a number. Pure. */
bool founding_name(const char *name, unsigned *n, enum founding_file *what);
#endif
