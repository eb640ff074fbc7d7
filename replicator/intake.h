/* Which snapshots are finished, and what becomes of each: waits for Qdrant's .checksum (or, for an
 * upload, for quiet), hands it to the workers, retries, and lets published ones go locally. Not
 * thread-safe: the watcher's thread owns it. Times are milliseconds of the monotonic clock. */
#ifndef REPLICATOR_INTAKE_H
#define REPLICATOR_INTAKE_H
#include "replicator/ledger.h"
#include "replicator/workers.h"

struct intake;
struct intake *intake_new(const struct settings *s, struct workers *w, bool once);
void intake_free(struct intake *in);
/* Something happened to the snapshot at `relative`: look at it again after it has settled. A full-storage
 * snapshot takes finished ones away milliseconds later, so nothing is copied at once. */
void intake_note(struct intake *in, const char *relative, int64_t now);
void intake_forget(struct intake *in, const char *relative);
/* A full scan: each snapshot found goes to intake_found, what is not found is forgotten at the end. With
 * `reconcile`, those that were dealt with before are compared with EFS again: someone may have moved them
 * away there. */
void intake_scan_begin(struct intake *in, bool reconcile);
void intake_found(struct intake *in, const char *relative, int64_t now);
void intake_scan_end(struct intake *in);
/* Take results, start what is due. Returns when to call again, -1 for "not before an event". */
int64_t intake_step(struct intake *in, int64_t now);
/* For the ledger. */
struct ledger_queue intake_queue(const struct intake *in);
bool intake_busy(const struct intake *in);       /* anything waiting or with the workers */
unsigned intake_unsafe(const struct intake *in); /* snapshots present that are not safely published */
#endif
