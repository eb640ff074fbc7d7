#include "replicator/status/task_protection.h"
#include "aws/ecs.h"
#include "common/base/clock.h"
#include "common/log.h"
#include <stdlib.h>

/* MINUTES: for so long ECS believes it; it is told anew after AGAIN_MS. */
enum { MINUTES = 30, AGAIN_MS = 10 * 60000 };

static const char *agent_uri(void)
{
    const char *agent = getenv("ECS_AGENT_URI");
    return agent && *agent ? agent : NULL;
}

bool task_protection_possible(void) { return agent_uri() != NULL; }

void task_protection_keep(struct task_protection *p, bool wanted, const atomic_bool *stop)
{
    const char *agent = agent_uri();
    struct err e = {0};
    int64_t now = clock_ms();
    if (!agent || (!wanted && !p->on) || (wanted && p->asked && now < p->asked + AGAIN_MS))
        return;
    bool news = wanted != p->on;
    int rc = ecs_task_protect(agent, wanted ? MINUTES : 0, stop, &e);
    p->asked = wanted ? now : 0; /* also where ECS refuses: it is asked again after a while */
    p->on = wanted && rc == 0;
    if (rc != 0 && !p->said)
        log_line(LOG_INFO, "not_protected",
                 "%s; a deployment may replace this task in the middle of its restore", e.text);
    else if (rc == 0 && news)
        log_line(LOG_INFO, "protected", "%s",
                 wanted ? "ECS keeps this task while it restores: no deployment and no scale-in replaces it"
                        : "the restore is over: ECS may replace this task again");
    p->said = rc != 0;
}
