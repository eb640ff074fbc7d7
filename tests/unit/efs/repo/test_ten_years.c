/* Ten years of backups of several nodes that come, stop and go, and whose clocks jump, held against a model
 * that was written from the sentences of the policy, not from the program:
 *   - whoever comes first in a month, a day, an hour that has no backup yet takes its place;
 *   - of each tier of each node the newest backup stays;
 *   - what is younger than the tier's age, counted from the node's own newest, stays; what is older goes;
 *   - a tier that keeps by number has the backups of so many of its newest periods;
 *   - what one node does changes nothing of another's;
 *   - a clock that jumps lets no snapshot go that was just made, and the newest is the one made last.
 * TEN_YEARS=full takes every quarter of an hour (minutes); else there are days of quarters, and hours without
 * anything (seconds). TEN_YEARS_SEED=N for another course of events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "efs/repo/retention.h"

enum { NODES = 4, HOUR = 3600, DAY = 86400, YEARS = 10, KEYS = 256 };

/* --- the model: it remembers all that was ever published, and knows nothing of a tree */

struct made {
    enum frequency frequency;
    time_t slot, made; /* made: in truth */
    bool future, there;
    unsigned id;
};
struct model_node {
    struct made *all;
    size_t n, size;
    long served[FREQUENCY_COUNT][KEYS]; /* the periods that have a backup, the last ones */
    unsigned n_served[FREQUENCY_COUNT];
};

/* The month, day or hour that a slot is of, as a number; months and days change at 08:00. */
static long key_of(enum frequency t, time_t slot)
{
    time_t shifted = t == FREQUENCY_HOURLY ? slot : slot - 8 * HOUR;
    struct tm tm;
    assert_non_null(gmtime_r(&shifted, &tm));
    if (t == FREQUENCY_MONTHLY)
        return tm.tm_year * 12L + tm.tm_mon;
    return t == FREQUENCY_DAILY ? tm.tm_year * 400L + tm.tm_yday
                                : (tm.tm_year * 400L + tm.tm_yday) * 24 + tm.tm_hour;
}

static bool is_served(const struct model_node *m, enum frequency t, long key)
{
    for (unsigned i = 0; i < m->n_served[t] && i < KEYS; i++)
        if (m->served[t][i] == key)
            return true;
    return false;
}

static enum frequency model_tier(struct model_node *m, time_t slot)
{
    enum frequency t = FREQUENCY_MONTHLY;
    while (t > FREQUENCY_15MIN && is_served(m, t, key_of(t, slot)))
        t--;
    for (enum frequency k = FREQUENCY_HOURLY; k <= t; k++)
        m->served[k][m->n_served[k]++ % KEYS] = key_of(k, slot);
    return t;
}

static void remember(struct model_node *m, const struct made *one)
{
    if (m->n == m->size) {
        m->size = m->size ? m->size * 2 : 1024;
        m->all = realloc(m->all, m->size * sizeof *m->all);
        assert_non_null(m->all);
    }
    m->all[m->n++] = *one;
}

