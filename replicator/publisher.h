/* What the workers do: one call a job, on whatever thread. Each may hang with EFS. Reports what it did in
 * the log and in the counts; decides nothing about when and what. */
#ifndef REPLICATOR_PUBLISHER_H
#define REPLICATOR_PUBLISHER_H
#include "replicator/context.h"
#include "replicator/workers.h"

struct publisher {
    struct context *context;
    const atomic_bool *stop;   /* set: give up at the next chunk */
    _Atomic int64_t ask_after; /* Qdrant did not answer: monotonic second before which not to ask again */
};
/* Check (an upload), copy, compare, publish; then prune its folder. Sets j->outcome and j->sha256. */
void publisher_publish(struct publisher *p, struct job *j, struct counts *c);
/* Apply retention to one folder on EFS. */
void publisher_prune(struct publisher *p, const char *folder, struct counts *c);
/* Delete a published snapshot from the local disk, if it still is the one that j->stamp says. Sets
 * j->postponed when Qdrant is making a snapshot: it may be a full-storage one, which needs this file. */
void publisher_delete_local(struct publisher *p, struct job *j, struct counts *c);
/* The same, and tell the ledger what is there. */
void publisher_survey(struct publisher *p, const char *folder, struct counts *c);
/* Is EFS there and may we write to it? Says so when not. Also lists the folders of our tree. */
bool publisher_probe(struct publisher *p, char ***folders, size_t *n);
#endif
