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

/* Moves what may not be chosen to the end of its tree's part of the list, and returns where that begins. */
static size_t set_aside(struct boot_choice *c, size_t tree, size_t end,
                        bool (*may)(const struct boot_choice *c, size_t i))
{
    size_t kept = begin_of(c, tree);
    struct backup *v = c->list.v;
    for (size_t i = kept; i < end; i++)
        if (may(c, i)) {
            struct backup one = v[i];
            memmove(v + kept + 1, v + kept, (i - kept) * sizeof *v);
            v[kept++] = one;
        }
    return kept;
}

/* Those of nodes with a NODE_NAME are not chosen any more; what is left is of tasks that had none. */
static bool has_no_name(const struct boot_choice *c, size_t i) { return !is_named(&c->list.v[i]); }

/* A restore to a time brings back what was there then, also what was deleted later. */
static bool is_deleted(const struct boot_choice *c, size_t i)
{
    return c->deleted && c->at == 0 &&
           tombstones_cover(c->deleted, c->collection, restore_moment(&c->list.v[i], c->now));
}

static bool is_allowed(const struct boot_choice *c, size_t i)
{
    bool own = strcmp(boot_choice_tree(c, i), c->own) == 0;
    return !is_deleted(c, i) &&
           !restore_history_forbids(c->history, own, restore_moment(&c->list.v[i], c->now), c->at != 0);
}

/* As restore_choose: uploads after what Qdrant has made itself. */
static bool goes_first(const struct boot_choice *c, size_t a, size_t b)
{
    if (c->list.v[a].m.upload != c->list.v[b].m.upload)
        return c->list.v[b].m.upload;
    return restore_moment(&c->list.v[a], c->now) > restore_moment(&c->list.v[b], c->now);
}

/* As restore_choose of each tree; of both, the newest first. */
static size_t choose_all(struct boot_choice *c, const size_t end[2], const struct restore_selector *w,
                         struct err *e)
{
    size_t n = 0;
    for (size_t t = c->trees->n; t-- > 0;) { /* of two that are alike our own one */
        size_t begin = begin_of(c, t), k = 0;
        struct backup_list view = {.v = c->list.v + begin, .n = end[t] - begin};
        cleanup_free size_t *some = calloc(view.n + 1, sizeof *some);
        size_t m = some ? restore_choose(&view, w, some, e) : 0;
        if (e->text[0])
            return 0;
        for (; k < m; k++) {
            size_t i = begin + some[k], at = n++;
            for (; at > 0 && goes_first(c, i, c->order[at - 1]); at--)
                c->order[at] = c->order[at - 1];
            c->order[at] = i;
        }
    }
    return n;
}

static size_t choose_among_nodes(struct boot_choice *c, size_t end[2], struct restore_selector *w)
{
    struct err e = {0};
    size_t n = choose_all(c, end, w, &e);
    if (n == 0 && !e.text[0] && w->node) { /* the name is new: what was there before it is this node's, too */
        for (size_t t = 0; t < 2; t++)
            end[t] = set_aside(c, t, end[t], has_no_name);
        w->node = NULL;
        n = choose_all(c, end, w, &e);
        if (n > 0 || e.text[0])
            log_fields(
                LOG_WARN, "boot_restore_node", about(c, NULL),
                "%s has no backup of NODE_NAME=%s: those of tasks without a NODE_NAME are taken for its own",
                c->collection, c->node);
    }
    if (n > 0 || !e.text[0])
        return n;
    log_fields(
        LOG_WARN, "boot_restore_node", about(c, NULL),
        "%s: %s; they are taken for tasks that followed each other, and the newest counts. If they are "
        "several nodes, give each a NODE_NAME",
        c->collection, e.text);
    w->any_node = true;
    e = (struct err){0};
    return choose_all(c, end, w, &e);
}

void boot_choice_tell_source(const struct boot_choice *c, size_t i)
{
    size_t tree = tree_of(c, i), k = 0;
    while (k < c->n && tree_of(c, c->order[k]) == tree)
        k++;
    if (k < c->n)
        log_fields(LOG_WARN, "boot_restore_source", about(c, c->list.v[i].m.source.stem),
                   "%s comes back from %s, by %s; the newest in %s is %s", c->collection,
                   c->trees->base[tree], c->list.v[i].m.source.stem, c->trees->base[!tree],
                   c->list.v[c->order[k]].m.source.stem);
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

static enum boot_choice_outcome none(const struct boot_choice *c, bool forbidden, struct err *e)
{
    char nodes[400], what[600];
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
    if (readers_read(&c->list, e) != 0)
        return -1;
    if (restore_inherit_aliases(&c->list, c->now, e) != 0)
        return -1;
    c->unreadable = unreadable.text[0] != 0;
    if (c->unreadable && (c->list.n == 0 || !restore_plan_is_slip(&unreadable))) /* it may well have some */
        return e ? (*e = unreadable, -1) : -1;
    c->order = calloc(c->list.n + 1, sizeof *c->order);
    return c->order ? 0 : err_set(e, ENOMEM, "cannot choose a backup of", c->collection, NULL);
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
    size_t end[2] = {set_aside(c, 0, c->all[0], is_allowed), set_aside(c, 1, c->all[1], is_allowed)};
    bool forbidden = c->list.n > 0 && end[0] == 0 && end[1] == c->all[0];
    c->n = forbidden ? 0 : choose_among_nodes(c, end, &wish);
    return c->n > 0 ? BOOT_CHOICE_MADE : none(c, forbidden, e);
}

void boot_choice_free(struct boot_choice *c)
{
    backup_list_free(&c->list);
    free(c->order);
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
