/* Which collections are snapshotted at a stop, and in which order, when there is no time for all. Pure. */
#ifndef REPLICATOR_SNAPSHOT_STOP_PLAN_H
#define REPLICATOR_SNAPSHOT_STOP_PLAN_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct stop_item {
    const char *name;
    bool changed;   /* it was written to since its last snapshot was begun, or nobody can tell */
    time_t newest;  /* when its last snapshot or backup was taken; 0: there is none */
    uint64_t size;  /* of that one; 0: not known */
    double seconds; /* that it took; 0: not known */
    unsigned rank;  /* out: 1 first; 0: not, since it is unchanged or there is no time for it */
};
/* How many seconds its snapshot may take. */
double stop_plan_estimate(const struct stop_item *it);
/* Those that have no backup at all come first, then the quickest, so that as many as can be get theirs; of
 * two alike the one whose backup is older. `seconds` there are, and so many are made at once. Returns how
 * many fit. */
size_t stop_plan(struct stop_item *v, size_t n, double seconds, unsigned parallel);
#endif