static int downwards(const void *a, const void *b)
{
    long x = *(const long *)a, y = *(const long *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* The oldest of the newest `count` months (days, hours) that a tier of the node ever had. */
static long oldest_kept(const struct model_node *m, enum frequency t, unsigned count)
{
    size_t n = 0, kinds = 0;
    long last = 0, *keys = malloc((m->n + 1) * sizeof *keys);
    assert_non_null(keys);
    for (size_t i = 0; i < m->n; i++)
        if (m->all[i].frequency == t && !m->all[i].future)
            keys[n++] = key_of(t, m->all[i].slot);
    qsort(keys, n, sizeof *keys, downwards);
    for (size_t i = 0; i < n && kinds < count; i++) {
        kinds += i == 0 || keys[i] != last;
        last = keys[i];
    }
    free(keys);
    return kinds < count ? -1 : last;
}

static void judge(const struct model_node *m, const struct retention *r)
{
    time_t newest = 0, of[FREQUENCY_COUNT] = {0};
    for (size_t i = 0; i < m->n; i++) {
        const struct made *one = &m->all[i];
        if (one->future)
            continue;
        newest = one->slot > newest ? one->slot : newest;
        of[one->frequency] = one->slot > of[one->frequency] ? one->slot : of[one->frequency];
    }
    for (enum frequency t = FREQUENCY_15MIN; t < FREQUENCY_COUNT; t++) {
        long oldest = r->keep[t].count ? oldest_kept(m, t, r->keep[t].count) : 0;
        bool newest_there = of[t] == 0;
        for (size_t i = 0; i < m->n; i++) {
            const struct made *one = &m->all[i];
            if (one->frequency != t)
                continue;
            newest_there = newest_there || (one->there && one->slot == of[t] && !one->future);
            bool young =
                r->keep[t].count ? key_of(t, one->slot) >= oldest : one->slot > newest - r->keep[t].age;
            bool stays = one->slot >= of[t] || young;
            if (one->there != stays)
                fail_msg("%s of slot %lld is %sthere, of a node whose newest is %lld", frequency_text(t),
                         (long long)one->slot, one->there ? "" : "not ", (long long)newest);
        }
        assert_true(newest_there);
    }
}

/* --- the world */

struct node {
    time_t away_until, gone, offset_until;
    long long offset; /* of its clock, in seconds */
};
struct world {
    struct retention policy;
    struct frequency_item *items;
    unsigned *id; /* of each item */
    size_t n, size;
    struct node node[NODES];
    struct model_node model[NODES];
    uint64_t chance;
    unsigned published, jumped;
};

static uint64_t chance(struct world *w, uint64_t below)
{
    w->chance = w->chance * 6364136223846793005u + 1442695040888963407u;
    return (w->chance >> 33) % below;
}

/* It may stop for days, or for more than a year; its clock may jump by minutes, days or years. */
static void live(struct world *w, struct node *n, time_t now)
{
    static const long long jump[] = {25, 500, 700, 7200, 2 * DAY, 40 * DAY, 5 * 366 * DAY};
    if (now >= n->away_until && chance(w, 2000) == 0)
        n->away_until = now + (time_t)(chance(w, 4) == 0 ? 430 : chance(w, 12)) * DAY;
    if (now >= n->offset_until)
        n->offset = 0;
    if (n->offset == 0 && chance(w, 300) == 0) {
        n->offset = jump[chance(w, sizeof jump / sizeof *jump)] * (chance(w, 2) ? 1 : -1);
        n->offset_until = now + (time_t)chance(w, 3 * DAY);
        w->jumped++;
    }
}

static void add(struct world *w, const struct frequency_item *it, unsigned id)
{
    if (w->n == w->size) {
        w->size = w->size ? w->size * 2 : 1024;
        w->items = realloc(w->items, w->size * sizeof *w->items);
        w->id = realloc(w->id, w->size * sizeof *w->id);
        assert_true(w->items && w->id);
    }
    w->id[w->n] = id;
    w->items[w->n++] = *it;
}

static struct made *find(struct model_node *m, unsigned id) { return &m->all[id]; }

static void prune(struct world *w)
{
    size_t kept = 0;
    retention_select(&w->policy, w->items, w->n);
    for (size_t i = 0; i < w->n; i++) {
        if (w->items[i].drop) {
            find(&w->model[w->items[i].node], w->id[i])->there = false;
            continue;
        }
        w->id[kept] = w->id[i];
        w->items[kept++] = w->items[i];
    }
    w->n = kept;
}

static enum frequency choose(const struct world *w, unsigned node, time_t slot)
{
    static struct frequency_item own[8192];
    size_t n = 0;
    for (size_t i = 0; i < w->n; i++)
        if (w->items[i].node == node) {
            assert_true(n < sizeof own / sizeof *own);
            own[n++] = w->items[i];
        }
    return frequency_choose(slot, own, n);
}

/* Made at `now`, and on EFS seconds or hours later; the node's clock is as wrong then as before. */
static void publish(struct world *w, unsigned k, time_t now)
{
    struct model_node *m = &w->model[k];
    const struct node *n = &w->node[k];
    time_t delay = (time_t)(chance(w, 20) == 0 ? chance(w, 5 * HOUR) : chance(w, 90)), taken;
    time_t named = now + (time_t)n->offset, server = now + delay;
    bool known = frequency_taken(named, server + (time_t)n->offset, server, &taken);
    time_t slot = frequency_slot(known ? taken : named);
    bool future = slot > server + FREQUENCY_AHEAD;
    assert_true(known); /* made and published under one clock: it can be told */
    if (n->offset > FREQUENCY_AHEAD || n->offset < -FREQUENCY_AHEAD)
        assert_int_equal(taken, now);
    else
        assert_int_equal(taken, named);
    struct made one = {
        .frequency = model_tier(m, slot), .slot = slot, .made = now, .future = future, .there = true};
    one.id = (unsigned)m->n;
    assert_int_equal(choose(w, k, slot), one.frequency);
    remember(m, &one);
    add(w,
        &(struct frequency_item){
            .frequency = one.frequency, .slot = slot, .good = true, .future = future, .node = k},
        one.id);
    prune(w);
    if (!find(m, one.id)->there)
        fail_msg("let go at once: made at %lld, named for %lld", (long long)now, (long long)named);
    w->published++;
}

static void ten_years_of_retention_are_as_the_policy_says(void **state)
{
    const char *full = getenv("TEN_YEARS"), *seed = getenv("TEN_YEARS_SEED");
    bool all = full && strcmp(full, "full") == 0;
    const time_t begin = 1767225600; /* 2026-01-01 */
    static struct world w;
    char wrong[64];
    (void)state;
    w = (struct world){.chance = seed ? strtoull(seed, NULL, 10) : 20260101};
    assert_true(retention_parse("", &w.policy, wrong, sizeof wrong));
    for (unsigned k = 0; k < NODES; k++) { /* they come one after the other, and one goes for good */
        w.node[k].away_until = begin + k * 200 * DAY;
        w.node[k].gone = k == 1 ? begin + 5 * 365 * DAY : begin + 20 * 365 * DAY;
    }
    time_t burst = 0, judged = 0;
    for (time_t now = begin; now < begin + (time_t)YEARS * 365 * DAY;) {
        for (unsigned k = 0; k < NODES; k++) {
            live(&w, &w.node[k], now);
            if (now >= w.node[k].away_until && now < w.node[k].gone)
                publish(&w, k, now + (time_t)chance(&w, 60));
        }
        if (now - judged > (all ? 200 : 60) * DAY) {
            judged = now;
            for (unsigned k = 0; k < NODES; k++)
                judge(&w.model[k], &w.policy);
        }
        if (now > burst && chance(&w, 150) == 0)
            burst = now + 2 * DAY;
        now += all || now < burst ? 900 : 900 + (time_t)chance(&w, 96) * 900;
    }
    assert_true(w.published > 20000 && w.jumped > 20);
    for (unsigned k = 0; k < NODES; k++) {
        judge(&w.model[k], &w.policy);
        free(w.model[k].all);
    }
    free(w.items);
    free(w.id);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(ten_years_of_retention_are_as_the_policy_says)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
