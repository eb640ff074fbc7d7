#include "qdrant/fingerprint_plan.h"
#include <cjson/cJSON.h>
#include "common/json.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SHARE = 10,            /* of the reads that are allowed one in so many may be ours */
    ALL_MAX = 1000,        /* points of a collection that is looked at as a whole ... */
    NUMBERS_MAX = 200000,  /* ... and their numbers: cJSON takes 80 bytes for each */
    PLACE_NUMBERS = 12000, /* at each place */
    PLACE_MAX = 40,        /* points at each */
    OVERHEAD = 16,         /* a payload, in numbers */
    COUNT_MAX = 1000000,   /* Qdrant counts by a set of all ids: 25 bytes and 80 ns for each */
    PROBES = 6,
    SMALLER = 4, /* so many times smaller is the next try */
};

static int64_t limit(const cJSON *strict, const char *name)
{
    const cJSON *n = json_member(strict, name);
    return cJSON_IsNumber(n) && n->valuedouble >= 0 && n->valuedouble < 1e15 ? (int64_t)n->valuedouble : -1;
}

/* A Qdrant that has been restarted obeys `read_rate_limit` also where strict mode is off (1.18.2). */
struct fingerprint_limits fingerprint_limits_of(const cJSON *result)
{
    const cJSON *config = json_member(result, "config"), *strict = json_member(config, "strict_mode_config");
    bool on = json_true(strict, "enabled");
    return (struct fingerprint_limits){.reads = limit(strict, "read_rate_limit"),
                                       .page = on ? limit(strict, "max_query_limit") : -1,
                                       .no_exact =
                                           on && cJSON_IsFalse(json_member(strict, "search_allow_exact"))};
}

static unsigned at_most(unsigned n, int64_t limit) { return limit >= 0 && limit < n ? (unsigned)limit : n; }

static unsigned per_place(double width)
{
    double n = PLACE_NUMBERS / (width + OVERHEAD);
    return n < 1 ? 1 : n > PLACE_MAX ? PLACE_MAX : (unsigned)n;
}

unsigned fingerprint_reads_max(const struct fingerprint_limits *limits)
{
    return at_most(PLAN_READS, limits->reads < 0 ? -1 : limits->reads / SHARE);
}

static bool small_enough(int64_t points, unsigned each, unsigned reads)
{
    return each > 0 && 2 * (points / each + 1) <= reads;
}

/* At places of so many points. */
static struct fingerprint_reads reads_at_places(unsigned each, bool count, bool probe, unsigned reads)
{
    struct fingerprint_reads out = {.count = count, .each = each};
    unsigned left = reads - (out.count ? 2 : 0);
    out.probes = !probe || left < 4 ? 0 : left / 2 < PROBES ? left / 2 : PROBES;
    out.rest = left - out.probes;
    return out;
}

struct fingerprint_reads fingerprint_reads_smaller(const struct fingerprint_limits *limits,
                                                   const struct fingerprint_plan *plan, unsigned left,
                                                   int64_t points, double width)
{
    bool whole = plan->n == 0;
    unsigned each = plan->each > 1 && plan->each < SMALLER ? 1 : plan->each / SMALLER;
    if (whole && small_enough(points, each, left))
        return (struct fingerprint_reads){.all = true, .each = each};
    if (whole && per_place(width) < each)
        each = per_place(width);
    bool count = whole ? !limits->no_exact && left >= 4 : plan->count && left >= 4;
    if (each == 0 || left < 2)
        return (struct fingerprint_reads){.dear = true};
    return reads_at_places(each, count, whole, left);
}

struct fingerprint_reads fingerprint_reads_of(const struct fingerprint_limits *limits, int64_t points,
                                              double width)
{
    unsigned reads = fingerprint_reads_max(limits), page = at_most(PLAN_EACH_MAX, limits->page);
    if (page == 0 || reads < 2)
        return (struct fingerprint_reads){.dear = true};
    bool small = points <= ALL_MAX && (double)points * (width + OVERHEAD) <= NUMBERS_MAX;
    if (small && small_enough(points, page, reads))
        return (struct fingerprint_reads){.all = true, .each = page};
    return reads_at_places(at_most(per_place(width), limits->page),
                           points <= COUNT_MAX && !limits->no_exact && reads >= 4, true, reads);
}

/* splitmix64 (public domain, S. Vigna): the same places for the same seed, wherever it is compiled. */
uint64_t fingerprint_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

/* Half of them anywhere below the largest, half at any order of magnitude: ids may be dense and small, or
 * hashes. */
uint64_t fingerprint_number(uint64_t *state, unsigned place, unsigned bits)
{
    uint64_t r = fingerprint_random(state), exponent = fingerprint_random(state);
    unsigned use = place % 2 == 0 || bits == 0 ? bits : (unsigned)(exponent % bits) + 1;
    return use == 0 ? 0 : place % 2 == 0 ? r >> (64 - use) : (r >> (64 - use)) | UINT64_C(1) << (use - 1);
}

void fingerprint_uuid(uint64_t *state, char out[PLAN_PLACE])
{
    uint64_t a = fingerprint_random(state), b = fingerprint_random(state);
    (void)snprintf(out, PLAN_PLACE, "%08x-%04x-%04x-%04x-%012" PRIx64, (unsigned)(a >> 32),
                   (unsigned)(a >> 16) & 0xffff, (unsigned)a & 0xffff, (unsigned)(b >> 48),
                   b & UINT64_C(0xffffffffffff));
}

void fingerprint_plan_places(struct fingerprint_plan *plan, const struct fingerprint_ids *ids, unsigned reads)
{
    uint64_t random = plan->seed;
    plan->n = reads / 2 > PLAN_PLACES ? PLAN_PLACES : reads / 2;
    for (unsigned i = 0; i < plan->n; i++) {
        bool uuid = ids->uuids && (!ids->numbers || i % 2 == 1);
        if (uuid)
            fingerprint_uuid(&random, plan->at[i]);
        else if (ids->numbers)
            (void)snprintf(plan->at[i], PLAN_PLACE, "%" PRIu64,
                           fingerprint_number(&random, ids->uuids ? i / 2 : i, ids->bits));
        else
            plan->at[i][0] = 0;
    }
}

static bool is_number(const char *text)
{
    char again[PLAN_PLACE];
    (void)snprintf(again, sizeof again, "%" PRIu64, (uint64_t)strtoull(text, NULL, 10));
    return strcmp(text, again) == 0;
}

bool fingerprint_place_good(const char *text)
{
    static const char shape[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    size_t n = strlen(text);
    if (n != sizeof shape - 1)
        return n == 0 || is_number(text);
    for (size_t i = 0; i < n; i++)
        if (shape[i] == '-' ? text[i] != '-' : !strchr("0123456789abcdef", text[i]))
            return false;
    return true;
}
