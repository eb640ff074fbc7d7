/* Over any set of backups: the newest good one of each tier stays, what is not good goes only behind a good
 * one, and what was kept is kept again. */
#include "efs/tier.h"
#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tier_item items[64];
    struct retention r = {0};
    size_t n = 0;
    if (size < 8)
        return 0;
    for (int t = 0; t < TIER_COUNT; t++) {
        r.keep[t].count = data[t * 2] % 2 ? data[t * 2 + 1] % 20U + 1 : 0;
        r.keep[t].age = r.keep[t].count ? 0 : (time_t)(data[t * 2 + 1] + 1) * 3600;
    }
    for (size_t at = 8; at + 4 <= size && n < 64; at += 4)
        items[n++] =
            (struct tier_item){.tier = (enum tier)(data[at] % TIER_COUNT),
                               .good = data[at] & 16,
                               .future = data[at] & 32,
                               .slot = (time_t)(data[at + 1] << 16 | data[at + 2] << 8 | data[at + 3]) * 900};
    retention_select(&r, items, n);
    for (int t = 0; t < TIER_COUNT; t++) {
        size_t newest = retention_newest((enum tier)t, items, n);
        for (size_t i = 0; i < n; i++)
            if (items[i].tier == (enum tier)t && items[i].drop)
                assert(newest < n && !items[newest].drop && items[i].slot < items[newest].slot);
    }
    size_t kept = 0;
    struct tier_item again[64];
    for (size_t i = 0; i < n; i++)
        if (!items[i].drop)
            again[kept++] = items[i];
    retention_select(&r, again, kept);
    for (size_t i = 0; i < kept; i++)
        assert(!again[i].drop);
    if (n > 0) {
        enum tier t = tier_choose(items[0].slot, items, n);
        assert(t < TIER_COUNT);
    }
    return 0;
}
