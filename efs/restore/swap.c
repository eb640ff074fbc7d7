/* Qdrant (1.18.2) renames no collection, and no alias may have the name of one: so the switch is one of
 * aliases, all at once, and where the name is a collection's own, that goes and the name becomes an alias. */
#include "common/base/cleanup.h"
#include "common/json.h"
#include "efs/restore/aliases.h"
#include "efs/restore/internal.h"
#include "efs/restore/swap_name.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { CHANGE_MS = 60000, DELETE_MS = 120000 };

struct swap {
    const struct restore *r;
    const char *old;  /* the collection that is there now */
    const char *name; /* the new one */
    bool is_alias;    /* r->target is one of `old` */
    cJSON *aliases;   /* of Qdrant, now */
};

static bool act(cJSON *actions, const char *what, const char *alias, const char *collection)
{
    cJSON *action = cJSON_CreateObject(), *of = cJSON_AddObjectToObject(action, what);
    if (of && cJSON_AddStringToObject(of, "alias_name", alias) &&
        (!collection || cJSON_AddStringToObject(of, "collection_name", collection)) &&
        cJSON_AddItemToArray(actions, action))
        return true;
    cJSON_Delete(action);
    return false;
}

static int change(struct qdrant *q, const cJSON *body, struct err *e)
{
    cleanup_json_text char *json = cJSON_PrintUnformatted(body);
    struct qdrant_ask ask = {
        .method = "POST", .path = "/collections/aliases", .json = json, .total_ms = CHANGE_MS};
    if (!json)
        return err_set(e, ENOMEM, "cannot switch the aliases", NULL, NULL);
    cleanup_json cJSON *done = qdrant_ask(q, &ask, e);
    return done ? 0 : -1;
}

/* All aliases of the old one, in one request, which Qdrant does as one. */
static int switch_aliases(const struct swap *s, unsigned *n, struct err *e)
{
    cleanup_json cJSON *body = cJSON_CreateObject();
    cJSON *actions = cJSON_AddArrayToObject(body, "actions");
    const cJSON *one;
    *n = 0;
    cJSON_ArrayForEach(one, s->aliases)
    {
        const char *alias = json_string(one, "alias_name"), *of = json_string(one, "collection_name");
        if (!alias || !of || strcmp(of, s->old) != 0)
            continue;
        if (!act(actions, "delete_alias", alias, NULL) || !act(actions, "create_alias", alias, s->name))
            return err_set(e, ENOMEM, "cannot switch the aliases", NULL, NULL);
        ++*n;
    }
    if (!actions)
        return err_set(e, ENOMEM, "cannot switch the aliases", NULL, NULL);
    return *n > 0 ? change(s->r->qdrant, body, e) : 0;
}

/* For a moment between the two the name is nobody's. */
static int take_name(const struct swap *s, struct err *e)
{
    struct qdrant_ask ask = {.method = "DELETE", .collection = s->old, .path = "", .total_ms = DELETE_MS};
    cleanup_json cJSON *body = cJSON_CreateObject(), *gone = NULL;
    if (!act(cJSON_AddArrayToObject(body, "actions"), "create_alias", s->r->target, s->name))
        return err_set(e, ENOMEM, "cannot switch the aliases", NULL, NULL);
    gone = qdrant_ask(s->r->qdrant, &ask, e);
    return gone ? change(s->r->qdrant, body, e) : -1;
}

static enum restore_outcome not_switched(const struct swap *s, struct err *e)
{
    char what[400];
    (void)snprintf(what, sizeof what, "it was not switched, and what was restored is in %.255s: delete that",
                   s->name);
    if (e)
        restore_add(e->text, sizeof e->text, what);
    return RESTORE_REFUSED;
}

