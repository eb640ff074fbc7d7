/* heal: get a cluster over a lost node, step by step (qdrant/heal_rule.h). Each step is chosen by what is
 * there now, and its effect is waited for: a heal that was cut off goes on where it is begun again. */
#include "efs/cli/cmd_heal.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/json.h"
#include "qdrant/cluster.h"
#include "qdrant/config_files.h"
#include <curl/curl.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHANGE_MS = 60000, /* for Qdrant to agree to a change */
    SEEN_MS = 120000,  /* ... and for it to be seen */
    POLL_MS = 500,
    NEWCOMER_MS = 120000,
    STEPS_MAX = 1 << 20,
};

int heal_fail(struct healing *h, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(h->error, sizeof h->error, fmt, ap);
    va_end(ap);
    cmd_complain("%s", h->error);
    return EXIT_DEFECT;
}

const char *heal_name(const struct healing *h, size_t peer, char out[160])
{
    const struct cluster_node *n =
        peer == CLUSTER_NOBODY ? NULL : cluster_nodes_peer(&h->known, h->map.peers[peer].id);
    (void)snprintf(out, 160, "%s%.127s", n ? " " : "", n ? n->node : "");
    return out;
}

static bool stopped(const struct healing *h) { return atomic_load(h->stop); }

/* --- what is there */

static void forget_map(struct healing *h)
{
    cluster_map_free(&h->map);
    free(h->how);
    free(h->left);
    free(h->deaf);
    h->how = NULL;
    h->left = h->deaf = NULL;
}

static bool is_in(const cJSON *list, const char *name)
{
    const cJSON *one;
    cJSON_ArrayForEach(one, list)
    {
        if (strcmp(cJSON_GetStringValue(one), name) == 0)
            return true;
    }
    return false;
}

/* 0, or an exit code. */
static int look(struct healing *h)
{
    struct err e = {0};
    int rc = -1;
    forget_map(h);
    for (int64_t end = clock_ms() + (h->begun ? SEEN_MS : 0);; clock_sleep(POLL_MS)) {
        e = (struct err){0};
        rc = cluster_map_read(h->qdrant, &h->map, &e);
        bool electing = rc == 0 && h->map.n_peers > 0 && h->map.leader == CLUSTER_NOBODY;
        if ((rc == 0 && !electing) || clock_ms() >= end || stopped(h))
            break;
        cluster_map_free(&h->map);
    }
    if (rc != 0)
        return heal_fail(h, "%s", e.text);
    if (h->map.n_peers == 0)
        return heal_fail(h, "the Qdrant at %s is no cluster: there is nothing to heal", h->settings.url);
    h->how = calloc(h->map.n_peers + 1, sizeof *h->how);
    h->left = calloc(h->map.n + 1, sizeof *h->left);
    h->deaf = calloc(h->map.n_peers + 1, sizeof *h->deaf);
    if (!h->how || !h->left || !h->deaf)
        return heal_fail(h, "no memory");
    for (size_t i = 0; i < h->map.n; i++)
        h->left[i] = is_in(h->failed, h->map.v[i].name);
    for (size_t i = 0; i < h->map.n_peers; i++)
        h->deaf[i] = is_in(h->unheard, h->map.peers[i].id);
    return heal_judge_peers(h);
}

/* --- one step */

static int change(const struct healing *h, const struct qdrant_ask *what, struct err *e)
{
    cleanup_json cJSON *answer = qdrant_ask(h->qdrant, what, e);
    return answer ? 0 : -1;
}

static int in_collection(const struct healing *h, const struct heal_step *step, const char *json,
                         struct err *e)
{
    struct qdrant_ask ask = {.method = "POST",
                             .collection = h->map.v[step->collection].name,
                             .path = "/cluster?timeout=30",
                             .json = json,
                             .total_ms = CHANGE_MS};
    return change(h, &ask, e);
}

static const struct map_replica *replica_of(const struct healing *h, const struct heal_step *step)
{
    const struct map_shard *s = cluster_map_shard(&h->map.v[step->collection], step->shard);
    return s ? cluster_map_replica(s, step->peer) : NULL;
}

/* Is what the step was for there? A transfer takes as long as it takes; what does not move has to be there
 * soon. */
