/* What all parts of the daemon share. Filled by main before the first thread starts, and only read from then
 * on. */
#ifndef REPLICATOR_CONTEXT_H
#define REPLICATOR_CONTEXT_H
#include "efs/settings.h"
#include "qdrant/client.h"
#include "replicator/ledger.h"
#include "replicator/options.h"
#include <stdatomic.h>

struct identity;
struct offsite;
struct prints;
struct pulse;
struct context {
    struct settings settings;
    struct qdrant_settings qdrant_settings;
    struct options options;
    struct key *key;
    struct qdrant *qdrant;
    struct ledger *ledger;
    struct identity *identity; /* who we are on ECS, once that is known */
    struct offsite *offsite;   /* the second target; NULL: none */
    struct prints *prints;     /* of the snapshots just made; NULL: FINGERPRINT=off */
    struct pulse *pulse;       /* what is on EFS, for the second Region; NULL: --once */
    atomic_bool surveyed;      /* the ledger knows what is on EFS */
    atomic_bool
        hold; /* a restore at boot is not over: no snapshots on schedule, nothing is pruned, no drills */
    atomic_bool stop;
};
#endif