/* Hours may have gone by: aliases of before may be of others, and there may be new ones. */
static enum restore_outcome switch_over(struct swap *s, const struct restore_report *was,
                                        struct restore_report *out, struct err *e)
{
    int64_t points = was->points_before;
    unsigned n;
    int64_t now;
    char what[900];
    struct qdrant_ask ask = {.method = "GET", .path = "/aliases"};
    cleanup_json cJSON *whole = qdrant_ask(s->r->qdrant, &ask, e);
    if (!whole)
        return RESTORE_FAILED;
    s->aliases = json_member(json_member(whole, "result"), "aliases");
    const char *of = s->is_alias ? alias_owner(s->aliases, s->r->target) : s->old;
    if (!of || strcmp(of, s->old) != 0) {
        (void)snprintf(what, sizeof what,
                       "%.255s is no alias of %.255s any more; it was not switched, and what was restored is "
                       "in %.255s",
                       s->r->target, s->old, s->name);
        (void)err_set(e, 0, what, NULL, "delete that, and restore again");
        return RESTORE_REFUSED;
    }
    if (qdrant_count(s->r->qdrant, s->old, &now, e) != 0)
        return RESTORE_FAILED;
    if (now != points) {
        (void)snprintf(what, sizeof what,
                       "somebody writes to %.255s: it has %" PRId64 " points, and had %" PRId64
                       " when the restore began; it was not switched, and what was restored is in %.255s",
                       s->old, now, points, s->name);
        (void)err_set(e, 0, what, NULL, "stop what writes, delete that, and restore again");
        return RESTORE_REFUSED;
    }
    if (restore_changed(s->r, s->old, was, e) != RESTORE_DONE)
        return not_switched(s, e);
    if (switch_aliases(s, &n, e) != 0 || (!s->is_alias && take_name(s, e) != 0)) {
        if (e)
            restore_add(e->text, sizeof e->text, "what was restored is good, under the name in `target`");
        return RESTORE_FAILED;
    }
    if (s->is_alias)
        (void)snprintf(
            what, sizeof what,
            "%.255s is an alias of %.255s now; %.255s, of which it was, is there as before: delete it "
            "when nobody needs it",
            s->r->target, s->name, s->old);
    else
        (void)snprintf(
            what, sizeof what,
            "Qdrant renames no collection: the old %.255s was deleted, its name is an alias of %.255s "
            "now, and the next backups are of that collection",
            s->old, s->name);
    restore_add(out->note, sizeof out->note, what);
    return RESTORE_DONE;
}

static enum restore_outcome beside(struct swap *s, const struct backup *b, struct restore_report *out,
                                   struct err *e)
{
    struct restore r = *s->r;
    struct restore_report was = {.existed = true};
    if (qdrant_count(r.qdrant, s->old, &was.points_before, e) != 0)
        return RESTORE_FAILED;
    restore_remember(&r, s->old, &was);
    enum restore_outcome deep = restore_deep(&r, b, e);
    if (deep != RESTORE_DONE)
        return deep;
    r.target = s->name;
    r.any_version = r.force;
    r.force = r.recreate = r.aliases = false;
    r.whole = true;
    enum restore_outcome outcome = restore_run(&r, b, out, e);
    out->existed = true;
    out->points_before = was.points_before;
    if (outcome == RESTORE_DONE)
        outcome = switch_over(s, &was, out, e);
    if (outcome != RESTORE_DONE && verdict_row(out->verdict)->exit_code == 0) {
        out->verdict = outcome == RESTORE_REFUSED ? VERDICT_REFUSED : VERDICT_FAILED;
        (void)snprintf(out->why, sizeof out->why, "%.699s", e ? e->text : "");
    }
    return outcome;
}

enum restore_outcome restore_swap(const struct restore *r, const struct backup *b, char name[256],
                                  struct restore_report *out, struct err *e)
{
    cleanup_names struct qdrant_names names = {0};
    struct qdrant_ask ask = {.method = "GET", .path = "/aliases"};
    time_t now = time(NULL);
    (void)snprintf(name, 256, "%s", r->target);
    *out = (struct restore_report){.points_before = -1, .points = -1, .found.points = -1};
    cleanup_json cJSON *whole = qdrant_ask(r->qdrant, &ask, e);
    if (!whole || qdrant_collections(r->qdrant, &names, e) != 0)
        return RESTORE_FAILED;
    struct swap s = {.r = r, .name = name, .aliases = json_member(json_member(whole, "result"), "aliases")};
    bool own = qdrant_names_have(&names, r->target);
    s.old = own ? r->target : alias_owner(s.aliases, r->target);
    s.is_alias = !own;
    char old[256] = "";
    if (s.old) /* it outlives the aliases */
        s.old = memcpy(old, s.old, strnlen(s.old, sizeof old - 1));
    if (!s.old)
        return restore_run(r, b, out, e); /* there is nothing to switch from */
    swap_name(r->target, now, name);
    return beside(&s, b, out, e);
}
