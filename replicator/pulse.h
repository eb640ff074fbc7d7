/* What this node has on EFS, kept in memory, and left there as a heartbeat (efs/heartbeat.h) for the second
 * Region: seconds after a run that published something, and every five minutes otherwise. For 100 collections
 * that is some 60 KB, 20 MB a day: of no matter beside one backup. Never while a restore at boot is pending,
 * nor before EFS was looked at: it would tell too little. Thread-safe; only pulse_write touches EFS. All take
 * NULL, for nothing. */
#ifndef REPLICATOR_PULSE_H
#define REPLICATOR_PULSE_H
#include "efs/survey.h"
#include "replicator/context.h"

/* Milliseconds of the monotonic clock. */
enum {
    PULSE_REST = 300000, /* between two at most */
    PULSE_FIRST = 60000, /* after the start: EFS is looked at, and what waits is published first */
    PULSE_SETTLE = 5000, /* after a publication, for others of its run ... */
    PULSE_APART = 60000, /* ... but a long run has no more of them than this */
    PULSE_LOOK = 10000,  /* while none may be written */
};
struct pulse;
struct pulse *pulse_new(struct context *x, int64_t now); /* NULL without memory */
void pulse_free(struct pulse *p);

/* One more. */
void pulse_published(struct pulse *p, const struct manifest *m, int64_t now);
/* All that was found of one folder. */
void pulse_found(struct pulse *p, const char *folder, const struct survey *s);
/* One that is there and could not be looked at: it must not look deleted. */
void pulse_blind(struct pulse *p, const char *folder);
/* Forget all folders but these: somebody deleted them. What came after pulse_mark, which is called before EFS
 * is listed, stays. */
unsigned long long pulse_mark(struct pulse *p);
void pulse_only(struct pulse *p, unsigned long long mark, char *const *folders, size_t n);

/* When to look again; -1: not before something happens. `busy`: more is about to be published. With *due set
 * a heartbeat is to be written, and it is this caller's to have that done. */
int64_t pulse_due(struct pulse *p, bool busy, int64_t now, bool *due);
/* That cannot be done now. */
void pulse_later(struct pulse *p);
/* May hang with EFS. */
void pulse_write(struct pulse *p);
#endif
