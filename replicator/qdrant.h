/* The little that the replicator asks of Qdrant's REST API. Blocking, bounded in time. */
#ifndef REPLICATOR_QDRANT_H
#define REPLICATOR_QDRANT_H
#include "efs/name.h"
#include "efs/settings.h"
/* Have Qdrant delete a snapshot, so that its own listing stays true. Returns the HTTP status, or 0 when
 * Qdrant cannot be reached. The API key goes to QDRANT_URL alone: redirects are not followed. */
long qdrant_delete_snapshot(const struct settings *s, const struct source *snapshot);
#endif
