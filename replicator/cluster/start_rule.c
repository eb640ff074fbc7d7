#include "replicator/cluster/start_rule.h"

static enum start_what beside_a_cluster(const struct start_facts *f)
{
    if (f->disk == START_DISK_ALONE)
        return START_WAIT_ALONE;
    return f->taken ? START_WAIT_TAKEN : START_JOIN;
}

/* Nobody answers. */
static enum start_what by_claim(const struct start_facts *f)
{
    int64_t before = f->disk == START_DISK_ALONE ? START_SETTLE_LONG_MS / 2 : START_SETTLE_LONG_MS;
    bool settled = f->silent_ms >= START_SETTLE_MS, long_settled = f->silent_ms >= before;
    switch (f->claim) {
    case FOUNDING_OURS: return settled ? START_TELL : START_WAIT_SETTLE;
    case FOUNDING_TELLING: return settled ? START_FOUND : START_WAIT_SETTLE;
    case FOUNDING_OTHERS: return START_WAIT_FOUNDER;
    case FOUNDING_EARLIER:
    case FOUNDING_DONE: return START_WAIT_PEERS;
    case FOUNDING_MAYBE: return START_WAIT_MAYBE;
    case FOUNDING_USED: return START_WAIT_USED;
    case FOUNDING_FREE: return (f->word ? long_settled : settled) ? START_CLAIM : START_WAIT_SETTLE;
    case FOUNDING_LEFT: return long_settled ? START_CLAIM : START_WAIT_SETTLE;
    case FOUNDING_UNKNOWN: break;
    }
    return settled ? START_WAIT_EFS : START_WAIT_SETTLE;
}

enum start_what start_decide(const struct start_facts *f)
{
    if (f->disk == START_DISK_MEMBER)
        return START_RUN;
    if (!f->addressed)
        return START_WAIT_ADDRESS;
    if (f->same)
        return START_WAIT_SAME;
    if (f->leader)
        return beside_a_cluster(f);
    return f->answers ? START_WAIT_LEADER : by_claim(f);
}
