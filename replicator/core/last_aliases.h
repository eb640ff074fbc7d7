/* The aliases that each collection had when Qdrant was last asked. A snapshot may be published after Qdrant
 * has gone, as at a stop: its manifest then tells these, since none would mean that there were none. Bounded.
 * Thread-safe. */
#ifndef REPLICATOR_CORE_LAST_ALIASES_H
#define REPLICATOR_CORE_LAST_ALIASES_H
#include "qdrant/client.h"
#include "qdrant/fingerprint.h"

enum { LAST_ALIASES_MAX = 16384 }; /* collections */
struct last_aliases;
struct last_aliases *last_aliases_new(void); /* NULL without memory */
void last_aliases_free(struct last_aliases *l);

/* Ask Qdrant, and remember. False when it does not answer; what is remembered then stays. Without
 * memory for it the collection is forgotten. */
bool last_aliases_look(struct last_aliases *l, struct qdrant *q, const char *collection);
/* Remember what somebody else asked for. Without memory for it the collection is forgotten. */
void last_aliases_put(struct last_aliases *l, const char *collection, const struct aliases *a);
/* False, and `out` is untouched, when nothing is remembered. */
bool last_aliases_get(struct last_aliases *l, const char *collection, struct aliases *out);
#endif
