/* Times as text: "2026-11-29T08:00:00Z", everywhere. */
#ifndef COMMON_BASE_UTC_H
#define COMMON_BASE_UTC_H
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { UTC_TEXT = 32 };
/* "?" where a time has no such text. */
static inline void utc_text(time_t when, char out[UTC_TEXT])
{
    struct tm tm;
    if (!gmtime_r(&when, &tm) || strftime(out, UTC_TEXT, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        (void)snprintf(out, UTC_TEXT, "?");
}
/* What utc_text writes for a time since 1970; on anything else false, and *out stays: strptime takes
 * "2026-1-2" and a sixtieth second, too. */
static inline bool utc_parse(const char *text, time_t *out)
{
    char again[UTC_TEXT];
    struct tm tm = {0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    time_t t = end && !*end ? timegm(&tm) : -1;
    utc_text(t, again);
    if (t < 0 || strcmp(text, again) != 0)
        return false;
    *out = t;
    return true;
}
/* What others write, with a fraction of a second or without, with a zone's letter or without: up to the
 * second, as UTC. 0: no time. */
static inline time_t utc_loose(const char *text)
{
    struct tm tm = {0};
    return text && strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) ? timegm(&tm) : 0;
}
#endif
