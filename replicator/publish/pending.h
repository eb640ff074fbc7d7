/* Which snapshots are finished, and what becomes of each: waits for Qdrant's .checksum (or, for an
 * upload, for quiet), hands it to the workers, retries, and lets published ones go locally; others, too,
 * when EFS does not take them and Qdrant needs the room (disk_rule.h). Not thread-safe: the watcher's thread
 * owns it. Times are milliseconds of the monotonic clock. */
#ifndef REPLICATOR_PUBLISH_PENDING_H
#define REPLICATOR_PUBLISH_PENDING_H
#include "replicator/core/disk.h"
#include "replicator/status/state.h"
#include "replicator/publish/jobs.h"

struct pending;
struct pending *pending_new(const struct settings *s, struct jobs *w, struct status *l, struct disk *d,
                            bool once);
void pending_free(struct pending *in);
/* Something happened to the snapshot at `relative`: look at it again after it has settled. A full-storage
 * snapshot takes finished ones away milliseconds later, so nothing is copied at once. */
void pending_note(struct pending *in, const char *relative, int64_t now);
void pending_forget(struct pending *in, const char *relative);
/* A full scan: each snapshot found goes to pending_found, what is not found is forgotten at the end. With
 * `reconcile`, those that were dealt with before are compared with EFS again: someone may have moved them
 * away there. */
void pending_scan_begin(struct pending *in, bool reconcile);
void pending_found(struct pending *in, const char *relative, int64_t now);
void pending_scan_end(struct pending *in);
/* Take results, start what is due. Returns when to call again, -1 for "not before an event". */
int64_t pending_step(struct pending *in, int64_t now);
/* For the status. */
struct status_queue pending_queue(const struct pending *in);
bool pending_busy(const struct pending *in); /* anything waiting or with the workers */
/* A stop was asked for: what Qdrant has finished goes to the workers at once, and is tried again soon.
 * Uploads are not waited for: without Qdrant nobody can tell what they are. Nothing is deleted locally. */
void pending_hurry(struct pending *in, int64_t now);
/* How many of those are not on EFS yet, and may be soon. */
unsigned pending_hurried(const struct pending *in);
/* Say in one line which snapshots a stop leaves behind that nothing else was said of. */
void pending_say_left(const struct pending *in);
unsigned pending_unsafe(const struct pending *in); /* snapshots present that are not safely published */
#endif
