/* Which node heals a cluster: claims below {EFS_ROOT}/clusters/{TIER}/heals/, numbered from 1. A number is
 * given once, by link(2). Whoever has the newest one heals, for as long as he renews it, and then leaves
 * {n}.done.json. One that is not renewed for HEAL_CLAIM_STALE by the clock of EFS's server is taken over by
 * the next number. Every call may hang with EFS. */
#ifndef EFS_REPO_HEAL_CLAIM_H
#define EFS_REPO_HEAL_CLAIM_H
#include "common/base/err.h"
#include <stdbool.h>

enum { HEAL_CLAIM_STALE = 180 }; /* seconds */
struct heal_claim {
    const char *root, *tier, *node; /* EFS_ROOT, TIER, NODE_NAME */
    unsigned n;                     /* of the claim that is ours; 0: none */
    char other[128];                /* who has it, when it is not ours */
};
/* 1: it is ours; 0: another node has it; -1. */
int heal_claim_take(struct heal_claim *c, struct err *e);
/* 1: it still is, and is young again; 0: another node has taken over; -1. */
int heal_claim_renew(struct heal_claim *c, struct err *e);
int heal_claim_end(struct heal_claim *c, struct err *e);
#endif
