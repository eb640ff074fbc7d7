/* The frequencies (15min, hourly, daily, monthly) as pure functions over slots: which one a snapshot becomes.
 * What of each is kept: retention.h. No clock, no files. */
#ifndef EFS_REPO_FREQUENCY_H
#define EFS_REPO_FREQUENCY_H
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

enum frequency { FREQUENCY_15MIN, FREQUENCY_HOURLY, FREQUENCY_DAILY, FREQUENCY_MONTHLY, FREQUENCY_COUNT };
const char *frequency_text(enum frequency t);
bool frequency_parse(const char *text, enum frequency *out);
/* When was that snapshot really taken? Its name has the time of its node's clock, which may run ahead or
 * behind; `node` and `server` are what that clock and the one of EFS's own server show at one moment, its
 * publication. While the two agree, within FREQUENCY_AHEAD, the name is right. While they do not, and the
 * snapshot was made within FREQUENCY_YOUNG by the node's clock, it was made that long before `server`. False:
 * it says that it was taken after its publication, and nobody knows when it was; *taken is `server`. */
enum { FREQUENCY_AHEAD = 600, FREQUENCY_YOUNG = 6 * 3600 };
bool frequency_taken(time_t named, time_t node, time_t server, time_t *taken);
/* UTC time cut to 15 minutes. */
time_t frequency_slot(time_t when);
/* Start of the period of `t` that holds `slot`: months begin on day 1 08:00, days at 08:00. */
time_t frequency_period(enum frequency t, time_t slot);

struct frequency_item {
    enum frequency frequency;
    time_t slot;
    bool good;   /* manifest there and data of the size it says */
    bool future; /* its slot lies ahead of the time its file was written: taken under a clock that ran wild */
    bool drop;   /* out: retention lets it go */
    unsigned node; /* whose it is, as a number: nodes keep their backups each for itself */
    bool newest;   /* out: the newest good one of its tier and node, which stays in any case */
};
/* Can an item of (`tier`, `slot`) decide the tier of a snapshot of slot `own`? For callers that want to
 * read only what matters. */
bool frequency_matters(enum frequency frequency, time_t slot, time_t own);
/* The highest tier whose period around `slot` has no good item in that tier or a higher one. One from the
 * `future` counts for none: it would keep the real ones of that period out. */
enum frequency frequency_choose(time_t slot, const struct frequency_item *items, size_t n);
#endif
