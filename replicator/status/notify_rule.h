/* When NOTIFY_URL is told, and what: a pure function over what was seen. A run is good when all its snapshots
 * were made and nothing of it waits for EFS any more. Where there are no runs, since there is no schedule or
 * no collection, that nothing fails is told as often. A failure is told when it has lasted for a minute, and
 * again by each run. */
#ifndef REPLICATOR_STATUS_NOTIFY_RULE_H
#define REPLICATOR_STATUS_NOTIFY_RULE_H
#include <stdbool.h>
#include <time.h>

/* Seconds. PATIENCE: what fails while all of a task starts is no failure. */
enum { NOTIFY_SETTLE = 5, NOTIFY_PERIOD = 900, NOTIFY_SLACK = 60, NOTIFY_PATIENCE = 60 };
enum notify_what { NOTIFY_NOTHING, NOTIFY_GOOD, NOTIFY_BAD };
struct notify_seen {
    time_t now;
    unsigned interval;    /* of the schedule; 0: none */
    time_t slot, ended;   /* of the last run that is over; 0: there was none */
    unsigned not_made;    /* of its snapshots */
    bool running;         /* another one is under way */
    unsigned waiting;     /* finished snapshots that are not on EFS */
    bool failing;         /* /health is */
    bool restore_pending; /* Qdrant is held back for a restore: no run can be */
};
struct notify_told {
    time_t slot, when; /* of the last run that was told; when anything was told last */
    time_t since;      /* when it began to fail; 0: it does not */
    bool bad;          /* that it fails was told, and it has not stopped failing */
};
enum notify_what notify_rule(const struct notify_seen *seen, struct notify_told *told);
#endif
