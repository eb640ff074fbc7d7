#include "efs/repo/sets.h"
#include "common/base/cleanup.h"
#include "qdrant/cluster.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- who belongs together */

static bool tells(const struct set_member *m) { return m->shards && m->shards->n > 0; }

static bool is_read(const struct backup *b) { return b->has_manifest && b->m.content.sha256[0]; }

/* Without shards elsewhere there is nothing that another node could add. */
static bool by_itself(const struct set_member *m)
{
    return !tells(m) && is_read(m->b) && !m->b->m.clustered && !m->b->m.points_of_node;
}

static bool is_member(const struct set_member *m)
{
    return m->b->m.source.kind == KIND_COLLECTION && !m->b->m.upload && m->b->m.slot > 0;
}

/* The tree's path is what stands before "/{frequency}/{folder}". */
static size_t tree_of(const struct backup *b)
{
    size_t n = strlen(b->dir);
    for (int parts = 2; n > 0 && parts > 0; parts--)
        while (n > 0 && b->dir[--n] != '/')
            ;
    return n;
}

static int by_place(const struct backup *a, const struct backup *b)
{
    size_t n = tree_of(a), m = tree_of(b);
    int order = strncmp(a->dir, b->dir, n < m ? n : m);
    if (order == 0)
        order = (n > m) - (n < m);
    return order ? order : strcmp(a->m.source.collection, b->m.source.collection);
}

static time_t taken(const struct backup *b) { return b->m.created > 0 ? b->m.created : b->m.source.taken; }

/* A total order: whoever arrives first, the sets are the same. */
static int by_age(const void *pa, const void *pb)
{
    const struct set_member *x = pa, *y = pb;
    const struct backup *a = x->b, *b = y->b;
    int order = by_place(a, b);
    if (order == 0)
        order = (a->m.slot > b->m.slot) - (a->m.slot < b->m.slot);
    if (order == 0)
        order = (taken(a) > taken(b)) - (taken(a) < taken(b));
    if (order == 0)
        order = strcmp(a->m.source.peer, b->m.source.peer);
    return order ? order : strcmp(a->dir, b->dir) ? strcmp(a->dir, b->dir) : strcmp(a->stem, b->stem);
}

/* Of one place and slot. */
static bool together(const struct set_member *a, const struct set_member *b)
{
    if (by_itself(a) || by_itself(b))
        return false;
    if (tells(a) && tells(b) && *a->shards->uuid && *b->shards->uuid)
        return strcmp(a->shards->uuid, b->shards->uuid) == 0;
    if (tells(a) && tells(b)) {
        for (size_t i = 0; i < b->shards->n; i++)
            for (size_t k = 0; k < b->shards->v[i].n; k++)
                if (shards_have_peer(a->shards, b->shards->v[i].peers[k].id))
                    return true;
        return shards_have_peer(a->shards, b->shards->peer);
    }
    if (!tells(a) && !tells(b))
        return true; /* nobody knows: what nobody tells apart is one set, and is not complete */
    const struct set_member *told = tells(a) ? a : b, *untold = tells(a) ? b : a;
    return shards_have_peer(told->shards, untold->b->m.source.peer);
}

/* The set of each of `n` members of one place and slot, as the index of its first one. */
static void join(const struct set_member *v, size_t n, size_t *first)
{
    for (size_t i = 0; i < n; i++)
        first[i] = i;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < i; k++) {
            size_t from = first[i], to = first[k];
            if (from == to || !together(&v[i], &v[k]))
                continue;
            if (from < to) {
                size_t swap = from;
                from = to;
                to = swap;
            }
            for (size_t j = 0; j < n; j++)
                first[j] = first[j] == from ? to : first[j];
        }
}

/* --- what a set has */

static const struct set_member *member_of(const struct set *s, const char *peer)
{
    for (size_t i = 0; i < s->n; i++) {
        const char *own = tells(&s->v[i]) ? s->v[i].shards->peer : s->v[i].b->m.source.peer;
        if (strcmp(own, peer) == 0)
            return &s->v[i];
    }
    return NULL;
}

