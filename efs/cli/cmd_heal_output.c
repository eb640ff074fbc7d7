#include "common/base/text.h"
#include "common/json.h"
#include "efs/cli/cmd_heal.h"
#include "efs/cli/cmd_table.h"
#include "qdrant/cluster.h"
#include <stdio.h>
#include <string.h>

static const char *const hows[] = {
    [HEAL_ALIVE] = "alive", [HEAL_SILENT] = "not reached", [HEAL_LOST] = "lost"};

/* --- the peers */

static bool is_alone(const struct healing *h, const struct map_shard *s, size_t peer)
{
    for (size_t j = 0; j < s->n; j++)
        if (s->v[j].peer != peer && s->v[j].peer != CLUSTER_NOBODY && h->how[s->v[j].peer] == HEAL_ALIVE &&
            cluster_is_active(s->v[j].state))
            return false;
    return cluster_map_replica(s, peer) != NULL;
}

/* Shards that no other living member has an active replica of. */
static unsigned alone(const struct healing *h, size_t peer)
{
    unsigned n = 0;
    for (size_t i = 0; i < h->map.n; i++)
        for (size_t k = 0; k < h->map.v[i].n; k++)
            n += is_alone(h, &h->map.v[i].v[k], peer);
    return n;
}

static bool peer_json(const struct healing *h, cJSON *list, size_t i)
{
    char name[160];
    const char *node = heal_name(h, i, name);
    cJSON *o = json_append_object(list);
    return o && json_add_text(o, "peer_id", h->map.peers[i].id) &&
           cmd_json_text(o, "node", node + (*node == ' ')) && json_add_text(o, "uri", h->map.peers[i].uri) &&
           json_add_text(o, "state", h->how[i] == HEAL_SILENT ? "not_reached" : hows[h->how[i]]) &&
           json_add_number(o, "replicas", cluster_map_replicas(&h->map, i)) &&
           json_add_number(o, "alone", alone(h, i));
}

static void say_peer(const struct healing *h, size_t i)
{
    char text[CLUSTER_URI + 400], safe[(CLUSTER_URI + 400) * 4], name[160], only[60] = "";
    unsigned n = cluster_map_replicas(&h->map, i), own = alone(h, i);
    if (own > 0)
        (void)snprintf(only, sizeof only, ", %u of them nobody else has", own);
    (void)snprintf(text, sizeof text, "peer %s%s  %s  %s, %u cop%s of shards%s", h->map.peers[i].id,
                   heal_name(h, i, name), h->map.peers[i].uri, hows[h->how[i]], n, n == 1 ? "y" : "ies",
                   only);
    (void)puts(text_printable(text, safe, sizeof safe));
}

void heal_say_peers(const struct healing *h)
{
    char name[160];
    cJSON *list = h->json ? cJSON_AddArrayToObject(h->json, "peers") : NULL;
    for (size_t i = 0; list && i < h->map.n_peers; i++)
        (void)peer_json(h, list, i); /* without memory it is left out */
    if (h->json) {
        (void)cJSON_AddArrayToObject(h->json, "steps");
        return;
    }
    for (size_t i = 0; i < h->map.n_peers; i++)
        say_peer(h, i);
    for (size_t i = 0; i < h->map.n_peers; i++)
        if (h->how[i] == HEAL_SILENT)
            cmd_complain(
                "the peer %s%s cannot be reached, and keeps its copies: it may come back. If its disk "
                "is lost: qdrant-efs heal --peer %s%s",
                h->map.peers[i].id, heal_name(h, i, name), h->map.peers[i].id,
                alone(h, i) > 0 ? " --restore" : "");
}

/* --- steps */

static const char *peer_id(const struct healing *h, size_t peer)
{
    return peer == CLUSTER_NOBODY ? "?" : h->map.peers[peer].id;
}

