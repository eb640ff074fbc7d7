/* The nodes of the cluster that a set is restored into. A peer tells where the others reach it, and not where
 * its REST API is: that is looked for on the same host, at the port of the node that was named; and whoever
 * answers is asked who it is, before anything is sent. */
#include "common/base/cleanup.h"
#include "efs/cli/cmd_restore.h"
#include "qdrant/cluster.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char ADVICE[] = "give the address of each other node's REST API with --peer-url";

static void peers_free(struct cluster_peers *p) { free(p->v); }
#define cleanup_peers __attribute__((cleanup(peers_free)))

void restore_nodes_free(struct job *j)
{
    for (size_t i = 1; i < j->n_nodes; i++) /* the first one is j->qdrant */
        qdrant_free(j->nodes[i].qdrant);
    if (j->node_settings)
        explicit_bzero(j->node_settings, j->nodes_room * sizeof *j->node_settings);
    free(j->node_settings);
    free(j->nodes);
    j->node_settings = NULL;
    j->nodes = NULL;
    j->n_nodes = 0;
}

static enum restore_outcome refuse(struct err *e, const char *what, const char *advice)
{
    (void)err_set(e, 0, what, NULL, advice);
    return RESTORE_REFUSED;
}

/* Ask whoever answers there. */
static enum restore_outcome add_node(struct job *j, const char *url, char peer[24], struct err *e)
{
    struct cluster_state state;
    struct err why = {0};
    char what[900];
    struct qdrant_settings *settings = &j->node_settings[j->n_nodes];
    struct spread_node *node = &j->nodes[j->n_nodes];
    *settings = j->settings;
    if ((size_t)snprintf(settings->url, sizeof settings->url, "%s", url) >= sizeof settings->url)
        return refuse(e, "the address of a node is too long", ADVICE);
    if (qdrant_key_in_clear(settings) && !qdrant_key_in_clear(&j->settings))
        cmd_complain("warning: %s is another machine, and is sent Qdrant's key as it is: use https", url);
    *node = (struct spread_node){.qdrant = qdrant_new(settings, j->key, j->stop)};
    if (!node->qdrant)
        return (void)err_set(e, ENOMEM, "cannot ask", url, NULL), RESTORE_FAILED;
    j->n_nodes++;
    (void)snprintf(node->name, sizeof node->name, "%.299s", url);
    if (cluster_state(node->qdrant, &state, &why) != 0) {
        (void)snprintf(what, sizeof what, "%.300s: %.500s", url, why.text);
        return refuse(e, what, ADVICE);
    }
    (void)snprintf(peer, 24, "%s", state.peer_id);
    (void)snprintf(node->peer, sizeof node->peer, "%s", state.peer_id);
    return RESTORE_DONE;
}

static struct cluster_peer *peer_of(struct cluster_peers *peers, const char *id)
{
    for (size_t i = 0; i < peers->n; i++)
        if (strcmp(peers->v[i].id, id) == 0)
            return &peers->v[i];
    return NULL;
}

/* The peers that were found are left without an id. */
static enum restore_outcome add_given(struct job *j, struct cluster_peers *peers, struct err *e)
{
    char id[24], what[500];
    for (size_t i = 0; i < j->o->restore.n_peers; i++) {
        const char *url = j->o->restore.peers[i];
        enum restore_outcome outcome = add_node(j, url, id, e);
        if (outcome != RESTORE_DONE)
            return outcome;
        struct cluster_peer *peer = peer_of(peers, id);
        if (!peer) {
            (void)snprintf(what, sizeof what, "--peer-url %.300s is %s", url,
                           *id ? "no other node of this cluster, or was given twice"
                               : "a Qdrant without a cluster");
            return refuse(e, what, ADVICE);
        }
        peer->id[0] = 0;
    }
    for (size_t i = 0; i < peers->n; i++)
        if (peers->v[i].id[0]) {
            (void)snprintf(what, sizeof what, "the peer %.20s (%.300s) has no --peer-url", peers->v[i].id,
                           peers->v[i].uri);
            return refuse(e, what, ADVICE);
        }
    return RESTORE_DONE;
}

