/* The schedule's arithmetic, as pure functions: when is it time for a run? A slot is UTC time cut to the
 * interval, shifted by the offset. The wall clock may step at any time: slots that were served are
 * remembered, so that a small step back serves none twice. After a big one those ahead are forgotten: they
 * were served under a clock that ran ahead, and their real time is still to come. */
#ifndef REPLICATOR_SNAPSHOT_SLOTS_H
#define REPLICATOR_SNAPSHOT_SLOTS_H
#include <stdbool.h>
#include <time.h>

enum { SLOTS_REMEMBERED = 128 }; /* more than a day of quarters */
struct slots {
    unsigned interval, offset; /* seconds; interval > 0 */
    time_t served[SLOTS_REMEMBERED];
    unsigned n;  /* ever put there */
    time_t last; /* the one served last, 0 before the first */
};
struct slot {
    time_t begin, end;
    unsigned missed; /* slots that went by unserved since the last one; 0 for the first: nobody knows */
    bool in_doubt;   /* it may have been served before: by an earlier process, or before a clock's step */
};
/* The begin of the slot that holds `when`. */
time_t slots_of(const struct slots *s, time_t when);
/* Is the slot of `now` still to be served? Then it counts as served from here on. */
bool slots_due(struct slots *s, time_t now, struct slot *out);
/* Is a slot so young that nothing is made yet? Qdrant names snapshots by the second, and whoever else has one
 * made does so at full minutes: of two with one name one is lost. Not for slots of less than a minute. */
bool slots_early(const struct slots *s, time_t now);
#endif
