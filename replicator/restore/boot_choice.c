#include "replicator/restore/boot_choice.h"
#include "efs/repo/readers.h"
#include "common/base/cleanup.h"
#include "common/base/utc.h"
#include "common/log.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static cJSON *about(const struct boot_choice *c, const char *snapshot)
{
    cJSON *f = cJSON_CreateObject();
    if (f) { /* a member that finds no memory is left out */
        (void)cJSON_AddStringToObject(f, "collection", c->collection);
        if (snapshot)
            (void)cJSON_AddStringToObject(f, "snapshot", snapshot);
    }
    return f;
}

/* --- which backup */

static bool is_named(const struct backup *b)
{
    return *b->m.node && strcmp(b->m.node, b->m.source.peer) != 0;
}

static size_t begin_of(const struct boot_choice *c, size_t tree) { return tree ? c->all[0] : 0; }
static size_t tree_of(const struct boot_choice *c, size_t i) { return i >= c->all[0]; }

const char *boot_choice_tree(const struct boot_choice *c, size_t i) { return c->trees->base[tree_of(c, i)]; }

/* What is asked of each backup, apart from the choice, which may be moved. */
struct boot_rule {
    const struct backup *list;
    size_t second; /* where those of the second tree begin */
    bool own[2];   /* is a tree our own? */
    const struct restore_history *history;
    const struct tombstones *deleted;
    const char *collection;
    time_t at, now;
    bool nameless; /* those of nodes with a NODE_NAME are not chosen any more; what is left is of tasks that
                      had none */
};

static bool rule_new(struct boot_choice *c)
{
    struct boot_rule *r = c->rule = calloc(1, sizeof *r);
    if (!r)
        return false;
    *r = (struct boot_rule){.list = c->list.v,
                            .second = c->all[0],
                            .history = c->history,
                            .deleted = c->deleted,
                            .collection = c->collection,
                            .at = c->at,
                            .now = c->now};
    for (size_t t = 0; t < c->trees->n; t++)
        r->own[t] = strcmp(c->trees->base[t], c->own) == 0;
    return true;
}

/* A restore to a time brings back what was there then, also what was deleted later. */
static bool is_deleted(const struct boot_rule *r, const struct backup *b)
{
    return r->deleted && r->at == 0 && tombstones_cover(r->deleted, r->collection, restore_moment(b, r->now));
}

static bool is_allowed(const struct backup *b, void *rule)
{
    const struct boot_rule *r = rule;
    bool own = r->own[(size_t)(b - r->list) >= r->second];
    return !is_deleted(r, b) && !(r->nameless && is_named(b)) &&
           !restore_history_forbids(r->history, own, restore_moment(b, r->now), r->at != 0);
}

/* Of both trees, of two that are alike our own one first. */
static int choose_all(struct boot_choice *c, const struct restore_selector *w, struct err *e)
{
    struct restore_look look = restore_look_files;
    look.may = is_allowed;
    look.arg = c->rule;
    restore_choice_free(c->choice);
    c->choice = restore_choice_new(&c->list, w, &look, e);
    int rc = c->choice ? 0 : -1;
    for (size_t t = c->trees->n; rc == 0 && t-- > 0;)
        rc = restore_choice_add(c->choice, begin_of(c, t), c->all[t], e);
    return rc;
}

/* -1 with ENOMEM. */
static int has_any(struct boot_choice *c, bool *any, struct err *e)
{
    struct backup *b = NULL;
    if (restore_choice_peek(c->choice, &b, e) != 0)
        return -1;
    *any = b != NULL;
    return 0;
}

/* The name is new: what was there before it is this node's, too. Which those are, only manifests tell. */
static int without_name(struct boot_choice *c, struct restore_selector *w, bool *any, struct err *e)
{
    struct err ambiguous = {0};
    if (readers_read(&c->list, e) != 0)
        return -1;
    c->rule->nameless = true;
    w->node = NULL;
    int rc = choose_all(c, w, &ambiguous);
    if (rc == 0 && has_any(c, any, e) != 0)
        return -1;
    if (rc != 0 || *any)
        log_fields(
            LOG_WARN, "boot_restore_node", about(c, NULL),
            "%s has no backup of NODE_NAME=%s: those of tasks without a NODE_NAME are taken for its own",
            c->collection, c->node);
    return rc != 0 ? (*e = ambiguous, -1) : 0;
}

