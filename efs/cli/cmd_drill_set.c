/* drill --set: the newest complete set of a cluster's backups, spliced on its way into a second Qdrant that
 * has no cluster. All nodes could prove all sets; by a schedule each is proven by one of them, which nobody
 * has to appoint. */
#include "common/base/utc.h"
#include "efs/cli/cmd_drill.h"
#include "efs/cli/cmd_sets.h"
#include "efs/restore/set_source.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* FNV-1a: the same on every node, in every build. */
size_t drill_turn(const char *collection, size_t n)
{
    uint64_t hash = 0xcbf29ce484222325U;
    for (const unsigned char *p = (const unsigned char *)collection; *p; p++)
        hash = (hash ^ *p) * 0x100000001b3U;
    return n > 0 ? (size_t)(hash % n) : 0;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* The nodes that have a backup in the set take turns; one that tells no name is nobody's. */
static bool falls_to(const struct set *s, const char *node)
{
    const char *names[64] = {NULL}, *last = NULL;
    size_t n = 0, k = 0;
    for (size_t i = 0; i < s->n && n < sizeof names / sizeof *names; i++)
        if (s->v[i].b->m.node[0])
            names[n++] = s->v[i].b->m.node;
    qsort(names, n, sizeof *names, by_name);
    for (size_t i = 0; i < n; i++)
        if (!last || strcmp(last, names[i]) != 0)
            last = names[k++] = names[i];
    return k == 0 || strcmp(names[drill_turn(s->v[0].b->m.source.collection, k)], node) == 0;
}

static int count(struct qdrant *q, const char *collection, void *arg, char why[SET_WHY], struct err *e)
{
    return set_source_count(arg, &q, 1, collection, why, e);
}

struct place { /* a collection of a tree */
    struct drill_job *r;
    struct set_world *w;
    size_t at; /* one of its sets */
    unsigned n_passed;
    char passed[2000];
};

enum { PASSED_SAID = 3 };

/* What is newer than the one that is proven, and why it is not that: a schedule's report is all that a person
 * sees. Of a cluster whose sets are all incomplete the first few tell. */
static void add_passed(struct place *p, const char *text)
{
    size_t n = strlen(p->passed);
    if (p->n_passed++ < PASSED_SAID)
        (void)snprintf(p->passed + n, sizeof p->passed - n, "%s%s", n ? "; " : "", text);
    else if (p->n_passed == PASSED_SAID + 1)
        (void)snprintf(p->passed + n, sizeof p->passed - n, "; and more, which `qdrant-efs ls --sets` lists");
}

static void pass_over(struct place *p, const struct backup *b, const char *how)
{
    char path[PATH_MAX + NAME_MAX + 2], why[400], text[700];
    (void)snprintf(path, sizeof path, "%s/%s", b->dir, b->data);
    (void)snprintf(text, sizeof text, "the newer %.255s was passed over: %.300s", b->m.source.stem,
                   cmd_without_path(how, path, why, sizeof why));
    add_passed(p, text);
}

/* True: the next older set is to be tried. */
static bool prove_spliced(struct place *p, const struct set *s, struct set_source *from)
{
    struct drill_report d = {.verdict = DRILL_FAILED, .found = {.points = -1}};
    struct err e = {0};
    size_t bad = 0;
    struct splice_of of = {.v = from->sources, .n = from->n};
    cleanup_splice struct splice *splice = splice_new(&of, p->r->stop, &e);
    enum restore_outcome outcome =
        splice ? splice_measure(splice, NULL, &from->b.m.content, &bad, &e) : RESTORE_FAILED;
    if (outcome == RESTORE_DEFECT) {
        pass_over(p, from->sources[bad].b, e.text);
        (void)set_world_condemn(p->w, from->sources[bad].b, e.text);
        return true;
    }
    struct drill_set set = {splice ? splice_origin(splice) : NULL, count, (void *)s};
    if (outcome == RESTORE_DONE)
        drill_set(p->r->drill, &from->b, &set, &d);
    else
        (void)snprintf(d.why, sizeof d.why, "%s", e.text);
    drill_tell(p->r, &from->b, from, &d, p->passed);
    if (d.verdict != DRILL_FAILED || !d.defect || p->r->o->restore.strict)
        return false;
    pass_over(p, &from->b, "it has failed");
    for (size_t i = 0; i < from->n; i++)
        (void)set_world_condemn(p->w, from->sources[i].b, d.why);
    return true;
}

static bool prove_set(struct place *p, const struct set *s)
{
    struct set_source from;
    if (s->by_itself) {
        const struct backup *b = s->v[0].b;
        if (!drill_prove(p->r, b, p->passed) || p->r->o->restore.strict)
            return false;
        pass_over(p, b, "it has failed");
        (void)set_world_condemn(p->w, b, "a drill of it has failed");
        return true;
    }
    if (set_source_make(s, &from) != 0)
        return drill_nothing(p->r, KIND_COLLECTION, s->v[0].b->m.source.collection, "no memory"), false;
    bool again = prove_spliced(p, s, &from);
    set_source_free(&from);
    return again;
}

/* Sets that are newer and not complete, of those until `until`; the newest first. */
static void note_incomplete(struct place *p, const struct set *than, time_t until)
{
    char why[SET_REASONS], slot[UTC_TEXT], text[700];
    for (size_t i = p->w->sets.n; i-- > 0;) {
        const struct set *s = &p->w->sets.v[i];
        if (s->complete || !sets_same_place(s, &p->w->sets.v[p->at]) || s->slot > until ||
            (than && s->slot <= than->slot))
            continue;
        utc_text(s->slot, slot);
        set_reasons(p->w, s, why, sizeof why);
        (void)snprintf(text, sizeof text, "the set of %s is not complete: %.500s", slot, why);
        add_passed(p, text);
    }
}

static void prove_place(struct place *p)
{
    char collection[256];
    bool several = false, again = false;
    time_t until = p->r->o->restore.at ? p->r->o->restore.at : p->r->begun + RESTORE_TOLERANCE;
    (void)snprintf(collection, sizeof collection, "%s", p->w->sets.v[p->at].v[0].b->m.source.collection);
    do {
        if (again && set_world_again(p->w) != 0)
            return drill_nothing(p->r, KIND_COLLECTION, collection, "no memory");
        const struct set *s = sets_newest(&p->w->sets, &p->w->sets.v[p->at], until, &several);
        if (s && p->r->o->own && !falls_to(s, p->r->o->settings.node)) {
            p->r->others++;
            return;
        }
        if (!again)
            note_incomplete(p, s, until);
        if (several)
            return drill_nothing(p->r, KIND_COLLECTION, collection,
                                 "several clusters, or nodes without one, have backups of it in this tree");
        if (!s && !*p->passed)
            set_none(p->w, &p->w->sets.v[p->at], p->r->o->restore.at, p->passed, sizeof p->passed);
        if (!s)
            return drill_nothing(p->r, KIND_COLLECTION, collection, p->passed);
        again = prove_set(p, s);
    } while (again && !atomic_load(p->r->stop));
}

static bool is_wanted(const struct options *o, const char *collection)
{
    size_t i = 0;
    while (i < o->n_collections && strcmp(o->collections[i], collection) != 0)
        i++;
    return o->n_collections == 0 || i < o->n_collections;
}

/* A collection that was named and has nothing. */
static void say_missing(struct drill_job *r, const struct set_world *w)
{
    for (size_t i = 0; i < r->o->n_collections; i++) {
        bool any = false;
        for (size_t k = 0; k < w->sets.n && !any; k++)
            any = strcmp(w->sets.v[k].v[0].b->m.source.collection, r->o->collections[i]) == 0;
        if (!any)
            drill_nothing(r, KIND_COLLECTION, r->o->collections[i], "there is no backup of it");
    }
}

static bool is_known(const struct set_world *w, const char *node)
{
    for (size_t i = 0; i < w->list.n; i++)
        if (strcmp(w->list.v[i].m.node, node) == 0)
            return true;
    return false;
}

void drill_sets(struct drill_job *r)
{
    cleanup_set_world struct set_world w = {0};
    if (set_world_gather(r->o, &w) != 0) {
        r->unread = true;
        return;
    }
    /* Each first one: making them anew, after a defect, keeps their order by tree and collection. */
    for (size_t i = 0; i < w.sets.n && !atomic_load(r->stop); i++) {
        struct place p = {.r = r, .w = &w, .at = i};
        if ((i == 0 || !sets_same_place(&w.sets.v[i], &w.sets.v[i - 1])) &&
            is_wanted(r->o, w.sets.v[i].v[0].b->m.source.collection))
            prove_place(&p);
    }
    say_missing(r, &w);
    if (r->o->own && r->others > 0 && !is_known(&w, r->o->settings.node))
        cmd_complain("warning: NODE_NAME %s has no backup here, so that no set falls to it",
                     r->o->settings.node);
    if (r->result.n == 0 && r->others == 0 && !atomic_load(r->stop))
        cmd_complain("there is no backup of a collection below %s; `qdrant-efs ls --sets` lists them",
                     r->o->root);
}
