/* Over any set of backups: the newest good one of each tier of each node stays, what is not good goes only
 * behind a good one, and what was kept is kept again. */
#include "efs/repo/retention.h"
#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frequency_item items[64];
    struct retention r = {0};
    size_t n = 0;
    if (size < 8)
        return 0;
    for (int t = 0; t < FREQUENCY_COUNT; t++) {
        r.keep[t].count = data[t * 2] % 2 ? data[t * 2 + 1] % 20U + 1 : 0;
        r.keep[t].age = r.keep[t].count ? 0 : (time_t)(data[t * 2 + 1] + 1) * 3600;
    }
    for (size_t at = 8; at + 4 <= size && n < 64; at += 4)
        items[n++] = (struct frequency_item){
            .frequency = (enum frequency)(data[at] % FREQUENCY_COUNT),
            .good = data[at] & 16,
            .future = data[at] & 32,
            .node = data[at] >> 6,
            .slot = (time_t)(data[at + 1] << 16 | data[at + 2] << 8 | data[at + 3]) * 900};
    retention_select(&r, items, n);
    for (size_t i = 0; i < n; i++) {
        size_t k = 0;
        while (k < n && !(items[k].newest && items[k].frequency == items[i].frequency &&
                          items[k].node == items[i].node))
            k++;
        if (items[i].drop)
            assert(k < n && items[k].good && !items[k].future && !items[k].drop &&
                   items[i].slot < items[k].slot);
    }
    size_t kept = 0;
    struct frequency_item again[64];
    for (size_t i = 0; i < n; i++)
        if (!items[i].drop)
            again[kept++] = items[i];
    retention_select(&r, again, kept);
    for (size_t i = 0; i < kept; i++)
        assert(!again[i].drop);
    if (n > 0) {
        enum frequency t = frequency_choose(items[0].slot, items, n);
        assert(t < FREQUENCY_COUNT);
    }
    return 0;
}
