/* Fingerprints of the snapshots that were just made, until they are published: whoever has a snapshot made
 * puts them in, whoever writes its manifest takes them out. Bounded; the oldest go first. Thread-safe. */
#ifndef REPLICATOR_CORE_SNAPSHOT_FINGERPRINTS_H
#define REPLICATOR_CORE_SNAPSHOT_FINGERPRINTS_H
#include "qdrant/client.h"
#include "qdrant/fingerprint.h"

enum { SNAPSHOT_FINGERPRINTS_MAX = 4096, SNAPSHOT_FINGERPRINTS_WAIT_MS = 5000 };
struct snapshot_fingerprints;
struct snapshot_fingerprints *snapshot_fingerprints_new(void); /* NULL without memory */
void snapshot_fingerprints_free(struct snapshot_fingerprints *p);

/* A snapshot of the collection is going to be made: look at what it holds. NULL without memory; a failure is
 * told once for each collection until the next success, and is no reason to make none. Each begin needs its
 * end. */
struct content_digest_pair;
struct content_digest_pair *snapshot_fingerprints_begin(struct snapshot_fingerprints *p, struct qdrant *q,
                                                        const char *collection);
/* It was made: look again, and keep what was seen under its name, with the `aliases` that the collection had
 * before, as far as they are known. `made` NULL: it was not made. `pair` may be
 * NULL. */
void snapshot_fingerprints_end(struct snapshot_fingerprints *p, struct qdrant *q,
                               struct content_digest_pair *pair, const struct aliases *aliases,
                               const struct qdrant_snapshot *made);

struct content {
    struct fingerprint fingerprint;
    struct aliases aliases;
    char sha256[65]; /* of that snapshot, as Qdrant told; may be empty. Two that are made within one second
                        have one name */
};
/* What is known of a snapshot (without ".snapshot"), and forget it. A snapshot is on the disk a moment before
 * its runner knows: then waits for it, at most SNAPSHOT_FINGERPRINTS_WAIT_MS. False: nothing. */
bool snapshot_fingerprints_take(struct snapshot_fingerprints *p, const char *collection, const char *stem,
                                const atomic_bool *stop, struct content *out);
#endif
