/* DRILL_SCHEDULE: when a drill is due, as a pure function over times. No clock, no files. */
#ifndef REPLICATOR_CORE_DRILL_SCHEDULE_H
#define REPLICATOR_CORE_DRILL_SCHEDULE_H
#include <stdbool.h>
#include <time.h>
struct drill_schedule {
    unsigned period; /* seconds; 0: never */
    unsigned offset; /* of the periods from the first of 1970, a Thursday, UTC */
};
/* "never", "hourly", "daily", "weekly" (Mondays), "daily@03:30", "weekly@03:30", "hourly@:30". False on
 * anything else. */
bool drill_schedule_parse(const char *text, struct drill_schedule *out);
/* The newest time at or before `now` at which one was due; 0 for never. */
time_t drill_schedule_last(const struct drill_schedule *p, time_t now);
/* When the next one is due after one at `last`: in the past when that is missed; 0 for never. */
time_t drill_schedule_next(const struct drill_schedule *p, time_t last, time_t now);
#endif
