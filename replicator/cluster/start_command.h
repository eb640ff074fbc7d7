/* `qdrant-replicator cluster-start`: how is this node of a cluster to start? The entrypoint runs it before
 * Qdrant, with QDRANT_CLUSTER_DNS set, and hears one line on its stdout:
 *
 *     run [URI]        with the disk that is there
 *     join URI PEER    the cluster of that peer
 *     found URI        a cluster
 *
 * URI is where the peers reach this node. It waits for as long as none of these is right, and says why in the
 * log. Afterwards it stays until this node has seen a leader, and leaves on EFS that the cluster is there. */
#ifndef REPLICATOR_CLUSTER_START_COMMAND_H
#define REPLICATOR_CLUSTER_START_COMMAND_H
/* Returns an exit code, or does not return: a thread may hang with EFS. */
int start_command_run(void);
#endif