static int choose_among_nodes(struct boot_choice *c, struct restore_selector *w, bool *any, struct err *e)
{
    struct err why = {0};
    *any = false;
    int rc = choose_all(c, w, &why);
    if (rc == 0)
        rc = has_any(c, any, &why);
    if (rc == 0 && !*any && w->node)
        rc = without_name(c, w, any, &why);
    if (rc == 0)
        return 0;
    if (why.code == ENOMEM)
        return *e = why, -1;
    log_fields(
        LOG_WARN, "boot_restore_node", about(c, NULL),
        "%s: %s; they are taken for tasks that followed each other, and the newest counts. If they are "
        "several nodes, give each a NODE_NAME",
        c->collection, why.text);
    w->any_node = true;
    return choose_all(c, w, e) == 0 ? has_any(c, any, e) : -1;
}

int boot_choice_next(struct boot_choice *c, size_t *i, struct err *e)
{
    struct backup *b = NULL;
    if (restore_choice_next(c->choice, &b, e) != 0)
        return -1;
    if (!b)
        return 1;
    *i = (size_t)(b - c->list.v);
    if (!c->first[tree_of(c, *i)])
        c->first[tree_of(c, *i)] = b;
    return 0;
}

void boot_choice_tell_source(const struct boot_choice *c, size_t i)
{
    size_t tree = tree_of(c, i);
    const struct backup *other = c->first[!tree];
    if (!other)
        other = restore_choice_first_of(c->choice, begin_of(c, !tree), c->all[!tree]);
    if (other)
        log_fields(LOG_WARN, "boot_restore_source", about(c, c->list.v[i].m.source.stem),
                   "%s comes back from %s, by %s; the newest in %s is %s", c->collection,
                   c->trees->base[tree], c->list.v[i].m.source.stem, c->trees->base[!tree],
                   other->m.source.stem);
}

/* --- why there is none */

/* The nodes that have backups, for a person who has to find the right NODE_NAME. */
static void nodes_of(const struct backup_list *list, char *out, size_t size)
{
    size_t length = 0;
    *out = 0;
    for (size_t i = 0; i < list->n; i++) {
        const struct manifest *m = &list->v[i].m;
        const char *node = *m->node ? m->node : m->source.peer;
        bool seen = !*node;
        for (size_t k = 0; k < i && !seen; k++)
            seen = strcmp(node, *list->v[k].m.node ? list->v[k].m.node : list->v[k].m.source.peer) == 0;
        if (seen || length + strlen(node) + 3 > size)
            continue;
        length += (size_t)snprintf(out + length, size - length, "%s%s", length ? ", " : "", node);
    }
}

static const struct backup *newest(const struct boot_choice *c)
{
    const struct backup *last = &c->list.v[0];
    for (size_t i = 1; i < c->list.n; i++)
        if (restore_moment(&c->list.v[i], c->now) > restore_moment(last, c->now))
            last = &c->list.v[i];
    return last;
}

/* None of them may be taken, whosever it is. Where a name alone rules one out, its moment is known. */
static int is_forbidden(struct boot_choice *c, bool *forbidden, struct err *e)
{
    *forbidden = c->list.n > 0;
    c->rule->nameless = false;
    for (size_t i = 0; i < c->list.n && *forbidden; i++) {
        struct backup *b = &c->list.v[i];
        if (restore_ahead(b, c->now) && restore_look_files.read(b, NULL, e) != 0)
            return -1;
        *forbidden = !is_allowed(b, c->rule);
    }
    return 0;
}

