#include "efs/repo/retention.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
        enum frequency t;
        (void)snprintf(wrong, size, "%s", part);
        if (!eq)
            return false;
        *eq = 0;
        if (!frequency_parse(part, &t) || !amount_parse(eq + 1, &out->keep[t].count, &out->keep[t].age))
            return false;
    }
    return true;
}

bool retention_age(const char *text, time_t *seconds)
{
    unsigned count;
    return amount_parse(text, &count, seconds) && *seconds > 0;
}

void retention_one_text(const struct retention *r, enum frequency t, char out[RETENTION_TEXT])
{
    static const struct {
        time_t seconds;
        char unit;
    } units[] = {{604800, 'w'}, {86400, 'd'}, {3600, 'h'}, {60, 'm'}};
    time_t age = r->keep[t].age;
    size_t u = 0;
    while (u < 3 && (age % units[u].seconds != 0 || (units[u].unit == 'w' && age < 8 * 604800)))
        u++; /* weeks for what is long alone: 7d and 35d are what people write */
    if (r->keep[t].count)
        (void)snprintf(out, RETENTION_TEXT, "%s=%u", frequency_text(t), r->keep[t].count);
    else
        (void)snprintf(out, RETENTION_TEXT, "%s=%lld%c", frequency_text(t),
                       (long long)(age / units[u].seconds), units[u].unit);
}

void retention_text(const struct retention *r, char out[RETENTION_TEXT])
{
    char one[RETENTION_TEXT];
    size_t at = 0;
    *out = 0;
    for (int t = 0; t < FREQUENCY_COUNT; t++) {
        retention_one_text(r, (enum frequency)t, one);
        int n = snprintf(out + at, RETENTION_TEXT - at, "%s%s", t > 0 ? "," : "", one);
        at += n > 0 && at + (size_t)n < RETENTION_TEXT ? (size_t)n : 0;
    }
}

time_t retention_until(const struct retention *r, enum frequency t, time_t slot)
{
    static const time_t step[] = {900, 3600, 86400, 32 * 86400};
    time_t at = frequency_period(t, slot);
    if (r->keep[t].count == 0)
        return slot + r->keep[t].age;
    for (unsigned i = 0; i < r->keep[t].count; i++)
        at = frequency_period(t, at + step[t]);
    return at;
}

bool retention_same(const struct retention *a, const struct retention *b)
{
    for (int t = 0; t < FREQUENCY_COUNT; t++)
        if (a->keep[t].count != b->keep[t].count || a->keep[t].age != b->keep[t].age)
            return false;
    return true;
}

/* Node by node, tier by tier, the newest slot first; of one slot the one that comes first. */
static int in_order(const void *a, const void *b)
{
    const struct frequency_item *x = *(struct frequency_item *const *)a,
                                *y = *(struct frequency_item *const *)b;
    if (x->node != y->node)
        return x->node < y->node ? -1 : 1;
    if (x->frequency != y->frequency)
        return x->frequency < y->frequency ? -1 : 1;
    if (x->slot != y->slot)
        return x->slot > y->slot ? -1 : 1;
    return x < y ? -1 : x > y;
}

static bool counts(const struct frequency_item *it) { return it->good && !it->future; }

/* All of one tier of a node, in that order. `reference`: the node's newest good slot. */
static void select_frequency(const struct retention *r, time_t reference, struct frequency_item *const *v,
                             size_t n)
{
    const struct frequency_item *newest = NULL;
    time_t last = 0; /* the oldest period so far that has a good one */
    unsigned periods = 0;
    for (size_t i = 0; i < n && !newest; i++)
        if (counts(v[i])) {
            v[i]->newest = true;
            newest = v[i];
        }
    for (size_t i = 0; newest && i < n; i++) {
        unsigned count = r->keep[v[i]->frequency].count;
        time_t own = frequency_period(v[i]->frequency, v[i]->slot);
        unsigned newer = periods - (periods > 0 && own == last);
        if (v[i]->slot < newest->slot)
            v[i]->drop = count > 0 ? newer >= count : v[i]->slot <= reference - r->keep[v[i]->frequency].age;
        if (!counts(v[i]) || (periods > 0 && own == last))
            continue;
        periods++;
        last = own;
    }
}

static void select_node(const struct retention *r, struct frequency_item *const *v, size_t n)
{
    time_t reference = 0;
    for (size_t i = 0; i < n; i++)
        if (counts(v[i]) && v[i]->slot > reference)
            reference = v[i]->slot;
    for (size_t from = 0, to; from < n; from = to) {
        for (to = from + 1; to < n && v[to]->frequency == v[from]->frequency;)
            to++;
        select_frequency(r, reference, v + from, to - from);
    }
}

void retention_select(const struct retention *r, struct frequency_item *items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        items[i].drop = items[i].newest = false;
    struct frequency_item **v = n > 0 ? malloc(n * sizeof(struct frequency_item *)) : NULL;
    for (size_t i = 0; v && i < n; i++)
        v[i] = &items[i];
    if (v)
        qsort(v, n, sizeof(struct frequency_item *), in_order);
    for (size_t from = 0, to; v && from < n; from = to) {
        for (to = from + 1; to < n && v[to]->node == v[from]->node;)
            to++;
        select_node(r, v + from, to - from);
    }
    free(v);
}
