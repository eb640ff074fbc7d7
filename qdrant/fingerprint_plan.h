/* How a collection is looked at for its fingerprint: as a whole, or at a few places. The first look makes the
 * plan, all later ones follow it. Pure functions.
 *
 * Qdrant's strict mode may allow a collection so many reads a minute, and they are its users'. All that a
 * fingerprint takes, both looks together, stays below a tenth of that, and is PLAN_READS at most. A reply
 * that is too large for us, since payloads may be of any size, is asked for anew in smaller ones, within
 * that. */
#ifndef QDRANT_FINGERPRINT_PLAN_H
#define QDRANT_FINGERPRINT_PLAN_H
#include <stdbool.h>
#include <stdint.h>

struct cJSON;
enum { PLAN_READS = 16, PLAN_PLACES = 8, PLAN_PLACE = 40, PLAN_EACH_MAX = 1001 };

struct fingerprint_limits {
    int64_t reads; /* a minute; -1: any number */
    int64_t page;  /* points in one reply; -1: any number */
    bool no_exact; /* points may not be counted one by one */
};
/* Of the reply to GET /collections/{name}. */
struct fingerprint_limits fingerprint_limits_of(const struct cJSON *result);

struct fingerprint_plan {
    bool made;
    bool seeded;   /* as manifests of before had it: many places, which the seed alone gives */
    uint64_t seed; /* not in new manifests */
    bool count;    /* count the points, too; as a whole they are counted by looking */
    unsigned each; /* points at each place; as a whole: points in each reply */
    unsigned n;    /* places; 0: as a whole */
    char at[PLAN_PLACES][PLAN_PLACE]; /* the look goes on from this id: a number, a UUID, or "": the first */
};

struct fingerprint_reads { /* what a collection's looks may take */
    bool dear;             /* not even one place: no fingerprint */
    bool all;              /* looked at as a whole, which counts its points, too */
    bool count;            /* they are counted */
    unsigned each;         /* points in one reply */
    unsigned probes;       /* to find out where ids are, of the first look */
    unsigned rest;         /* for both looks: each place takes two. What probes leave comes to it */
};
/* `width`: numbers in a point's vectors. */
struct fingerprint_reads fingerprint_reads_of(const struct fingerprint_limits *limits, int64_t points,
                                              double width);

/* All reads that these limits leave us for both looks. */
unsigned fingerprint_reads_max(const struct fingerprint_limits *limits);
/* The first look by this plan had a reply that was too large: another plan, of smaller ones, for which `left`
 * reads are left. `dear`: there is none. As places again (`all` false, plan->n not 0) it has the same ones,
 * as many as `rest` lets it have. */
struct fingerprint_reads fingerprint_reads_smaller(const struct fingerprint_limits *limits,
                                                   const struct fingerprint_plan *plan, unsigned left,
                                                   int64_t points, double width);

/* Which ids there are. */
struct fingerprint_ids {
    bool numbers, uuids;
    unsigned bits; /* length of the largest number, as far as known */
};
/* Choose the places, by plan->seed. `reads`: for both looks. */
void fingerprint_plan_places(struct fingerprint_plan *plan, const struct fingerprint_ids *ids,
                             unsigned reads);

/* A random number, the same for the same state wherever it is compiled. */
uint64_t fingerprint_random(uint64_t *state);
/* A number of at most so many bits: for an even place anywhere, for an odd one of any order of magnitude. */
uint64_t fingerprint_number(uint64_t *state, unsigned place, unsigned bits);
void fingerprint_uuid(uint64_t *state, char out[PLAN_PLACE]);
/* Is that the text of an id, or empty? */
bool fingerprint_place_good(const char *text);
#endif