static enum boot_choice_outcome none(struct boot_choice *c, struct err *e)
{
    char nodes[400], what[600];
    bool forbidden = false;
    if (is_forbidden(c, &forbidden, e) != 0)
        return BOOT_CHOICE_LATER;
    bool whole = false;
    for (size_t i = 0; i < c->list.n; i++)
        whole = whole || c->list.v[i].m.source.kind == KIND_COLLECTION;
    if (c->list.n > 0 && !whole) {
        (void)err_set(e, 0, "there are backups of its shards alone", NULL,
                      "create it and restore them by hand: qdrant-efs restore --shard");
        return BOOT_CHOICE_BAD;
    }
    const struct tombstone *t =
        forbidden && c->deleted && c->at == 0
            ? tombstones_cover(c->deleted, c->collection, restore_moment(newest(c), c->now))
            : NULL;
    if (t) {
        utc_text(t->deleted, nodes);
        (void)snprintf(what, sizeof what, "it was %s %.31s",
                       t->forgotten ? "forgotten at" : "deleted on purpose, seen at", nodes);
        (void)err_set(e, 0, what, NULL, "RESTORE_DELETED=1 brings it back, if it has backups");
        return BOOT_CHOICE_DELETED;
    }
    if (forbidden || c->at || !*c->node) {
        (void)err_set(e, 0,
                      forbidden
                          ? "all its backups are of a past that was left (see the records below restores/)"
                          : "it has no backup that old",
                      NULL, NULL);
        return BOOT_CHOICE_NONE;
    }
    if (readers_read(&c->list, e) != 0)
        return BOOT_CHOICE_LATER;
    nodes_of(&c->list, nodes, sizeof nodes);
    (void)snprintf(what, sizeof what, "it has no backup of NODE_NAME=%s, only of %s", c->node, nodes);
    (void)err_set(e, 0, what, NULL, NULL);
    return BOOT_CHOICE_OTHER_NODE;
}

/* --- what there is */

/* A folder of one tier that cannot be listed: what the others have comes back all the same. */
static void keep_first(const struct err *why, void *arg)
{
    struct err *first = arg;
    log_line(LOG_ERROR, "boot_restore_folder", "%s", why->text);
    if (!first->text[0])
        *first = *why;
}

static int gather(struct boot_choice *c, struct err *e)
{
    char folder[NAME_MAX * 2];
    struct err unreadable = {0};
    const struct backup_faults faults = {.tell = keep_first, .arg = &unreadable};
    if (!name_escape(c->collection, folder, sizeof folder))
        return err_set(e, ENAMETOOLONG, "no folder can have the name of", c->collection, NULL);
    for (size_t t = 0; t < 2; t++) {
        if (t < c->trees->n && backup_list_found(c->trees->base[t], folder, &faults, &c->list, e) != 0)
            return -1;
        c->all[t] = c->list.n;
    }
    c->unreadable = unreadable.text[0] != 0;
    if (c->unreadable && (c->list.n == 0 || !restore_plan_is_slip(&unreadable))) /* it may well have some */
        return e ? (*e = unreadable, -1) : -1;
    return rule_new(c) ? 0 : err_set(e, ENOMEM, "cannot choose a backup of", c->collection, NULL);
}

enum boot_choice_outcome boot_choice_make(struct boot_choice *c, struct err *e)
{
    struct restore_selector wish = {.kind = KIND_COLLECTION,
                                    .collection = c->collection,
                                    .node = *c->node ? c->node : NULL,
                                    .at = c->at,
                                    .frequency = -1,
                                    .now = c->now};
    if (gather(c, e) != 0)
        return BOOT_CHOICE_LATER;
    bool any = false;
    if (choose_among_nodes(c, &wish, &any, e) != 0)
        return BOOT_CHOICE_LATER;
    return any ? BOOT_CHOICE_MADE : none(c, e);
}

void boot_choice_free(struct boot_choice *c)
{
    restore_choice_free(c->choice);
    backup_list_free(&c->list);
    free(c->rule);
}

/* --- its bytes */

enum restore_outcome boot_choice_fetch(const struct backup *b, const char *path,
                                       const struct restore_reading *how, struct err *e)
{
    cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        (void)err_set(e, errno, "cannot create", path, "check who owns Qdrant's storage");
        return RESTORE_FAILED;
    }
    return restore_to_fd(b, fd, path, how, e);
}
