/* A second Qdrant for a drill, beside the one that serves: on loopback alone, with a key that nobody else
 * knows and that no argument or file holds, with as few threads as it can have, behind everybody else for
 * CPU, disk and memory, and dead at the latest when we are. */
#ifndef EFS_SECOND_H
#define EFS_SECOND_H
#include "qdrant/client.h"

struct second;
struct second_options {
    const char *program; /* QDRANT_BIN */
    const char *dir;     /* for its storage, its snapshots, its log; belongs to it alone */
    const char *all;     /* a snapshot of the whole storage to begin with; NULL: it begins empty */
    long start_ms;       /* to be ready */
    const atomic_bool *stop;
};
/* From the main thread alone: its end ends the other one. NULL with `e`. */
struct second *second_start(const struct second_options *o, struct err *e);
struct qdrant *second_qdrant(struct second *s);
const char *second_version(const struct second *s);
/* Has it ended by itself? Then how, with the last line of its log, in `why`. */
bool second_ended(struct second *s, char *why, size_t size);
/* TERM, KILL a little later, and free. NULL is fine. */
void second_stop(struct second *s);
#endif