static int by_id(const void *a, const void *b)
{
    const struct set_shard *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

/* All shards that any of them names, in the order of their numbers. */
static bool list_shards(struct set *s)
{
    size_t most = 0, n = 0;
    for (size_t i = 0; i < s->n; i++)
        most += tells(&s->v[i]) ? s->v[i].shards->n : 0;
    s->shards = calloc(most + 1, sizeof *s->shards);
    if (!s->shards)
        return false;
    for (size_t i = 0; i < s->n; i++)
        for (size_t k = 0; tells(&s->v[i]) && k < s->v[i].shards->n; k++)
            s->shards[n++] = (struct set_shard){.id = s->v[i].shards->v[k].id, .points = -1};
    qsort(s->shards, n, sizeof *s->shards, by_id);
    for (size_t i = 0; i < n; i++)
        if (s->n_shards == 0 || s->shards[s->n_shards - 1].id != s->shards[i].id)
            s->shards[s->n_shards++] = s->shards[i];
    return true;
}

static const struct shard_info *info_of(const struct set_member *m, unsigned id)
{
    return tells(m) ? shards_find(m->shards, id) : NULL;
}

/* Is the replica in that node's own snapshot a backup of the shard? */
static bool has_active(const struct set_member *m, const struct shard_info *i)
{
    return i && i->local && cluster_is_active(shard_state(i, m->shards->peer));
}

static void lacks(struct set_shard *s, enum set_lack lack, const struct set_member *by, const char *peer)
{
    static const int weight[] = {
        [SET_HERE] = 0,   [SET_NOWHERE] = 1,  [SET_NOT_ACTIVE] = 2, [SET_NO_BACKUP] = 3,
        [SET_UNTOLD] = 4, [SET_NOT_GOOD] = 5, [SET_OTHER_KEY] = 6};
    if (weight[lack] <= weight[s->lack])
        return;
    s->lack = lack;
    s->by = by;
    s->peer = peer;
}

/* The peers that have it, as one node names them. */
static void look_at_peers(struct set *set, struct set_shard *s, const struct shard_info *i)
{
    for (size_t k = 0; k < i->n; k++) {
        const struct set_member *m = member_of(set, i->peers[k].id);
        bool active = cluster_is_active(i->peers[k].state);
        set->in_motion = set->in_motion || !active;
        if (!active)
            lacks(s, SET_NOT_ACTIVE, NULL, i->peers[k].id);
        else if (!m)
            lacks(s, SET_NO_BACKUP, NULL, i->peers[k].id);
        else if (!tells(m))
            lacks(s, m->b->state == ENTRY_COMPLETE ? SET_UNTOLD : SET_NOT_GOOD, m, i->peers[k].id);
    }
    s->replicas = i->n > s->replicas ? (unsigned)i->n : s->replicas;
}

static void look_at_own(struct set_shard *s, const struct set_member *m, const struct shard_info *i)
{
    if (!has_active(m, i)) {
        if (i->local)
            lacks(s, SET_NOT_ACTIVE, m, m->shards->peer);
    } else if (m->b->state != ENTRY_COMPLETE) {
        lacks(s, SET_NOT_GOOD, m, m->shards->peer);
    } else {
        s->good++;
        if (!s->from) {
            s->from = m;
            s->points = i->points;
        }
    }
}

static void look_at_shard(struct set *set, struct set_shard *s)
{
    bool other_key = false;
    s->lack = SET_HERE;
    lacks(s, SET_NOWHERE, NULL, NULL);
    for (size_t i = 0; i < set->n; i++) {
        const struct set_member *m = &set->v[i];
        const struct shard_info *info = info_of(m, s->id);
        if (!info)
            continue;
        other_key = other_key || (s->key && info->key && strcmp(s->key, info->key) != 0);
        s->key = s->key ? s->key : info->key;
        look_at_peers(set, s, info);
        look_at_own(s, m, info);
    }
    if (s->from)
        s->lack = SET_HERE;
    if (other_key) {
        lacks(s, SET_OTHER_KEY, NULL, NULL);
        s->from = NULL;
    }
}

static void sum_up(struct set *s)
{
    time_t oldest = 0, newest = 0;
    s->complete = s->n_shards > 0;
    s->points = 0;
    for (size_t i = 0; i < s->n_shards; i++) {
        const struct set_shard *shard = &s->shards[i];
        if (!shard->from) {
            s->complete = false;
            s->points = -1;
            continue;
        }
        time_t when = taken(shard->from->b);
        oldest = !oldest || when < oldest ? when : oldest;
        newest = when > newest ? when : newest;
        s->points = s->points < 0 || shard->points < 0 ? -1 : s->points + shard->points;
    }
    s->skew = newest - oldest;
    s->points = s->n_shards > 0 ? s->points : -1;
}

static bool look(struct set *s)
{
    s->slot = s->v[0].b->m.slot;
    s->by_itself = s->n == 1 && by_itself(&s->v[0]);
    if (s->by_itself) {
        s->complete = s->v[0].b->state == ENTRY_COMPLETE;
        s->points = s->v[0].b->m.points;
        return true;
    }
    if (!list_shards(s))
        return false;
    for (size_t i = 0; i < s->n_shards; i++)
        look_at_shard(s, &s->shards[i]);
    sum_up(s);
    return true;
}

/* --- all of them */

/* Members of one set stand together, and each set where its first one stood. */
static bool add_sets(const struct set_member *v, size_t n, const size_t *first, struct set_member *to,
                     struct sets *out)
{
    size_t put = 0;
    for (size_t i = 0; i < n; i++) {
        if (first[i] != i)
            continue;
        struct set *s = &out->v[out->n++];
        *s = (struct set){.v = to + put, .points = -1};
        for (size_t k = i; k < n; k++)
            if (first[k] == i) {
                to[put++] = v[k];
                s->n++;
            }
        if (!look(s))
            return false;
    }
    return true;
}

static size_t same_slot(const struct set_member *v, size_t n)
{
    size_t i = 1;
    while (i < n && v[i].b->m.slot == v[0].b->m.slot && by_place(v[i].b, v[0].b) == 0)
        i++;
    return i;
}

int sets_make(const struct set_member *members, size_t n, struct sets *out, struct err *e)
{
    size_t kept = 0, step;
    cleanup_free struct set_member *v = calloc(n + 1, sizeof *v);
    cleanup_free size_t *first = calloc(n + 1, sizeof *first);
    *out = (struct sets){.v = calloc(n + 1, sizeof *out->v), .members = calloc(n + 1, sizeof *out->members)};
    bool good = v && first && out->v && out->members;
    for (size_t i = 0; good && i < n; i++)
        if (is_member(&members[i]))
            v[kept++] = members[i];
    if (good && kept > 0)
        qsort(v, kept, sizeof *v, by_age);
    for (size_t i = 0; good && i < kept; i += step) {
        step = same_slot(v + i, kept - i);
        join(v + i, step, first);
        good = add_sets(v + i, step, first, out->members + i, out);
    }
    if (good)
        return 0;
    sets_free(out);
    return err_set(e, ENOMEM, "cannot tell which backups are sets", NULL, NULL);
}

void sets_free(struct sets *s)
{
    for (size_t i = 0; s->v && i < s->n; i++)
        free(s->v[i].shards);
    free(s->v);
    free(s->members);
    *s = (struct sets){0};
}

/* Of one node, the later one. */
static bool same_node(const struct set *a, const struct set *b)
{
    return a->by_itself && b->by_itself && strcmp(a->v[0].b->m.node, b->v[0].b->m.node) == 0;
}

bool sets_same_place(const struct set *a, const struct set *b) { return by_place(a->v[0].b, b->v[0].b) == 0; }

const struct set *sets_newest(const struct sets *s, const struct set *like, time_t at, bool *several)
{
    const struct set *best = NULL;
    *several = false;
    for (size_t i = 0; i < s->n; i++) {
        const struct set *one = &s->v[i];
        if (!one->complete || !sets_same_place(one, like) || (at && taken(one->v[one->n - 1].b) > at))
            continue;
        *several = best && best->slot == one->slot && (*several || !same_node(best, one));
        best = best && best->slot > one->slot ? best : one;
    }
    return best;
}

bool set_needs(const struct set *s, const struct backup *b)
{
    if (s->by_itself)
        return s->v[0].b == b;
    for (size_t i = 0; i < s->n_shards; i++)
        if (s->shards[i].from && s->shards[i].from->b == b)
            return true;
    return false;
}

const char *set_lack_text(const struct set_shard *s, set_name *name, void *arg, char *out, size_t size)
{
    char shard[120];
    const char *who = s->peer ? name(s->peer, arg) : "";
    if (s->key)
        (void)snprintf(shard, sizeof shard, "shard %u (key %.80s)", s->id, s->key);
    else
        (void)snprintf(shard, sizeof shard, "shard %u", s->id);
    switch (s->lack) {
    case SET_HERE: (void)snprintf(out, size, "%s is here", shard); break;
    case SET_NO_BACKUP: (void)snprintf(out, size, "%s: %s has no backup of this slot", shard, who); break;
    case SET_NOT_GOOD:
        (void)snprintf(out, size, "%s: the backup of %s is %s", shard, who,
                       entry_state_text(s->by->b->state));
        break;
    case SET_UNTOLD:
        (void)snprintf(out, size, "%s: the backup of %s does not tell its shards", shard, who);
        break;
    case SET_NOT_ACTIVE: (void)snprintf(out, size, "%s: the replica on %s is not Active", shard, who); break;
    case SET_NOWHERE: (void)snprintf(out, size, "%s: no backup has an Active replica of it", shard); break;
    case SET_OTHER_KEY:
        (void)snprintf(out, size, "%s: the nodes name different shard keys for it", shard);
        break;
    }
    return out;
}
