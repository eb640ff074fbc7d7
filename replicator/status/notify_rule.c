#include "replicator/status/notify_rule.h"

static enum notify_what tell(enum notify_what what, const struct notify_seen *s, struct notify_told *told)
{
    told->when = s->now;
    told->bad = s->failing;
    return what;
}

enum notify_what notify_rule(const struct notify_seen *s, struct notify_told *told)
{
    time_t period = s->interval > 0 ? (time_t)s->interval : NOTIFY_PERIOD;
    bool settled = s->ended > 0 && s->now >= s->ended + NOTIFY_SETTLE && s->waiting == 0;
    if (!s->failing)
        told->bad = false;
    told->since = !s->failing ? 0 : told->since ? told->since : s->now;
    if (s->failing && !told->bad && s->now >= told->since + NOTIFY_PATIENCE)
        return tell(NOTIFY_BAD, s, told);
    if (settled && s->slot != told->slot) {
        told->slot = s->slot;
        return tell(s->failing || s->not_made > 0 ? NOTIFY_BAD : NOTIFY_GOOD, s, told);
    }
    if (told->when == 0)
        told->when = s->now; /* the first period begins with us */
    bool idle = !s->running && s->waiting == 0 && (s->ended == 0 || s->slot == told->slot);
    if (idle && !s->failing && !s->restore_pending && s->now >= told->when + period + NOTIFY_SLACK)
        return tell(NOTIFY_GOOD, s, told);
    return NOTIFY_NOTHING;
}
