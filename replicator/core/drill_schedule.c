#include "replicator/core/drill_schedule.h"
#include <string.h>

/* By default half an hour off the full hour, and at night in Europe: away from the tiers' own times and from
 * the many things that begin on the hour. */
enum { HOUR = 3600, DAY = 24 * HOUR, MONDAY = 4 * DAY, STANDARD = 3 * HOUR + HOUR / 2 };

static bool digits(const char *s, unsigned max, unsigned *out)
{
    if (s[0] < '0' || s[0] > '9' || s[1] < '0' || s[1] > '9')
        return false;
    *out = (unsigned)(s[0] - '0') * 10 + (unsigned)(s[1] - '0');
    return *out <= max;
}

/* "03:30" */
static bool time_of_day(const char *s, unsigned *seconds)
{
    unsigned hours, minutes;
    if (strlen(s) != 5 || s[2] != ':' || !digits(s, 23, &hours) || !digits(s + 3, 59, &minutes))
        return false;
    *seconds = hours * HOUR + minutes * 60;
    return true;
}

static bool minute_of_hour(const char *s, unsigned *seconds)
{
    unsigned minutes;
    if (strlen(s) != 3 || *s != ':' || !digits(s + 1, 59, &minutes))
        return false;
    *seconds = minutes * 60;
    return true;
}

bool drill_schedule_parse(const char *text, struct drill_schedule *out)
{
    static const struct {
        const char *word;
        unsigned period, day, standard;
    } words[] = {
        {"hourly", HOUR, 0, HOUR / 2}, {"daily", DAY, 0, STANDARD}, {"weekly", 7 * DAY, MONDAY, STANDARD}};
    *out = (struct drill_schedule){0};
    if (strcmp(text, "never") == 0)
        return true;
    size_t n = strcspn(text, "@");
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        unsigned seconds = words[i].standard;
        if (strncmp(text, words[i].word, n) != 0 || strlen(words[i].word) != n)
            continue;
        if (text[n] && !(words[i].period == HOUR ? minute_of_hour(text + n + 1, &seconds)
                                                 : time_of_day(text + n + 1, &seconds)))
            return false;
        *out = (struct drill_schedule){words[i].period, words[i].day + seconds};
        return true;
    }
    return false;
}

time_t drill_schedule_last(const struct drill_schedule *p, time_t now)
{
    if (p->period == 0 || now < (time_t)p->offset)
        return 0;
    return now - (now - (time_t)p->offset) % (time_t)p->period;
}

time_t drill_schedule_next(const struct drill_schedule *p, time_t last, time_t now)
{
    time_t at = drill_schedule_last(p, now);
    return p->period == 0 || at > last ? at : at + (time_t)p->period;
}
