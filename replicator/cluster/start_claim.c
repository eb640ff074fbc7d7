#include "common/base/clock.h"
#include "common/base/thread.h"
#include "common/log.h"
#include "efs/repo/cluster_nodes.h"
#include "efs/repo/mount.h"
#include "replicator/cluster/start_state.h"
#include <stdio.h>
#include <string.h>

/* Milliseconds: what EFS told then is not known any more. */
enum { OLD_MS = 15000, TELL_MS = 30000 };

struct founder start_founder(const struct starter *s, const char *own)
{
    return (struct founder){.root = s->settings.efs_root,
                            .tier = s->settings.tier,
                            .word = s->word,
                            .token = s->token,
                            .node = s->settings.node,
                            .uri = own};
}

static enum wish wish_of(struct starter *s, char own[300])
{
    (void)pthread_mutex_lock(&s->mutex);
    enum wish wish = s->wish;
    memcpy(own, s->own, 300);
    (void)pthread_mutex_unlock(&s->mutex);
    return wish;
}

/* One step towards founding, where that is what the other thread waits for, and one look after it. */
static int take_step(struct starter *s, struct founding *found, struct err *e)
{
    char own[300];
    enum wish wish = wish_of(s, own);
    struct founder me = start_founder(s, own);
    int rc = 0;
    bool may_claim = found->state == FOUNDING_FREE || found->state == FOUNDING_LEFT;
    if (wish == WISH_CLAIM && may_claim) {
        rc = founding_claim(&me, found, e);
        if (rc == 0)
            log_line(LOG_INFO, "cluster_claimed", "this node has the claim to found the cluster, number %u",
                     found->n + 1);
    } else if (wish == WISH_TELL && found->state == FOUNDING_OURS) {
        rc = founding_tell(&me, found, e);
    } else {
        return 0;
    }
    return rc < 0 ? -1 : founding_look(&me, found, e);
}

/* What took long was true when it was asked for, if ever. */
static void ask_efs(struct starter *s)
{
    struct err e = {0};
    char own[300];
    int64_t begun = clock_ms();
    (void)wish_of(s, own);
    struct founder me = start_founder(s, own);
    struct founding found = {0};
    int rc = mount_efs_is_local(&s->settings) ? err_set(&e, 0, "EFS is not mounted at", s->settings.efs_root,
                                                        "EFS_ALLOW_LOCAL=1 allows a local folder")
                                              : founding_look(&me, &found, &e);
    if (rc == 0 && clock_ms() < begun + OLD_MS)
        rc = take_step(s, &found, &e);
    (void)pthread_mutex_lock(&s->mutex);
    s->founding = rc == 0 ? found : (struct founding){0};
    s->looked = begun;
    (void)snprintf(s->efs_trouble, sizeof s->efs_trouble, "%.599s", rc == 0 ? "" : e.text);
    (void)pthread_mutex_unlock(&s->mutex);
}

/* That this node is there anew, without the disk of a peer that the others know: by that they may be sure
 * that it is lost (HEAL). */
static void tell_waiting(struct starter *s)
{
    struct cluster_place_of at = {s->settings.efs_root, s->settings.tier};
    struct cluster_node me = {.last = time(NULL)};
    struct err e = {0};
    (void)pthread_mutex_lock(&s->mutex);
    memcpy(me.peer, s->lost, sizeof me.peer);
    memcpy(me.uri, s->own, sizeof me.uri);
    (void)pthread_mutex_unlock(&s->mutex);
    (void)snprintf(me.node, sizeof me.node, "%s", s->settings.node);
    bool waits = *me.peer && *me.node;
    if (mount_efs_is_local(&s->settings) || (!waits && !s->told) ||
        (waits && s->told && clock_ms() < s->told_at + TELL_MS))
        return;
    if (!s->told)
        s->waits_since = me.last;
    me.first = s->waits_since;
    int rc = waits ? cluster_nodes_put_waiting(&at, &me, &e) : cluster_nodes_take_waiting(&at, me.node, &e);
    if (rc != 0 && (!s->told || !waits))
        log_line(LOG_WARN, "cluster_record", "EFS does not take that this node waits: %s; it is tried again",
                 e.text);
    if (rc == 0)
        s->told = waits;
    s->told_at = clock_ms();
}

static void *efs_loop(void *arg)
{
    struct starter *s = arg;
    for (;;) {
        ask_efs(s);
        tell_waiting(s);
        clock_sleep(START_LOOK_MS);
    }
    return NULL;
}

void start_begin_efs(struct starter *s)
{
    pthread_t thread;
    (void)snprintf(s->efs_trouble, sizeof s->efs_trouble, "%s",
                   s->settings.efs_root[0]
                       ? "it has not answered yet"
                       : "EFS_ROOT is not set; set it on all nodes, to where EFS is mounted");
    if (s->settings.efs_root[0] && thread_start(&thread, "efs-claim", efs_loop, s) != 0)
        (void)snprintf(s->efs_trouble, sizeof s->efs_trouble, "there is no thread left for it");
}

/* The thread's news, and what it is to try. What it told a while ago counts no more: a claim grows old. */
void start_exchange(struct starter *s, enum wish wish, struct founding *found, char trouble[600])
{
    (void)pthread_mutex_lock(&s->mutex);
    int64_t age = clock_ms() - s->looked;
    s->wish = wish;
    memcpy(s->own, s->addresses.own, sizeof s->own);
    (void)snprintf(s->lost, sizeof s->lost, "%s", s->facts.taken ? s->meeting.taken : "");
    *found = age < OLD_MS ? s->founding : (struct founding){0};
    (void)snprintf(trouble, 600, "%s", s->efs_trouble);
    if (age >= OLD_MS && s->looked > 0)
        (void)snprintf(trouble, 600, "it has not answered for %lld s", (long long)(age / 1000));
    (void)pthread_mutex_unlock(&s->mutex);
    s->facts.claim = found->state;
}
