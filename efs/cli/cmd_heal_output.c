#include "common/base/text.h"
#include "common/json.h"
#include "efs/cli/cmd_heal.h"
#include "efs/cli/cmd_table.h"
#include <stdio.h>
#include <string.h>

static const char *const hows[] = {
    [HEAL_ALIVE] = "alive", [HEAL_SILENT] = "not reached", [HEAL_LOST] = "lost"};

static unsigned replicas(const struct healing *h, size_t peer)
{
    unsigned n = 0;
    for (size_t i = 0; i < h->map.n; i++)
        for (size_t k = 0; k < h->map.v[i].n; k++)
            n += cluster_map_replica(&h->map.v[i].v[k], peer) != NULL;
    return n;
}

static bool peer_json(const struct healing *h, cJSON *list, size_t i)
{
    cJSON *o = json_append_object(list);
    return o && json_add_text(o, "peer_id", h->map.peers[i].id) &&
           json_add_text(o, "uri", h->map.peers[i].uri) &&
           json_add_text(o, "state", h->how[i] == HEAL_SILENT ? "not_reached" : hows[h->how[i]]) &&
           json_add_number(o, "replicas", replicas(h, i));
}

void heal_say_peers(const struct healing *h)
{
    cJSON *list = h->json ? cJSON_AddArrayToObject(h->json, "peers") : NULL;
    if (h->json) {
        for (size_t i = 0; list && i < h->map.n_peers; i++)
            (void)peer_json(h, list, i); /* without memory it is left out */
        (void)cJSON_AddArrayToObject(h->json, "steps");
        return;
    }
    for (size_t i = 0; i < h->map.n_peers; i++) {
        char safe[CLUSTER_URI * 4];
        (void)printf("peer %s  %s  %s, %u copies of shards\n", h->map.peers[i].id,
                     text_printable(h->map.peers[i].uri, safe, sizeof safe), hows[h->how[i]], replicas(h, i));
    }
    for (size_t i = 0; i < h->map.n_peers; i++)
        if (h->how[i] == HEAL_SILENT)
            cmd_complain(
                "the peer %s cannot be reached, and keeps its copies: it may come back. If its disk is "
                "lost: --peer %s",
                h->map.peers[i].id, h->map.peers[i].id);
}

/* --- steps */

static const char *peer_id(const struct healing *h, size_t peer)
{
    return peer == CLUSTER_NOBODY ? "?" : h->map.peers[peer].id;
}

static void words(const struct healing *h, const struct heal_step *s, char *out, size_t size)
{
    const char *collection = s->what == HEAL_REMOVE ? "" : h->map.v[s->collection].name;
    switch (s->what) {
    case HEAL_DROP:
        (void)snprintf(out, size, "%.255s: drop the copy of shard %u on the lost peer %s", collection,
                       s->shard, peer_id(h, s->peer));
        break;
    case HEAL_RESTORE:
        (void)snprintf(out, size, "%.255s: restore the shards that were lost%s%s", collection,
                       s->peer == CLUSTER_NOBODY ? "" : " into the peer ",
                       s->peer == CLUSTER_NOBODY ? "" : peer_id(h, s->peer));
        break;
    case HEAL_REMOVE:
        (void)snprintf(out, size, "remove the lost peer %s, which has nothing any more", peer_id(h, s->peer));
        break;
    default:
        (void)snprintf(out, size, "%.255s: copy shard %u from the peer %s to the peer %s", collection,
                       s->shard, peer_id(h, s->from), peer_id(h, s->peer));
    }
}

static void step_json(const struct healing *h, const struct heal_step *s, cJSON *backups, const char *why)
{
    static const char *const names[] = {[HEAL_DROP] = "drop",
                                        [HEAL_RESTORE] = "restore",
                                        [HEAL_REMOVE] = "remove",
                                        [HEAL_REPLICATE] = "replicate"};
    cJSON *o = json_append_object(json_member(h->json, "steps"));
    if (!o) {
        cJSON_Delete(backups);
        return;
    }
    /* A member that finds no memory is left out. */
    (void)json_add_text(o, "step", names[s->what]);
    if (s->what != HEAL_REMOVE)
        (void)cmd_json_text(o, "collection", h->map.v[s->collection].name);
    if (s->what == HEAL_DROP || s->what == HEAL_REPLICATE)
        (void)json_add_number(o, "shard", s->shard);
    (void)json_add_text(o, "peer_id", s->peer == CLUSTER_NOBODY ? "" : peer_id(h, s->peer));
    if (s->what == HEAL_REPLICATE)
        (void)json_add_text(o, "from", peer_id(h, s->from));
    if (backups && !cJSON_AddItemToObject(o, "backups", backups))
        cJSON_Delete(backups);
    (void)json_add_text(o, "error", why ? why : "");
}

void heal_say_step(struct healing *h, const struct heal_step *step, cJSON *backups, const char *why)
{
    char text[500], safe[2100];
    words(h, step, text, sizeof text);
    (void)text_printable(text, safe, sizeof safe);
    if (why)
        cmd_complain("%s: %s", text, why);
    if (h->json) {
        step_json(h, step, backups, why);
        return;
    }
    cJSON_Delete(backups);
    if (why)
        return;
    (void)printf("%s%s\n", safe, h->o->dry_run ? "" : ": done");
    (void)fflush(stdout); /* the next one may take an hour */
}

/* --- the end */

static bool is_healed(const struct healing *h, const struct heal_rest *rest)
{
    return h->failures == 0 && rest->lost == 0 && rest->few == 0 && rest->peers == 0 && rest->silent == 0;
}

static void end_words(const struct healing *h, const struct heal_rest *rest)
{
    const char *would = h->o->dry_run ? "would be " : "";
    if (rest->lost > 0)
        cmd_complain(
            "%u shards %sleft that lost peers alone had: their collections cannot be read as a whole%s",
            rest->lost, would,
            h->o->heal.restore ? "" : ". --restore brings them back from backups, as they were then");
    if (rest->few > 0)
        cmd_complain(
            "%u shards %swith fewer copies than their collection asks for: there are not enough nodes. "
            "Heal again when there are",
            rest->few, would);
    if (rest->peers > 0 && rest->lost == 0)
        cmd_complain("%u lost peers %sstill members", rest->peers, would);
    if (is_healed(h, rest) && !h->json)
        (void)printf("%s\n",
                     h->o->dry_run ? "then every shard has its copies" : "every shard has its copies");
}

int heal_say_end(struct healing *h, const struct heal_rest *rest)
{
    bool healed = is_healed(h, rest);
    end_words(h, rest);
    if (!h->json)
        return healed ? 0 : EXIT_DEFECT;
    bool ok = cJSON_AddBoolToObject(h->json, "dry_run", h->o->dry_run) &&
              json_add_number(h->json, "shards_lost", rest->lost) &&
              json_add_number(h->json, "shards_short", rest->few) &&
              json_add_number(h->json, "peers_lost", rest->peers) &&
              json_add_number(h->json, "peers_not_reached", rest->silent) &&
              cJSON_AddBoolToObject(h->json, "healed", healed);
    int rc = cmd_print_json(h->json);
    h->json = NULL;
    return !ok || !healed ? EXIT_DEFECT : rc;
}
