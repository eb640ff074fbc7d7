#include "replicator/core/disk_rule.h"
#include <stdlib.h>

/* What a file system may gain in a second, and how seldom a disk with much room is looked at. */
enum { FILL_MIB = 512, LOOK_MS = 1000, LOOK_MAX_MS = 30000, BASE_MIB = 4, STOPS_MIN_MIB = 64 };

struct disk_marks disk_marks(uint64_t min_free, uint64_t wal_mib)
{
    struct disk_marks m = {.stops = wal_mib < (UINT64_MAX >> 24) ? (wal_mib << 20) * 2 : 0};
    if (m.stops < (uint64_t)STOPS_MIN_MIB << 20)
        m.stops = (uint64_t)STOPS_MIN_MIB << 20; /* a collection may have a WAL of its own */
    m.floor = min_free > m.stops * 3 ? min_free : m.stops * 3;
    m.last = m.stops + (m.floor - m.stops) / 2;
    return m;
}

uint64_t disk_estimate(const struct disk_known *k, uint64_t floor)
{
    if (k->on_disk >= 0) {
        int64_t beyond = k->last > k->last_had && k->last_had >= 0 ? k->last - k->last_had : 0;
        uint64_t now = (uint64_t)k->on_disk;
        return now + now / 8 + (uint64_t)beyond + ((uint64_t)BASE_MIB << 20);
    }
    if (k->last >= 0)
        return (uint64_t)k->last;
    return k->on_efs >= 0 ? (uint64_t)k->on_efs : floor;
}

uint64_t disk_whole(uint64_t all) { return all > UINT64_MAX / 2 ? UINT64_MAX : all * 2; }

static uint64_t sum(uint64_t a, uint64_t b) { return a > UINT64_MAX - b ? UINT64_MAX : a + b; }

enum disk_answer disk_may_make(const struct disk_question *q)
{
    uint64_t needed = sum(q->need, q->floor);
    if (q->unpublished >= DISK_UNPUBLISHED)
        return DISK_HELD;
    if (q->free >= needed)
        return DISK_MAKE;
    return sum(q->free, q->releasable) >= needed ? DISK_SOON : DISK_NO_ROOM;
}

/* --- what goes */

/* 0: safe and beyond LOCAL_KEEP or gone, while tidying. */
static void tidy(struct disk_file *const *list, size_t n, unsigned keep)
{
    size_t safe = 0;
    for (size_t i = 0; i < n; i++) {
        struct disk_file *f = list[i];
        if (i == 0 || list[i - 1]->folder != f->folder)
            safe = 0;
        if (!f->safe || f->going)
            continue;
        f->going = f->gone || safe >= keep;
        safe++;
    }
}

static int oldest_first(const void *a, const void *b)
{
    const struct disk_file *x = *(struct disk_file *const *)a, *y = *(struct disk_file *const *)b;
    return (x->taken > y->taken) - (x->taken < y->taken);
}

/* Until that much is free. */
static uint64_t let_go(struct disk_file **list, size_t n, uint64_t there, uint64_t needed)
{
    for (size_t i = 0; i < n && there < needed; i++)
        if (!list[i]->going) {
            list[i]->going = true;
            there = sum(there, list[i]->size);
        }
    return there;
}

enum group { SAFE, STUCK_OLD, STUCK_NEWEST };

/* Those of one group, oldest first. */
static size_t gather(struct disk_file *const *list, size_t n, enum group g, struct disk_file **out)
{
    size_t found = 0;
    bool newest = true;
    for (size_t i = 0; i < n; i++) {
        struct disk_file *f = list[i];
        if (i == 0 || list[i - 1]->folder != f->folder)
            newest = true;
        if (g == SAFE ? f->safe : f->stuck && newest == (g == STUCK_NEWEST))
            out[found++] = f;
        newest = newest && !f->stuck;
    }
    if (found > 1)
        qsort(out, found, sizeof(struct disk_file *), oldest_first);
    return found;
}

bool disk_choose(struct disk_file *const *list, size_t n, const struct disk_need *need)
{
    uint64_t there = need->free;
    for (size_t i = 0; i < n; i++)
        there = sum(there, list[i]->going ? list[i]->size : 0);
    if (need->tidy)
        tidy(list, n, need->keep);
    if (there >= sum(need->marks.floor, need->wanted))
        return true;
    struct disk_file **some = calloc(n + 1, sizeof(struct disk_file *));
    if (!some)
        return false;
    there = need->free;
    for (size_t i = 0; i < n; i++)
        there = sum(there, list[i]->going ? list[i]->size : 0);
    there = let_go(some, gather(list, n, SAFE, some), there, sum(need->marks.floor, need->wanted));
    there = let_go(some, gather(list, n, STUCK_OLD, some), there, need->marks.floor);
    if (there < need->marks.last)
        (void)let_go(some, gather(list, n, STUCK_NEWEST, some), there, need->marks.last);
    free(some);
    return true;
}

int64_t disk_next_look(uint64_t free, uint64_t floor)
{
    uint64_t spare = free > floor ? free - floor : 0, ms = (spare >> 20) * 1000 / FILL_MIB;
    return ms < LOOK_MS ? LOOK_MS : ms > LOOK_MAX_MS ? LOOK_MAX_MS : (int64_t)ms;
}
