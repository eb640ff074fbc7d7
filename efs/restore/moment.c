#include "efs/restore/choice.h"
#include "common/base/utc.h"
#include <stdio.h>
#include <string.h>

enum { DAY_SECONDS = 86400 };

static bool read_when(const char *text, time_t now, time_t *out, time_t *begins)
{
    static const char *const shape[] = {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M",
                                        "%Y-%m-%d %H:%M"};
    struct tm tm = {0};
    time_t age;
    if (retention_age(text, &age)) {
        *begins = *out = now - age;
        return age <= now;
    }
    const char *end = strptime(text, "%Y-%m-%d", &tm);
    bool day = end && !*end;
    if (day) {
        tm.tm_hour = 23;
        tm.tm_min = tm.tm_sec = 59;
    } else {
        size_t i = 0;
        for (end = NULL; i < sizeof shape / sizeof *shape && (!end || (*end && strcmp(end, "Z") != 0)); i++) {
            tm = (struct tm){0};
            end = strptime(text, shape[i], &tm);
        }
        if (!end || (*end && strcmp(end, "Z") != 0))
            return false;
    }
    struct tm check = tm;
    *out = timegm(&check); /* makes 2 March of 30 February */
    *begins = day ? *out - (DAY_SECONDS - 1) : *out;
    return *out > 0 && check.tm_mday == tm.tm_mday && check.tm_mon == tm.tm_mon;
}

bool time_parse(const char *text, time_t now, time_t *out)
{
    time_t begins = 0;
    return read_when(text, now, out, &begins) && (!now || begins <= now + RESTORE_TOLERANCE);
}

const char *restore_when_use(const char *text, time_t now)
{
    time_t out = 0, begins = 0;
    if (read_when(text, now, &out, &begins))
        return "a time that is not in the future (UTC)";
    const char *clock = strpbrk(text, "T ");
    if (clock && strpbrk(clock, "+-"))
        return "UTC, such as 2026-11-24T06:00Z for 2026-11-24T08:00+02:00";
    return "a time (UTC) such as 2026-11-24T08:00Z, a day such as 2026-11-24, or an age such as 2h";
}

time_t backup_time(const struct backup *b)
{
    return b->m.source.taken ? b->m.source.taken : b->m.created > 0 ? b->m.created : b->m.slot;
}

/* Without a server's clock only ours can tell. */
static bool is_future(const struct backup *b, time_t when, time_t now)
{
    return now && (when > now + RESTORE_TOLERANCE || (b->written && when > b->written + RESTORE_SKEW));
}

bool restore_ahead(const struct backup *b, time_t now) { return is_future(b, backup_time(b), now); }

time_t restore_moment(const struct backup *b, time_t now)
{
    if (!restore_ahead(b, now))
        return backup_time(b);
    return b->m.created > 0 && !is_future(b, b->m.created, now) ? b->m.created : 0;
}

bool restore_beyond(const struct backup *b, time_t now)
{
    return restore_ahead(b, now) && restore_moment(b, now) == 0;
}

void restore_clock_note(const struct backup *b, time_t now, char *out, size_t size)
{
    char name[32], when[64] = "older than all others";
    time_t moment = restore_moment(b, now);
    *out = 0;
    if (!restore_ahead(b, now))
        return;
    utc_text(backup_time(b), name);
    if (moment) {
        (void)snprintf(when, sizeof when, "taken at ");
        utc_text(moment, when + strlen(when));
    }
    (void)snprintf(out, size,
                   "it says that it was taken at %s: its node's clock ran ahead, and it counts as %s", name,
                   when);
}