static int await(struct healing *h, const struct heal_step *step, struct err *e)
{
    int64_t end = clock_ms() + SEEN_MS;
    const char *what = step->what == HEAL_DROP ? "the copy is still there" : "the new copy is not active";
    while (!stopped(h)) {
        struct err why = {0};
        if (cluster_map_again(h->qdrant, &h->map, step->collection, &why) == 0) {
            const struct map_replica *r = replica_of(h, step);
            if (step->what == HEAL_DROP ? !r : r && cluster_is_active(r->state))
                return 0;
            if (h->map.v[step->collection].moving)
                end = clock_ms() + SEEN_MS;
        } else if (why.code == QDRANT_MISSING) {
            return cluster_map_forget(&h->map, step->collection), 0;
        }
        if (clock_ms() >= end)
            return err_set(e, 0, why.text[0] ? why.text : what, NULL, "see Qdrant's log, and heal again");
        clock_sleep(POLL_MS);
    }
    return err_set(e, ECANCELED, "stopped", NULL, "heal again");
}

/* Qdrant refused. That may be for what was done already, by an earlier heal, or by Qdrant: then the aim is
 * reached. */
static int is_done(struct healing *h, const struct heal_step *step)
{
    struct err e = {0};
    if (cluster_map_again(h->qdrant, &h->map, step->collection, &e) != 0)
        return e.code == QDRANT_MISSING ? (cluster_map_forget(&h->map, step->collection), 0) : -1;
    const struct map_replica *r = replica_of(h, step);
    if (step->what == HEAL_DROP)
        return r ? -1 : 0;
    return r ? await(h, step, &e) : -1;
}

static int drop(struct healing *h, const struct heal_step *step, struct err *e)
{
    char json[128];
    (void)snprintf(json, sizeof json, "{\"drop_replica\": {\"shard_id\": %u, \"peer_id\": %s}}", step->shard,
                   h->map.peers[step->peer].id);
    return in_collection(h, step, json, e) != 0 ? is_done(h, step) : await(h, step, e);
}

static int replicate(struct healing *h, const struct heal_step *step, struct err *e)
{
    char json[200];
    (void)snprintf(json, sizeof json,
                   "{\"replicate_shard\": {\"shard_id\": %u, \"from_peer_id\": %s, \"to_peer_id\": %s}}",
                   step->shard, h->map.peers[step->from].id, h->map.peers[step->peer].id);
    return in_collection(h, step, json, e) != 0 ? is_done(h, step) : await(h, step, e);
}

static bool is_removed(const struct healing *h, size_t peer)
{
    cleanup_cluster_map struct cluster_map now = {0};
    struct err ignored;
    return cluster_map_peers(h->qdrant, &now, &ignored) == 0 && now.n_peers > 0 &&
           cluster_map_peer(&now, h->map.peers[peer].id) == CLUSTER_NOBODY;
}

/* Without force: Qdrant refuses while the peer has shards. */
static int remove_peer(struct healing *h, const struct heal_step *step, struct err *e)
{
    char path[80];
    (void)snprintf(path, sizeof path, "/cluster/peer/%s?timeout=30", h->map.peers[step->peer].id);
    struct qdrant_ask ask = {.method = "DELETE", .path = path, .total_ms = CHANGE_MS};
    /* A new node at its address, which has waited for this, may have taken its place a moment before. */
    if (change(h, &ask, e) != 0)
        return is_removed(h, step->peer) ? 0 : -1;
    for (int64_t end = clock_ms() + SEEN_MS; clock_ms() < end && !stopped(h); clock_sleep(POLL_MS))
        if (is_removed(h, step->peer))
            return 0;
    return err_set(e, 0, "it is still a member", NULL, "heal again");
}

static int restore(struct healing *h, const struct heal_step *step, cJSON *backups, struct err *e)
{
    if (step->peer == CLUSTER_NOBODY)
        return err_set(
            e, 0,
            "while clients may write, each node that could take them has copies of other shards of it "
            "that would miss what is written",
            NULL,
            "start the new node, which has none, and heal again; or stop what writes, and give "
            "--no-writers");
    return heal_from_backups(h, step, backups, e);
}

static int wait_calm(struct healing *h, const struct heal_step *step)
{
    struct err e = {0};
    clock_sleep(POLL_MS);
    if (cluster_map_again(h->qdrant, &h->map, step->collection, &e) == 0)
        return 0;
    return e.code == QDRANT_MISSING ? look(h) : heal_fail(h, "%s", e.text);
}

