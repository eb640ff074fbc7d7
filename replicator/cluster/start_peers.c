#include "common/base/clock.h"
#include "common/log.h"
#include "replicator/cluster/start_state.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Milliseconds. COUNT: to count a lost node's shards again. NAME: for so long after the start a name that is
 * not known yet may be this node's. LISTEN: a port takes a connection by then. */
enum { COUNT_MS = 15000, NAME_MS = 30000, LISTEN_MS = 1000 };

/* Of a Qdrant that cannot be reached, or does not answer in time, its other port may tell that it is there.
 */
static bool is_there(const char *uri, const struct err *e)
{
    return (e->code != ECONNREFUSED && e->code != ETIMEDOUT && e->code != ECANCELED) ||
           cluster_address_listens(uri, LISTEN_MS);
}

/* Is the member at our address one with shards? Counted now and then: each count asks for each collection. */
static int look_at_taken(struct starter *s, struct qdrant *q, const struct cluster_meeting *m, struct err *e)
{
    s->facts.taken = false;
    if (!m->taken[0])
        return 0;
    if (s->counted == 0 || clock_ms() >= s->counted + COUNT_MS || strcmp(s->meeting.taken, m->taken) != 0) {
        if (cluster_replicas(q, m->taken, &s->replicas, e) != 0)
            return -1;
        s->counted = clock_ms();
    }
    s->facts.taken = s->replicas > 0;
    return 0;
}

static void note(struct starter *s, const char *uri, const char *what)
{
    s->facts.answers = true;
    if (!s->trouble[0])
        (void)snprintf(s->trouble, sizeof s->trouble, "%.299s %.290s", uri, what);
}

static void meet(struct starter *s, const char *uri)
{
    struct qdrant_settings there = s->qdrant_settings;
    struct cluster_meeting m;
    struct err e = {0};
    s->asked++;
    if (!qdrant_url_at(s->qdrant_settings.url, uri, there.url, sizeof there.url))
        return note(s, uri, "cannot be asked: its address is too long");
    if (!s->warned && qdrant_key_in_clear(&there)) {
        s->warned = true;
        log_line(LOG_WARN, "key_in_clear",
                 "%s is another machine, and is sent Qdrant's key as it is, as the other nodes of "
                 "QDRANT_CLUSTER_DNS are: whoever listens on the way has it; use TLS",
                 there.url);
    }
    struct qdrant *q = qdrant_new(&there, s->key, NULL);
    int rc = q ? cluster_meet(q, s->addresses.own, s->raft.peer_id, &m, &e) : -1;
    if (rc == 0 && m.same) {
        s->facts.same = true;
        note(s, uri, "says that it is at this node's own address");
    } else if (rc == 0 && m.joinable) {
        rc = look_at_taken(s, q, &m, &e);
        s->facts.leader = rc == 0;
        s->facts.answers = true;
        s->meeting = m;
    } else if (rc == 0) {
        note(s, uri, m.trouble);
    }
    qdrant_free(q);
    explicit_bzero(&there, sizeof there);
    if (rc != 0 && is_there(uri, &e))
        note(s, uri, e.text);
}

/* Which of them is asked first is this process's own: one that is joined in vain is not always the first. */
int start_look_at_peers(struct starter *s, struct err *e)
{
    struct cluster_addresses *a = &s->addresses;
    if (cluster_addresses_find(s->list, s->given, &s->port, a, e) != 0)
        return -1;
    bool early = clock_ms() < s->begun + NAME_MS;
    s->facts.addressed = a->own[0] && !(a->guessed && a->unknown[0] && strchr(s->list, ',') && early);
    s->facts.leader = s->facts.answers = s->facts.taken = s->facts.same = false;
    s->trouble[0] = 0;
    s->asked = 0;
    for (size_t i = 0, first = (size_t)getpid(); i < a->n && !s->facts.leader && !s->facts.same; i++) {
        const struct cluster_address *one = &a->v[(first + i) % a->n];
        if (!one->own)
            meet(s, one->uri);
    }
    if (a->silent[0])
        note(s, a->silent, "may be a node: the resolver does not tell");
    if (s->facts.answers)
        s->heard = clock_ms();
    s->facts.silent_ms = clock_ms() - s->heard;
    return 0;
}
