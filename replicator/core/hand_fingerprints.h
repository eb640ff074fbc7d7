/* Fingerprints of snapshots that `qdrant-replicator snapshot` has made, on their way to the replicator that
 * publishes them, which is another process: SNAPSHOTS_DIR/{collection}/.{snapshot}.print, a JSON object as in
 * a manifest. Qdrant lists files named *.snapshot alone, and the watch takes no others. */
#ifndef REPLICATOR_CORE_HAND_FINGERPRINTS_H
#define REPLICATOR_CORE_HAND_FINGERPRINTS_H
#include "replicator/core/snapshot_fingerprints.h"

/* While this is open, snapshots are being made by hand. -1: it cannot be; fingerprints may then come late. */
int hand_fingerprints_open(const char *snapshots_dir);
/* False: the folder does not take it, and the snapshot has no fingerprint. */
bool hand_fingerprints_put(const char *snapshots_dir, const char *collection, const char *stem,
                           const struct content *c);
/* Take it out; waits at most SNAPSHOT_FINGERPRINTS_WAIT_MS while snapshots are being made by hand. False:
 * there is none. */
bool hand_fingerprints_take(const char *snapshots_dir, const char *collection, const char *stem,
                            const atomic_bool *stop, struct content *out);
#endif