/* A node that waits for the address of the peer that has just been removed joins in a moment, and is to have
 * its part. */
static void await_newcomer(struct healing *h, const char *removed)
{
    const struct cluster_node *waits = NULL;
    struct cluster_place_of at = {h->o->root, h->o->settings.tier};
    struct err e;
    cluster_nodes_free(&h->known);
    if (!*at.root || cluster_nodes_read(&at, &h->known, &e) != 0)
        return;
    for (size_t i = 0; i < h->known.n_waiting; i++)
        if (strcmp(h->known.waiting[i].peer, removed) == 0 &&
            h->known.waiting[i].last > time(NULL) - CLUSTER_NODE_FRESH)
            waits = &h->known.waiting[i];
    if (!waits)
        return;
    cmd_complain("waiting until the new %s has joined", waits->node);
    for (int64_t end = clock_ms() + NEWCOMER_MS; clock_ms() < end && !stopped(h); clock_sleep(POLL_MS)) {
        cleanup_cluster_map struct cluster_map now = {0};
        struct err ignored;
        bool all = cluster_map_peers(h->qdrant, &now, &ignored) == 0;
        for (size_t i = 0; all && i < now.n_peers; i++)
            if (cluster_map_peer(&h->map, now.peers[i].id) == CLUSTER_NOBODY && !now.peers[i].unreached)
                return;
    }
    cmd_complain("%s has not joined; the other nodes get its part", waits->node);
}

static int act(struct healing *h, const struct heal_step *step, cJSON *backups, struct err *e)
{
    switch (step->what) {
    case HEAL_DROP: return drop(h, step, e);
    case HEAL_RESTORE: return restore(h, step, backups, e);
    case HEAL_REMOVE: return remove_peer(h, step, e);
    default: return replicate(h, step, e);
    }
}

/* Its other steps would rest on this one. A peer that cannot be removed stops nothing but itself. */
static bool leave(struct healing *h, const struct heal_step *step)
{
    h->failures++;
    if (step->what == HEAL_REMOVE)
        return h->how[step->peer] = HEAL_SILENT, true;
    h->left[step->collection] = true;
    return json_append_text(h->failed, h->map.v[step->collection].name);
}

/* 0, or an exit code: it cannot go on. */
static int take(struct healing *h, const struct heal_step *step)
{
    struct err e = {0};
    char why[HEAL_ERROR], removed[CLUSTER_ID] = "";
    cJSON *backups = step->what == HEAL_RESTORE ? cJSON_CreateArray() : NULL;
    bool dry = h->o->dry_run;
    if (!dry && (step->what == HEAL_DROP || step->what == HEAL_REMOVE) &&
        !heal_still_lost(h, step->peer, why))
        return cJSON_Delete(backups), heal_fail(h, "the peer %s is not lost: %s; what was done stays",
                                                h->map.peers[step->peer].id, why);
    if (step->what == HEAL_REMOVE)
        (void)snprintf(removed, sizeof removed, "%s", h->map.peers[step->peer].id);
    int rc = dry && step->what != HEAL_RESTORE ? 0 : act(h, step, backups, &e);
    if (rc != 0 && step->what == HEAL_RESTORE && e.code == EHOSTUNREACH) { /* then into another node */
        cmd_complain("%s; another node is looked for", e.text);
        cJSON_Delete(backups);
        h->deaf[step->peer] = true;
        return json_append_text(h->unheard, h->map.peers[step->peer].id) ? 0 : EXIT_DEFECT;
    }
    heal_say_step(h, step, backups, rc == 0 ? NULL : e.text);
    if (rc != 0)
        return leave(h, step) ? 0 : heal_fail(h, "no memory");
    if (dry)
        return heal_apply(&h->map, h->how, step) ? 0 : heal_fail(h, "no memory");
    if (*removed)
        await_newcomer(h, removed);
    return step->what == HEAL_RESTORE || step->what == HEAL_REMOVE ? look(h) : 0;
}

static struct heal_case the_case(const struct healing *h)
{
    return (struct heal_case){.map = &h->map,
                              .how = h->how,
                              .restore = h->o->heal.restore,
                              .replace = h->o->heal.replace,
                              .deaf = h->deaf,
                              .quiet = h->o->heal.no_writers,
                              .left = h->left};
}

