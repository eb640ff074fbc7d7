/* What all parts of the daemon share. Filled by main before the first thread starts, and only read from then
 * on. */
#ifndef REPLICATOR_CORE_CONTEXT_H
#define REPLICATOR_CORE_CONTEXT_H
#include "efs/repo/settings.h"
#include "qdrant/client.h"
#include "replicator/core/options.h"
#include <stdatomic.h>

struct disk;
struct status;
struct ecs_task_source;
struct s3_upload;
struct snapshot_fingerprints;
struct heartbeat_writer;
/* What the entrypoint says of Qdrant (replicator/restore/restore_on_empty.h). */
enum qdrant_gate {
    GATE_NONE,   /* there is no entrypoint */
    GATE_OPEN,   /* Qdrant runs: its storage has collections, or this disk was dealt with before */
    GATE_CLOSED, /* Qdrant is held back until gate_fd is told to let it in */
};
struct context {
    struct settings settings;
    struct qdrant_settings qdrant_settings;
    struct options options;
    struct key *key;
    struct qdrant *qdrant;
    struct status *status;
    struct disk *disk;                          /* the local one, and how full it is */
    struct ecs_task_source *ecs_task;           /* who we are on ECS, once that is known */
    struct s3_upload *s3_upload;                /* the second target; NULL: none */
    struct snapshot_fingerprints *fingerprints; /* of the snapshots just made; NULL: FINGERPRINT=off */
    struct last_aliases *last_aliases;          /* of each collection */
    struct heartbeat_writer *heartbeat_writer;  /* what is on EFS, for the second Region; NULL: --once */
    atomic_bool efs_scanned;                    /* the status knows what is on EFS */
    atomic_bool efs_local;                      /* EFS is not mounted (efs_check.h): nothing there is safe */
    atomic_bool restore_pending; /* a restore at boot is not over: no snapshots on schedule, nothing is
                                    pruned, no drills */
    atomic_bool healing;         /* this node heals the cluster */
    enum qdrant_gate gate;       /* changed by the restore at boot alone */
    int gate_fd;
    atomic_bool ending; /* a stop has begun: the schedule makes its last snapshots, nothing else is begun */
    atomic_bool stop;
};
#endif
