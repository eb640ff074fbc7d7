/* How long backups are kept (RETENTION), as pure functions over slots: which ones the policy lets go. No
 * clock, no files. */
#ifndef EFS_REPO_RETENTION_H
#define EFS_REPO_RETENTION_H
#include "efs/repo/frequency.h"

/* What a tier keeps: the newest `count` periods, or slots younger than `age` seconds. */
struct retention {
    struct {
        unsigned count;
        time_t age;
    } keep[FREQUENCY_COUNT];
};
#define RETENTION_STANDARD "15min=24h,hourly=7d,daily=35d,monthly=13"
/* "15min=24h,hourly=7d,daily=35d,monthly=13"; tiers left out keep their default. On a wrong value
 * false, and `wrong` (size bytes) says which part. Units: m h d w. */
bool retention_parse(const char *text, struct retention *out, char *wrong, size_t size);
/* "90m", "24h", "7d", "2w": seconds. False on anything else. */
bool retention_age(const char *text, time_t *seconds);
/* The policy as retention_parse reads it, all tiers: "15min=24h,...". */
enum { RETENTION_TEXT = 128 };
void retention_text(const struct retention *r, char out[RETENTION_TEXT]);
/* What it says of one tier: "15min=24h". */
void retention_one_text(const struct retention *r, enum frequency t, char out[RETENTION_TEXT]);
/* The slot of a newer backup of the same node at which one of that tier and slot may go at the earliest. */
time_t retention_until(const struct retention *r, enum frequency t, time_t slot);
bool retention_same(const struct retention *a, const struct retention *b);
/* Set `drop` and `newest`. `drop` is for items that the policy lets go, of each node as if there
 * were no other: one that was away for a month still has all that it had then. Ages count from the node's
 * newest good slot, never from the wall clock, so that a stopped node or a clock that steps prunes nothing,
 * and never from a slot in the `future`, which would push out all history at once. Counts count periods. The
 * newest good item of each tier of each node always stays; an item that is not good is never dropped while
 * its tier has no good one. Without memory nothing is dropped. */
void retention_select(const struct retention *r, struct frequency_item *items, size_t n);
#endif