static int heal(struct healing *h)
{
    int rc = look(h);
    if (rc != 0)
        return rc;
    h->begun = true;
    heal_say_peers(h);
    bool said = false;
    for (unsigned n = 0; n < STEPS_MAX && rc == 0; n++) {
        struct heal_case c = the_case(h);
        struct heal_step step = heal_next(&c);
        if (stopped(h))
            return heal_fail(h, "stopped; heal again to go on");
        if (!heal_claim_holds())
            return heal_fail(h, "the heal ends here; heal again to go on");
        if (step.what == HEAL_NONE)
            break;
        if (step.what != HEAL_WAIT) {
            said = false;
            rc = take(h, &step);
            continue;
        }
        if (h->o->dry_run) {
            h->map.v[step.collection].moving = false; /* it will be so */
            continue;
        }
        if (!said)
            cmd_complain("%s: a shard is being moved; waiting until it is there",
                         h->map.v[step.collection].name);
        said = true;
        rc = wait_calm(h, &step);
    }
    if (rc != 0)
        return rc;
    if (!h->o->dry_run && (rc = look(h)) != 0) /* what is so now, and not what each step made of it */
        return rc;
    struct heal_case c = the_case(h);
    struct heal_rest rest = heal_left(&c);
    return heal_say_end(h, &rest);
}

/* --- begin and end */

static int check_use(const struct options *o)
{
    const char *what = o->operand ? "heal takes a lost node's peer id with --peer" : NULL;
    for (size_t i = 0; i < o->heal.n_peers && !what; i++)
        if (strspn(o->heal.peers[i], "0123456789") != strlen(o->heal.peers[i]))
            what = "--peer takes the id of a peer, a number, as `qdrant-efs heal --dry-run` lists them";
    if (!what && (o->heal.no_writers || o->heal.replace) && !o->heal.restore)
        what = "--no-writers and --replace-broken go with --restore";
    if (what)
        cmd_complain("%s; see qdrant-efs heal --help", what);
    return what ? EXIT_SETTING : 0;
}

static int open_qdrant(struct healing *h)
{
    struct err e = {0};
    if (config_files_apply(&e) != 0 || qdrant_settings_read(&h->settings, &e) != 0 ||
        qdrant_ca_check(&h->settings, &e) != 0)
        return cmd_complain("%s; see qdrant-efs heal --help", e.text), EXIT_SETTING;
    if (qdrant_key_in_clear(&h->settings))
        cmd_complain("warning: %s is another machine, and is sent Qdrant's key as it is: whoever listens on "
                     "the way has it; use https",
                     h->settings.url);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return cmd_complain("cannot start libcurl"), EXIT_DEFECT;
    h->key = key_new(&h->settings, h->stop);
    h->qdrant = h->key ? qdrant_new(&h->settings, h->key, h->stop) : NULL;
    h->failed = cJSON_CreateArray();
    h->unheard = cJSON_CreateArray();
    h->json = h->o->json ? cJSON_CreateObject() : NULL;
    struct cluster_place_of at = {h->o->root, h->o->settings.tier};
    if (*at.root)
        (void)cluster_nodes_read(&at, &h->known, &e); /* names, for people; without EFS there are none */
    if (h->qdrant && h->failed && h->unheard && (h->json || !h->o->json))
        return 0;
    return cmd_complain("no memory"), EXIT_DEFECT;
}

int cmd_heal(const struct options *o)
{
    struct healing h = {.o = o};
    int rc = check_use(o);
    if (rc != 0)
        return rc;
    h.stop = cmd_catch_signals(false, NULL);
    rc = open_qdrant(&h);
    if (rc == 0 && (rc = heal_claim_begin(&h)) == 0) {
        rc = heal(&h);
        heal_claim_leave();
    }
    if (rc == EXIT_DEFECT && h.json)
        rc = heal_say_end(&h, NULL);
    cluster_nodes_free(&h.known);
    cJSON_Delete(h.json);
    cJSON_Delete(h.failed);
    cJSON_Delete(h.unheard);
    forget_map(&h);
    qdrant_free(h.qdrant);
    key_free(h.key);
    explicit_bzero(&h.settings, sizeof h.settings);
    curl_global_cleanup();
    return rc;
}
