/* What this node has on EFS, kept in memory, and left there as a heartbeat (efs/repo/heartbeat.h) for the
 * second Region: seconds after a run that published something, and every five minutes otherwise. For 100
 * collections that is some 60 KB, 20 MB a day: of no matter beside one backup. Never while a restore at boot
 * is pending, nor before EFS was looked at: it would tell too little. Thread-safe; only
 * heartbeat_writer_write touches EFS. All take NULL, for nothing. */
#ifndef REPLICATOR_PUBLISH_HEARTBEAT_WRITER_H
#define REPLICATOR_PUBLISH_HEARTBEAT_WRITER_H
#include "efs/repo/inventory.h"
#include "replicator/core/context.h"

/* Milliseconds of the monotonic clock. */
enum {
    HEARTBEAT_WRITER_REST = 300000, /* between two at most */
    HEARTBEAT_WRITER_FIRST = 60000, /* after the start: EFS is looked at, and what waits is published first */
    HEARTBEAT_WRITER_SETTLE = 5000, /* after a publication, for others of its run ... */
    HEARTBEAT_WRITER_APART = 60000, /* ... but a long run has no more of them than this */
    HEARTBEAT_WRITER_LOOK = 10000,  /* while none may be written */
};
struct heartbeat_writer;
struct heartbeat_writer *heartbeat_writer_new(struct context *x, int64_t now); /* NULL without memory */
void heartbeat_writer_free(struct heartbeat_writer *p);

/* One more. */
void heartbeat_writer_published(struct heartbeat_writer *p, const struct manifest *m, int64_t now);
/* All that was found of one folder. */
void heartbeat_writer_found(struct heartbeat_writer *p, const char *folder, const struct inventory *s);
/* One that is there and could not be looked at: it must not look deleted. */
void heartbeat_writer_blind(struct heartbeat_writer *p, const char *folder);
/* Forget all folders but these: somebody deleted them. What came after heartbeat_writer_mark, which is called
 * before EFS is listed, stays. */
unsigned long long heartbeat_writer_mark(struct heartbeat_writer *p);
void heartbeat_writer_only(struct heartbeat_writer *p, unsigned long long mark, char *const *folders,
                           size_t n);

/* When to look again; -1: not before something happens. `busy`: more is about to be published. With *due set
 * a heartbeat is to be written, and it is this caller's to have that done. */
int64_t heartbeat_writer_due(struct heartbeat_writer *p, bool busy, int64_t now, bool *due);
/* That cannot be done now. */
void heartbeat_writer_later(struct heartbeat_writer *p);
/* May hang with EFS. */
void heartbeat_writer_write(struct heartbeat_writer *p);
#endif
