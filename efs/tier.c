#include "efs/tier.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const tier_names[TIER_COUNT] = {"15min", "hourly", "daily", "monthly"};
enum { DAY_STARTS = 8 * 3600 }; /* the seed rule's 08:00 UTC */

const char *tier_text(enum tier t) { return tier_names[t]; }

bool tier_parse(const char *text, enum tier *out)
{
    for (int i = 0; i < TIER_COUNT; i++)
        if (strcmp(text, tier_names[i]) == 0) {
            *out = (enum tier)i;
            return true;
        }
    return false;
}

static time_t floor_to(time_t when, time_t step)
{
    time_t rest = when % step;
    return when - (rest < 0 ? rest + step : rest);
}

time_t tier_slot(time_t when) { return floor_to(when, 900); }

time_t tier_period(enum tier t, time_t slot)
{
    if (t == TIER_15MIN)
        return floor_to(slot, 900);
    if (t == TIER_HOURLY)
        return floor_to(slot, 3600);
    if (t == TIER_DAILY)
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

bool tier_matters(enum tier tier, time_t slot, time_t own)
{
    if (slot == own)
        return true;
    for (int t = TIER_HOURLY; t <= (int)tier; t++)
        if (tier_period((enum tier)t, slot) == tier_period((enum tier)t, own))
            return true;
    return false;
}

static bool period_served(enum tier t, time_t slot, const struct tier_item *items, size_t n)
{
    time_t period = tier_period(t, slot);
    for (size_t i = 0; i < n; i++)
        if (items[i].good && items[i].tier >= t && tier_period(t, items[i].slot) == period)
            return true;
    return false;
}

enum tier tier_choose(time_t slot, const struct tier_item *items, size_t n)
{
    for (int t = TIER_MONTHLY; t > TIER_15MIN; t--)
        if (!period_served((enum tier)t, slot, items, n))
            return (enum tier)t;
    return TIER_15MIN;
}

static bool amount_parse(const char *text, unsigned *count, time_t *age)
{
    static const struct {
        char unit;
        time_t seconds;
    } units[] = {{'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
    char *end = NULL;
    if (*text < '0' || *text > '9')
        return false;
    unsigned long v = strtoul(text, &end, 10);
    *count = 0;
    *age = 0;
    if (v == 0 || v > 100000)
        return false;
    if (!*end) {
        *count = (unsigned)v;
        return true;
    }
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (*end == units[i].unit && !end[1]) {
            *age = (time_t)v * units[i].seconds;
            return true;
        }
    return false;
}

bool retention_parse(const char *text, struct retention *out, char *wrong, size_t size)
{
    static const struct retention standard = {{{0, 86400}, {0, 7 * 86400}, {0, 35 * 86400}, {13, 0}}};
    char copy[256], *save = NULL;
    *out = standard;
    if ((size_t)snprintf(copy, sizeof copy, "%s", text) >= sizeof copy)
        return (void)snprintf(wrong, size, "too long"), false;
    for (char *part = strtok_r(copy, ",", &save); part; part = strtok_r(NULL, ",", &save)) {
        char *eq = strchr(part, '=');
        enum tier t;
        (void)snprintf(wrong, size, "%s", part);
        if (!eq)
            return false;
        *eq = 0;
        if (!tier_parse(part, &t) || !amount_parse(eq + 1, &out->keep[t].count, &out->keep[t].age))
            return false;
    }
    return true;
}

bool retention_age(const char *text, time_t *seconds)
{
    unsigned count;
    return amount_parse(text, &count, seconds) && *seconds > 0;
}

size_t retention_newest(enum tier t, const struct tier_item *items, size_t n)
{
    size_t at = n;
    for (size_t i = 0; i < n; i++)
        if (items[i].tier == t && items[i].good && !items[i].future &&
            (at == n || items[i].slot > items[at].slot))
            at = i;
    return at;
}

/* How many distinct good periods of the item's tier are newer than the item's own. */
static unsigned newer_periods(const struct tier_item *item, const struct tier_item *items, size_t n)
{
    unsigned count = 0;
    time_t own = tier_period(item->tier, item->slot);
    for (size_t i = 0; i < n; i++) {
        time_t p = tier_period(items[i].tier, items[i].slot);
        bool first = items[i].good && !items[i].future && items[i].tier == item->tier && p > own;
        for (size_t j = 0; first && j < i; j++)
            first = !(items[j].good && !items[j].future && items[j].tier == item->tier &&
                      tier_period(items[j].tier, items[j].slot) == p);
        count += first;
    }
    return count;
}

void retention_select(const struct retention *r, struct tier_item *items, size_t n)
{
    time_t newest[TIER_COUNT] = {0}, reference = 0;
    bool has[TIER_COUNT];
    for (int t = 0; t < TIER_COUNT; t++) {
        size_t at = retention_newest((enum tier)t, items, n);
        has[t] = at < n;
        if (has[t])
            newest[t] = items[at].slot;
        if (has[t] && newest[t] > reference)
            reference = newest[t];
    }
    for (size_t i = 0; i < n; i++) {
        struct tier_item *it = &items[i];
        it->drop = false;
        if (!has[it->tier] || it->slot >= newest[it->tier])
            continue;
        if (r->keep[it->tier].count > 0)
            it->drop = newer_periods(it, items, n) >= r->keep[it->tier].count;
        else
            it->drop = it->slot <= reference - r->keep[it->tier].age;
    }
}