static void words(const struct healing *h, const struct heal_step *s, char *out, size_t size)
{
    char name[160], from[160];
    const char *collection = s->what == HEAL_REMOVE ? "" : h->map.v[s->collection].name;
    (void)heal_name(h, s->peer, name);
    (void)heal_name(h, s->from, from);
    switch (s->what) {
    case HEAL_DROP:
        (void)snprintf(out, size, "%.255s: drop the copy of shard %u on the lost peer %s%s", collection,
                       s->shard, peer_id(h, s->peer), name);
        break;
    case HEAL_RESTORE:
        (void)snprintf(out, size, "%.255s: restore the shards that were lost%s%s%s", collection,
                       s->peer == CLUSTER_NOBODY ? "" : " into the peer ",
                       s->peer == CLUSTER_NOBODY ? "" : peer_id(h, s->peer), name);
        break;
    case HEAL_REMOVE:
        (void)snprintf(out, size, "remove the lost peer %s%s, which has nothing any more",
                       peer_id(h, s->peer), name);
        break;
    default:
        (void)snprintf(out, size, "%.255s: copy shard %u from the peer %s%s to the peer %s%s", collection,
                       s->shard, peer_id(h, s->from), from, peer_id(h, s->peer), name);
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
    (void)cmd_json_text(o, "error", why ? why : "");
}

/* From which backups, and so from when. */
static void say_backups(const cJSON *backups)
{
    const cJSON *b, *id;
    cJSON_ArrayForEach(b, backups)
    {
        char text[900], safe[3600], shards[200] = "", age[32];
        size_t n = 0;
        time_t created = 0;
        cJSON_ArrayForEach(id, json_member(b, "shards"))
        {
            if (n < sizeof shards)
                n += (size_t)snprintf(shards + n, sizeof shards - n, "%s%.0f", n ? ", " : "",
                                      cJSON_GetNumberValue(id));
        }
        (void)json_time(b, "created", &created);
        (void)snprintf(text, sizeof text,
                       "  shard%s %s from %.255s (%.127s), %s old: what was written since is gone",
                       strchr(shards, ',') ? "s" : "", shards, json_text(b, "snapshot"), json_text(b, "node"),
                       table_age(time(NULL) - created, age));
        (void)puts(text_printable(text, safe, sizeof safe));
    }
}

void heal_say_step(struct healing *h, const struct heal_step *step, cJSON *backups, const char *why)
{
    char text[900], safe[3700];
    h->steps++;
    words(h, step, text, sizeof text);
    (void)text_printable(text, safe, sizeof safe);
    if (why)
        cmd_complain("%s: %s", text, why);
    if (h->json) {
        step_json(h, step, backups, why);
        return;
    }
    if (!why)
        (void)printf("%s%s\n", safe, h->o->dry_run ? "" : ": done");
    say_backups(backups);
    cJSON_Delete(backups);
    (void)fflush(stdout); /* the next one may take an hour */
}

/* --- the end */

static bool is_healed(const struct healing *h, const struct heal_rest *rest)
{
    return h->failures == 0 && rest->lost == 0 && rest->few == 0 && rest->peers == 0 && rest->silent == 0 &&
           rest->broken == 0 && rest->bare == 0 &&
           (rest->untold == 0 || h->o->dry_run); /* with shards that are lost Qdrant does not tell */
}

static void say_rest(const struct healing *h, const struct heal_rest *rest)
{
    const char *would = h->o->dry_run ? "would be " : "";
    if (rest->lost > 0)
        cmd_complain(
            "%u shards %sleft that lost peers alone had: their collections cannot be read as a whole%s",
            rest->lost, would,
            h->o->heal.restore ? "" : ". --restore brings them back from backups, as they were then");
    if (rest->broken > 0)
        cmd_complain("%u shards %sleft that lost peers had, and of which a living one has a copy that is not "
                     "active, and may have newer points than any backup: see GET /collections/NAME/cluster. "
                     "--restore --replace-broken puts the backup in its place",
                     rest->broken, would);
    if (rest->bare > 0)
        cmd_complain("%u shards %swithout a copy on any node, as after a removal by force: restore their "
                     "collections (`qdrant-efs restore --set`)",
                     rest->bare, would);
    if (!h->o->dry_run && rest->untold > 0 && rest->lost + rest->broken + rest->bare == 0)
        cmd_complain("%u collections do not tell how many copies they ask for; heal again", rest->untold);
    if (rest->few > 0)
        cmd_complain(
            "%u shards %swith fewer active copies than their collection asks for: there are not enough "
            "nodes, a step has failed, or Qdrant is making one. Heal again then",
            rest->few, would);
    if (rest->peers > 0 && rest->lost + rest->broken == 0)
        cmd_complain("%u lost peers %sstill members", rest->peers, would);
}

static bool end_json(struct healing *h, const struct heal_rest *rest, bool good)
{
    return cJSON_AddBoolToObject(h->json, "dry_run", h->o->dry_run) &&
           json_add_number(h->json, "shards_lost", rest->lost) &&
           json_add_number(h->json, "shards_broken", rest->broken) &&
           json_add_number(h->json, "shards_bare", rest->bare) &&
           json_add_number(h->json, "shards_short", rest->few) &&
           json_add_number(h->json, "peers_lost", rest->peers) &&
           json_add_number(h->json, "peers_not_reached", rest->silent) &&
           cmd_json_text(h->json, "error", h->error) &&
           cJSON_AddBoolToObject(h->json, "healed", good && !(h->o->dry_run && h->steps > 0));
}

int heal_say_end(struct healing *h, const struct heal_rest *rest)
{
    static const struct heal_rest unknown;
    bool good = rest && is_healed(h, rest);
    if (rest)
        say_rest(h, rest);
    if (h->json) {
        bool told = end_json(h, rest ? rest : &unknown, good);
        int rc = cmd_print_json(h->json);
        h->json = NULL;
        return told && good ? rc : EXIT_DEFECT;
    }
    if (good)
        (void)puts(h->steps == 0   ? "every shard has its copies: there is nothing to do"
                   : h->o->dry_run ? "then every shard has its copies"
                                   : "every shard has its copies");
    return good ? 0 : EXIT_DEFECT;
}
