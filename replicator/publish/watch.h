/* Recursive inotify watch of SNAPSHOTS_DIR, and the scan that backs it: at start, after an overflow,
 * hourly, and periodically where the kernel gives no (more) watches. */
#ifndef REPLICATOR_PUBLISH_WATCH_H
#define REPLICATOR_PUBLISH_WATCH_H
#include "replicator/publish/pending.h"
struct watch;
/* `events` false: no inotify, for a single scan. */
struct watch *watch_new(const struct settings *s, struct pending *in, bool events);
void watch_free(struct watch *w);
int watch_fd(const struct watch *w); /* for poll, -1 when there is no inotify; another one after a scan */
/* Is SNAPSHOTS_DIR still the folder that is watched? If not, a scan is due at once. A mount over it gives no
 * event. Returns when to ask again. */
int64_t watch_look(struct watch *w, int64_t now);
/* Read and act on what the kernel has queued. */
void watch_read(struct watch *w, int64_t now);
/* Scan everything. Returns false when the folder is not there (yet). *reconcile: this was the first or an
 * hourly scan, which compares what it finds with EFS anew. */
bool watch_scan(struct watch *w, int64_t now, bool *reconcile);
/* Was there a folder that the last scan could not list? */
bool watch_incomplete(const struct watch *w);
/* When the next scan is due, by the monotonic clock in milliseconds. */
int64_t watch_scan_due(const struct watch *w);
#endif
