/* A second Qdrant that nobody else can reach: on loopback alone, with a key that nobody else knows and that
 * no argument or file holds, and dead at the latest when we are. A drill's runs beside the Qdrant that
 * serves, with as few threads as it can have and behind everybody else for CPU, disk and memory. That of a
 * restore at boot runs instead of it, with the settings that it will have. What it is given may be hostile:
 * of our environment it has what any program needs, it has no capabilities, and where the kernel can it opens
 * nothing but its own folder and what a program reads of its system, and connects to nobody. */
#ifndef EFS_DRILL_SCRATCH_QDRANT_H
#define EFS_DRILL_SCRATCH_QDRANT_H
#include "qdrant/client.h"

struct scratch_qdrant;
struct scratch_qdrant_options {
    const char *program; /* QDRANT_BIN */
    const char *dir;     /* for its storage, its snapshots, its log; belongs to it alone */
    const char *all;     /* a snapshot of the whole storage to begin with; NULL: it begins empty */
    long start_ms;       /* to be ready */
    const atomic_bool *stop;
    bool unconfined; /* CONFINE=off: it may open what we may */
    /* For a restore at boot, else zero. */
    bool alone;            /* nobody serves beside it: Qdrant's own settings, all threads, no low priority */
    const char *storage;   /* its storage folder; NULL: one in `dir` */
    char *const *mappings; /* "FILE:COLLECTION" each, restored before it is ready; the last is NULL */
    long stop_ms;          /* to end by itself after TERM, so that all is written; 0: a few seconds */
    void (*works)(void *arg); /* called while it starts, each time that it has used some processor time */
    void *arg;
};
/* The end of the calling thread ends it, too. NULL with `e`. With mappings its code is SCRATCH_QDRANT_ENDED
 * when it ended by itself, SCRATCH_QDRANT_KILLED when a signal ended it. */
enum { SCRATCH_QDRANT_ENDED = 2000, SCRATCH_QDRANT_KILLED };
struct scratch_qdrant *scratch_qdrant_start(const struct scratch_qdrant_options *o, struct err *e);
struct qdrant *scratch_qdrant_qdrant(struct scratch_qdrant *s);
const char *scratch_qdrant_version(const struct scratch_qdrant *s);
/* Has it ended by itself? Then how, with the last line of its log, in `why`. */
bool scratch_qdrant_ended(struct scratch_qdrant *s, char *why, size_t size);
/* TERM, KILL a little later, and free. False: it did not end by itself, so that what it wrote may not be
 * whole. NULL is fine. */
bool scratch_qdrant_stop(struct scratch_qdrant *s);
/* KILL it at once, and free: for one in which every collection is green and nobody writes. All that it has is
 * in its files then; 1.18.2 writes no more at a TERM (tests/product/contract holds both against each other),
 * but takes 0.4 s for it. False: it had ended by itself before. */
bool scratch_qdrant_kill(struct scratch_qdrant *s);
/* KILL the one that runs, if any, from any thread of a process that is about to end. */
void scratch_qdrant_abandon(void);
#endif
