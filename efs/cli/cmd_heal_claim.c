/* One heal at a time, whoever begins it: a claim on EFS, renewed by a thread while the heal goes on. Without
 * an EFS that can be written there is none, and it is said so. */
#include "common/base/clock.h"
#include "common/base/thread.h"
#include "efs/cli/cmd_heal.h"
#include "efs/repo/heal_claim.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

enum { RENEW_MS = 30000, LOOK_MS = 500 };

/* The thread may hang with EFS: what it uses stays. */
static struct {
    struct heal_claim claim;
    char node[128];
    atomic_bool held, lost, end;
    atomic_llong renewed; /* clock_ms of the last time */
    pthread_t thread;
} own;

static void *renew(void *arg)
{
    (void)arg;
    for (int64_t next = clock_ms() + RENEW_MS; !atomic_load(&own.end); clock_sleep(LOOK_MS)) {
        struct err ignored;
        if (clock_ms() < next)
            continue;
        int rc = heal_claim_renew(&own.claim, &ignored);
        if (rc == 0)
            atomic_store(&own.lost, true);
        if (rc > 0)
            atomic_store(&own.renewed, clock_ms());
        next = clock_ms() + RENEW_MS;
    }
    return NULL;
}

int heal_claim_begin(struct healing *h)
{
    struct err e = {0};
    const struct settings *s = &h->o->settings;
    char host[100] = "";
    if (h->o->dry_run || !h->o->root[0])
        return 0;
    (void)gethostname(host, sizeof host - 1); /* for people */
    (void)snprintf(own.node, sizeof own.node, "%s", s->node[0] ? s->node : host);
    own.claim = (struct heal_claim){.root = h->o->root, .tier = s->tier, .node = own.node};
    int rc = heal_claim_take(&own.claim, &e);
    if (rc == 0 && h->json)
        (void)cmd_json_text(h->json, "claimed_by", own.claim.other); /* without memory the error tells */
    if (rc == 0)
        return heal_fail(h, "%s heals the cluster, or began to less than %d minutes ago; nothing was changed",
                         own.claim.other, HEAL_CLAIM_STALE / 60 + 1);
    if (rc < 0) {
        cmd_complain(
            "warning: no claim on EFS says that the cluster is being healed: %s; see that nobody else "
            "heals it meanwhile",
            e.text);
        return 0;
    }
    atomic_store(&own.renewed, clock_ms());
    if (thread_start(&own.thread, "heal-claim", renew, NULL) != 0)
        return heal_fail(h, "there is no thread left for the claim");
    atomic_store(&own.held, true);
    return 0;
}

bool heal_claim_holds(void)
{
    if (!atomic_load(&own.held))
        return true; /* there is none to lose */
    bool old = clock_ms() > atomic_load(&own.renewed) + (HEAL_CLAIM_STALE - 30) * 1000;
    if (atomic_load(&own.lost))
        cmd_complain("another node has taken the heal over");
    else if (old)
        cmd_complain("EFS does not take that this heal goes on: another one may begin");
    return !atomic_load(&own.lost) && !old;
}

void heal_claim_leave(void)
{
    struct err ignored;
    if (!atomic_load(&own.held))
        return;
    atomic_store(&own.end, true);
    if (clock_join(own.thread, clock_ms() + 3 * LOOK_MS) && !atomic_load(&own.lost))
        (void)heal_claim_end(&own.claim, &ignored); /* else it grows old */
}
