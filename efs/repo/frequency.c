#include "efs/repo/frequency.h"
#include <string.h>

static const char *const frequency_names[FREQUENCY_COUNT] = {"15min", "hourly", "daily", "monthly"};
enum { DAY_STARTS = 8 * 3600 }; /* the seed rule's 08:00 UTC */

const char *frequency_text(enum frequency t) { return frequency_names[t]; }

bool frequency_parse(const char *text, enum frequency *out)
{
    for (int i = 0; i < FREQUENCY_COUNT; i++)
        if (strcmp(text, frequency_names[i]) == 0) {
            *out = (enum frequency)i;
            return true;
        }
    return false;
}

static time_t floor_to(time_t when, time_t step)
{
    time_t rest = when % step;
    return when - (rest < 0 ? rest + step : rest);
}

bool frequency_taken(time_t named, time_t node, time_t server, time_t *taken)
{
    time_t skew = server - node, age = node - named;
    bool agree = skew <= FREQUENCY_AHEAD && skew >= -FREQUENCY_AHEAD,
         young = age >= -FREQUENCY_AHEAD && age <= FREQUENCY_YOUNG;
    *taken = !agree && young ? named + skew : named;
    if (*taken <= server + FREQUENCY_AHEAD)
        return true;
    *taken = server;
    return false;
}

time_t frequency_slot(time_t when) { return floor_to(when, 900); }

time_t frequency_period(enum frequency t, time_t slot)
{
    if (t == FREQUENCY_15MIN)
        return floor_to(slot, 900);
    if (t == FREQUENCY_HOURLY)
        return floor_to(slot, 3600);
    if (t == FREQUENCY_DAILY)
        return floor_to(slot - DAY_STARTS, 86400) + DAY_STARTS;
    time_t shifted = slot - DAY_STARTS;
    struct tm tm;
    if (!gmtime_r(&shifted, &tm))
        return floor_to(slot, 86400);
    tm.tm_mday = 1;
    tm.tm_hour = 8;
    tm.tm_min = tm.tm_sec = 0;
    return timegm(&tm);
}

bool frequency_matters(enum frequency frequency, time_t slot, time_t own)
{
    if (slot == own)
        return true;
    for (int t = FREQUENCY_HOURLY; t <= (int)frequency; t++)
        if (frequency_period((enum frequency)t, slot) == frequency_period((enum frequency)t, own))
            return true;
    return false;
}

static bool period_served(enum frequency t, time_t slot, const struct frequency_item *items, size_t n)
{
    time_t period = frequency_period(t, slot);
    for (size_t i = 0; i < n; i++)
        if (items[i].good && !items[i].future && items[i].frequency >= t &&
            frequency_period(t, items[i].slot) == period)
            return true;
    return false;
}

enum frequency frequency_choose(time_t slot, const struct frequency_item *items, size_t n)
{
    for (int t = FREQUENCY_MONTHLY; t > FREQUENCY_15MIN; t--)
        if (!period_served((enum frequency)t, slot, items, n))
            return (enum frequency)t;
    return FREQUENCY_15MIN;
}
