/* Tiers and retention as pure functions over slots: which tier a snapshot goes to, and which
 * backups a policy lets go. No clock, no files. */
#ifndef EFS_TIER_H
#define EFS_TIER_H
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

enum tier { TIER_15MIN, TIER_HOURLY, TIER_DAILY, TIER_MONTHLY, TIER_COUNT };
const char *tier_text(enum tier t);
bool tier_parse(const char *text, enum tier *out);
/* UTC time cut to 15 minutes. */
time_t tier_slot(time_t when);
/* Start of the period of `t` that holds `slot`: months begin on day 1 08:00, days at 08:00. */
time_t tier_period(enum tier t, time_t slot);

struct tier_item {
    enum tier tier;
    time_t slot;
    bool good;   /* manifest there and data of the size it says */
    bool future; /* its slot lies ahead of the time its file was written: taken under a clock that ran wild */
    bool drop;   /* out: retention lets it go */
};
/* Can an item of (`tier`, `slot`) decide the tier of a snapshot of slot `own`? For callers that want to
 * read only what matters. */
bool tier_matters(enum tier tier, time_t slot, time_t own);
/* The highest tier whose period around `slot` has no good item in that tier or a higher one. */
enum tier tier_choose(time_t slot, const struct tier_item *items, size_t n);

/* What a tier keeps: the newest `count` periods, or slots younger than `age` seconds. */
struct retention {
    struct {
        unsigned count;
        time_t age;
    } keep[TIER_COUNT];
};
/* "15min=24h,hourly=7d,daily=35d,monthly=13"; tiers left out keep their default. On a wrong value
 * false, and `wrong` (size bytes) says which part. Units: m h d w. */
bool retention_parse(const char *text, struct retention *out, char *wrong, size_t size);
/* "90m", "24h", "7d", "2w": seconds. False on anything else. */
bool retention_age(const char *text, time_t *seconds);
/* Mark `drop` on items that the policy lets go. Ages count from the newest good slot, never from the
 * wall clock, so that a stopped node or a clock that steps prunes nothing, and never from a slot in the
 * `future`, which would push out all history at once. Counts count periods, so that one node's backups
 * never push out another's. The newest good item of each tier always stays; an item that is not good is
 * never dropped while its tier has no good one. */
void retention_select(const struct retention *r, struct tier_item *items, size_t n);
/* The item that retention_select protects as the newest good one of tier `t`; `n` when there is none. */
size_t retention_newest(enum tier t, const struct tier_item *items, size_t n);
#endif
