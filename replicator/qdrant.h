/* The little that the replicator asks of Qdrant's REST API. Blocking, bounded in time and size. The API key
 * goes to QDRANT_URL alone: redirects are not followed, proxies not used. Replies as seen on 1.18.2. */
#ifndef REPLICATOR_QDRANT_H
#define REPLICATOR_QDRANT_H
#include "efs/manifest.h"
#include "efs/settings.h"
/* Have Qdrant delete a snapshot, so that its own listing stays true. Returns the HTTP status, or 0 when
 * Qdrant cannot be reached. */
long qdrant_delete_snapshot(const struct settings *s, const struct source *snapshot);
/* Is Qdrant making a snapshot of anything? A full-storage snapshot first makes those of all collections, one
 * after the other, and needs them all at its end. False also when it does not tell. */
bool qdrant_snapshot_running(const struct settings *s);
/* Fill in Qdrant's version and the collection's point count, as far as Qdrant tells. False when it cannot be
 * reached: then better not ask again for a while. */
bool qdrant_describe(const struct settings *s, struct manifest *m);
#endif
