#include "efs/repo/node.h"
#include "common/base/cleanup.h"
#include "efs/repo/backup.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static int by_first(const void *a, const void *b)
{
    const struct node_peer *x = a, *y = b;
    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    if (x->last != y->last)
        return x->last < y->last ? -1 : 1;
    return strcmp(x->peer, y->peer);
}

/* The first one of the chain that ended last before `own` began; `own` when there is none. */
static size_t predecessor(const struct node_peer *v, size_t own)
{
    size_t best = own;
    for (size_t i = 0; i < own; i++)
        if (v[i].end && v[i].end <= v[own].first + NODE_OVERLAP && (best == own || v[i].end > v[best].end))
            best = i;
    return best;
}

void node_chains(struct node_peer *v, size_t n)
{
    unsigned chains = 0, newest = 0;
    time_t end = 0;
    if (n > 1)
        qsort(v, n, sizeof *v, by_first);
    for (size_t i = 0; i < n; i++) {
        size_t head = predecessor(v, i);
        v[i].end = 0;
        v[i].chain = head < i ? v[head].chain : chains++;
        if (head == i || v[i].last > v[head].end)
            v[head].end = v[i].last;
        if (i == 0 || v[i].last > end) {
            end = v[i].last;
            newest = v[i].chain;
        }
    }
    for (size_t i = 0; i < n; i++) /* changes places with the first */
        v[i].chain = v[i].chain == newest ? 0 : v[i].chain == 0 ? newest : v[i].chain;
}

/* --- of a list */

/* Whose it is, when it has a name that outlives its task. */
static const char *name_of(const struct manifest *m)
{
    return strcmp(m->node, m->source.peer) ? m->node : "";
}

static bool is_read(const struct backup *b) { return b->has_manifest && b->m.content.sha256[0]; }

struct peer {
    char id[sizeof((struct source *)0)->peer];
    const struct manifest *newest; /* the newest one that was read, or a later one; NULL: none */
    time_t first, last;
    unsigned number;
};
struct numbering {
    struct peer *peer;
    const char **name; /* NODE_NAMEs */
    size_t peers, names;
};

static struct peer *peer_of(struct numbering *by, const char *id)
{
    for (size_t i = 0; i < by->peers; i++)
        if (strcmp(by->peer[i].id, id) == 0)
            return &by->peer[i];
    struct peer *p = &by->peer[by->peers++];
    (void)snprintf(p->id, sizeof p->id, "%s", id); /* of the same size */
    return p;
}

/* A name tells the peer id alone: of each peer the newest manifest tells the rest. */
static int find_peers(struct backup_list *list, struct numbering *by, bool *changed, struct err *e)
{
    for (size_t i = list->n; i > 0; i--) { /* oldest first in the list */
        struct backup *b = &list->v[i - 1];
        struct peer *p = peer_of(by, b->m.source.peer);
        if (b->state == ENTRY_UNREAD && b->has_manifest && (!*p->id || !p->newest)) {
            *changed = true;
            if (backup_load(b, e) != 0)
                return -1;
            p = peer_of(by, b->m.source.peer); /* which its manifest says */
        }
        if (is_read(b) && !p->newest)
            p->newest = &b->m;
    }
    return 0;
}

/* Has it no NODE_NAME? Of what was not read its peer's newest tells. */
static const char *entry_name(const struct backup *b, const struct peer *p)
{
    return is_read(b) ? name_of(&b->m) : p->newest && *p->id ? name_of(p->newest) : "";
}

static void stretch(struct peer *p, time_t slot)
{
    p->first = !p->first || slot < p->first ? slot : p->first;
    p->last = slot > p->last ? slot : p->last;
}

static int number_peers(struct numbering *by, struct err *e)
{
    size_t n = 0;
    cleanup_free struct node_peer *chain = calloc(by->peers + 1, sizeof *chain);
    if (!chain)
        return err_set(e, ENOMEM, "cannot tell whose the backups are", NULL, NULL);
    for (size_t i = 0; i < by->peers; i++)
        if (*by->peer[i].id && by->peer[i].first)
            chain[n++] = (struct node_peer){
                .peer = by->peer[i].id, .first = by->peer[i].first, .last = by->peer[i].last};
    node_chains(chain, n);
    for (size_t i = 0; i < n; i++)
        peer_of(by, chain[i].peer)->number = chain[i].chain;
    return 0;
}

/* Chains have the numbers below that of all peers, names those from there on. */
static unsigned number_of(struct numbering *by, const char *name, const struct peer *p)
{
    size_t i = 0;
    if (!*name)
        return p->number;
    while (i < by->names && strcmp(by->name[i], name) != 0)
        i++;
    if (i == by->names)
        by->name[by->names++] = name;
    return (unsigned)(by->peers + i);
}

static int number_all(struct backup_list *list, const struct manifest *own, struct frequency_item *items,
                      struct numbering *by, bool *changed, struct err *e)
{
    if (find_peers(list, by, changed, e) != 0)
        return -1;
    for (size_t i = 0; i < list->n; i++) {
        struct backup *b = &list->v[i];
        struct peer *p = peer_of(by, b->m.source.peer);
        if (b->m.slot && !items[i].future && !*entry_name(b, p))
            stretch(p, b->m.slot);
    }
    if (own && !*name_of(own))
        stretch(peer_of(by, own->source.peer), own->slot);
    if (number_peers(by, e) != 0)
        return -1;
    for (size_t i = 0; i < list->n; i++) {
        struct backup *b = &list->v[i];
        struct peer *p = peer_of(by, b->m.source.peer);
        items[i].node = number_of(by, entry_name(b, p), p);
    }
    if (own)
        items[list->n].node = number_of(by, name_of(own), peer_of(by, own->source.peer));
    return 0;
}

int backup_nodes(struct backup_list *list, const struct manifest *own, struct frequency_item *items,
                 bool *changed, struct err *e)
{
    /* A manifest may say another peer than its name: two of each entry at most. */
    cleanup_free struct peer *peer = calloc(list->n * 2 + 2, sizeof *peer);
    cleanup_free const char **name = calloc(list->n + 2, sizeof *name);
    struct numbering by = {.peer = peer, .name = name};
    if (!peer || !name)
        return err_set(e, ENOMEM, "cannot tell whose the backups are", NULL, NULL);
    return number_all(list, own, items, &by, changed, e);
}
