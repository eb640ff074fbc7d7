#include "efs/cli/cmd_policy.h"
#include "efs/replica/replica.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the replicators of a tree keep, as their heartbeats say. NULL, or why that cannot be told. Those of
 * nodes that are gone do not count. */
static const char *ask_heartbeats(const char *base, struct retention *out)
{
    struct replica_beats beats = {0};
    struct err e = {0};
    const char *why = NULL;
    bool any = false;
    if (replica_beats_read(base, &beats, &e) != 0)
        why = "its heartbeats cannot be read";
    for (size_t i = 0; !why && i < beats.n; i++) {
        const struct heartbeat *h = &beats.v[i].h;
        struct retention one;
        char wrong[256];
        if (!beats.v[i].read || replica_beat_gone(&beats, &beats.v[i]))
            continue;
        if (!h->retention[0] || !retention_parse(h->retention, &one, wrong, sizeof wrong))
            why = "a heartbeat of its replicators does not say it";
        else if (any && !retention_same(out, &one))
            why = "its replicators do not agree";
        *out = any || why ? *out : one;
        any = true;
    }
    replica_beats_free(&beats);
    return why ? why : any ? NULL : "no heartbeat of a replicator says it";
}

const struct retention *policy_of(struct policy *p, const char *base)
{
    char text[RETENTION_TEXT];
    const char *tree = strrchr(base, '/') + 1, *given = getenv("RETENTION");
    if (given && *given)
        return &p->o->settings.retention;
    if (strcmp(p->tree, base) == 0)
        return p->refused ? NULL : &p->own;
    (void)snprintf(p->tree, sizeof p->tree, "%s", base);
    p->refused = p->o->settings.require_signature ? "heartbeats, which say it, are not signed"
                                                  : ask_heartbeats(base, &p->own);
    if (p->refused) {
        cmd_complain("%s: %s, for RETENTION is not set, and %s; set it as the tasks have it "
                     "(--retention " RETENTION_STANDARD " where they do not set it)",
                     tree, p->nothing, p->refused);
        p->failed = true;
        return NULL;
    }
    retention_text(&p->own, text);
    cmd_complain("%s: RETENTION is not set; as its replicators keep: %s", tree, text);
    return &p->own;
}