/* Where the peer ought to answer. */
static enum restore_outcome add_found_one(struct job *j, const struct cluster_peer *peer, struct err *e)
{
    char id[24] = "", url[512] = "", what[900];
    struct err why = {0};
    enum restore_outcome outcome = RESTORE_REFUSED;
    if (qdrant_url_at(j->settings.url, peer->uri, url, sizeof url))
        outcome = add_node(j, url, id, &why);
    if (outcome == RESTORE_DONE && strcmp(id, peer->id) == 0)
        return RESTORE_DONE;
    (void)snprintf(what, sizeof what, "the peer %.20s (%.200s) does not answer at %.200s%s%.300s", peer->id,
                   peer->uri, *url ? url : "its host and the port of --url",
                   outcome == RESTORE_DONE ? ": that is " : ": ",
                   outcome != RESTORE_DONE ? why.text
                   : *id                   ? "another node"
                                           : "a Qdrant without a cluster");
    return refuse(e, what, outcome == RESTORE_DONE || !*url ? ADVICE : NULL); /* `why` has it */
}

static enum restore_outcome add_found(struct job *j, struct cluster_peers *peers, struct err *e)
{
    enum restore_outcome outcome = RESTORE_DONE;
    for (size_t i = 0; i < peers->n && outcome == RESTORE_DONE; i++)
        if (peers->v[i].id[0])
            outcome = add_found_one(j, &peers->v[i], e);
    return outcome;
}

static enum restore_outcome check_cluster(const struct cluster_state *state, struct err *e)
{
    char what[900];
    if (!state->consensus[0] && state->unreachable == 0)
        return RESTORE_DONE;
    (void)snprintf(what, sizeof what, "the cluster does not work: %s%.400s",
                   state->consensus[0] ? "consensus has stopped: " : "not reached: ",
                   state->consensus[0] ? state->consensus : state->peers);
    return refuse(e, what, "start or remove that node first, as the runbook has it");
}

/* A load balancer's address is another node each time that it is asked. */
static enum restore_outcome is_of_one(struct job *j, const char *peer, struct err *e)
{
    enum { TIMES = 4 };
    struct cluster_state state;
    char what[700];
    for (int i = 0; i < TIMES; i++) {
        if (cluster_state(j->qdrant, &state, e) != 0)
            return RESTORE_FAILED;
        if (strcmp(state.peer_id, peer) == 0)
            continue;
        (void)snprintf(what, sizeof what, "several nodes answer at %.500s", j->settings.url);
        return refuse(e, what, "name one of them with --url: each is sent what is its own");
    }
    return RESTORE_DONE;
}

enum restore_outcome restore_nodes_find(struct job *j, struct err *e)
{
    struct cluster_state state;
    cleanup_peers struct cluster_peers peers = {0};
    restore_nodes_free(j);
    if (cluster_state(j->qdrant, &state, e) != 0)
        return RESTORE_FAILED;
    if (state.members < 2)
        return j->o->restore.n_peers == 0
                   ? RESTORE_DONE
                   : refuse(e, "the Qdrant at --url is no cluster of several nodes", "leave --peer-url out");
    enum restore_outcome outcome = is_of_one(j, state.peer_id, e);
    if (outcome == RESTORE_DONE)
        outcome = check_cluster(&state, e);
    if (outcome != RESTORE_DONE)
        return outcome;
    if (cluster_peers(j->qdrant, &peers, e) != 0)
        return RESTORE_FAILED;
    j->nodes_room = peers.n + j->o->restore.n_peers + 1;
    j->nodes = calloc(j->nodes_room, sizeof *j->nodes);
    j->node_settings = calloc(j->nodes_room, sizeof *j->node_settings);
    if (!j->nodes || !j->node_settings)
        return (void)err_set(e, ENOMEM, "cannot ask the nodes", NULL, NULL), RESTORE_FAILED;
    j->nodes[j->n_nodes++] = (struct spread_node){.qdrant = j->qdrant};
    (void)snprintf(j->nodes[0].name, sizeof j->nodes[0].name, "%.299s", j->settings.url);
    (void)snprintf(j->nodes[0].peer, sizeof j->nodes[0].peer, "%s", state.peer_id);
    struct cluster_peer *own = peer_of(&peers, state.peer_id);
    if (own)
        own->id[0] = 0;
    return j->o->restore.n_peers > 0 ? add_given(j, &peers, e) : add_found(j, &peers, e);
}
