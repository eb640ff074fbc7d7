/* Fingerprints of the snapshots that were just made, until they are published: whoever has a snapshot made
 * puts them in, whoever writes its manifest takes them out. Bounded; the oldest go first. Thread-safe. */
#ifndef REPLICATOR_PRINTS_H
#define REPLICATOR_PRINTS_H
#include "qdrant/client.h"
#include "qdrant/fingerprint.h"

enum { PRINTS_MAX = 4096, PRINTS_WAIT_MS = 5000 };
struct prints;
struct prints *prints_new(void); /* NULL without memory */
void prints_free(struct prints *p);

/* A snapshot of the collection is going to be made: look at what it holds. NULL without memory; a failure is
 * told once until the next success, and is no reason to make none. Each begin needs its end. */
struct print_pair;
struct print_pair *prints_begin(struct prints *p, struct qdrant *q, const char *collection);
/* It was made: look again, and keep what was seen under its name ("...snapshot"). `name` NULL: it was not
 * made. `pair` may be NULL. */
void prints_end(struct prints *p, struct qdrant *q, struct print_pair *pair, const char *name);

struct content {
    struct fingerprint fingerprint;
    struct aliases aliases;
};
/* What is known of a snapshot (without ".snapshot"), and forget it. A snapshot is on the disk a moment before
 * its maker knows: then waits for it, at most PRINTS_WAIT_MS. False: nothing. */
bool prints_take(struct prints *p, const char *collection, const char *stem, const atomic_bool *stop,
                 struct content *out);
#endif
