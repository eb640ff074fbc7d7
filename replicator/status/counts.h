/* What became of the snapshots that were handed to EFS. The workers count, and the status document tells. */
#ifndef REPLICATOR_STATUS_COUNTS_H
#define REPLICATOR_STATUS_COUNTS_H

struct counts { /* since the start */
    unsigned long long published, bytes, stored, same, expired, vanished, mismatch, conflict, refused, failed,
        pruned, deleted;
};
#endif
