/* For how long `qdrant-replicator snapshot` says that what it had made is kept: by the policy of whoever
 * prunes, not by this shell's. */
#ifndef REPLICATOR_SNAPSHOT_SNAPSHOT_COMMAND_KEPT_H
#define REPLICATOR_SNAPSHOT_SNAPSHOT_COMMAND_KEPT_H
#include "efs/repo/retention.h"

struct cJSON;
/* The running replicator's, from its status document; `out` stays as it is where that does not tell it. */
void snapshot_command_policy(const struct cJSON *status, struct retention *out);
/* One line about `n` backups of that tier, the oldest of them of that slot. */
enum { SNAPSHOT_COMMAND_KEPT = 400 };
void snapshot_command_kept(const struct retention *r, enum frequency frequency, unsigned n, time_t slot,
                           char out[SNAPSHOT_COMMAND_KEPT]);
#endif
