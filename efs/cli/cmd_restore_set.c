/* restore --set: of each collection the newest complete set of a cluster's backups, spliced on its way into
 * one snapshot that has all shards, or, for a cluster, into one for each node. What is wrong with one backup
 * of it makes the set be looked at again: another backup of that slot may have the shard, else the next older
 * complete set is taken. */
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/utc.h"
#include "common/json.h"
#include "efs/cli/cmd_restore.h"
#include "efs/cli/cmd_sets.h"
#include "efs/restore/set_source.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

int restore_sets_check(const struct options *o)
{
    const struct restore_options *r = &o->restore;
    const char *flag = r->snapshot   ? "--snapshot"
                       : r->shard    ? "--shard"
                       : r->storage  ? "--storage-snapshot"
                       : r->from_s3  ? "--from-s3"
                       : r->location ? "--location"
                                     : NULL;
    if (!flag)
        return 0;
    cmd_complain("--set is of the backups of all nodes on EFS: no %s; see qdrant-efs restore --help", flag);
    return EXIT_SETTING;
}

/* --- one set as one backup */

struct one {
    struct job *j;
    struct set_world *w;
    size_t at; /* a set of the same tree and collection */
    const struct set *set;
    struct set_source from; /* empty where the set is one backup by itself */
};

static void list_sources(const struct one *o)
{
    cJSON *list = o->j->json ? cJSON_CreateArray() : NULL;
    for (size_t i = 0; list && i < o->from.n; i++)
        (void)json_append_text(list,
                               o->from.sources[i].b->m.source.stem); /* without memory the list is shorter */
    cJSON_DeleteItemFromObjectCaseSensitive(o->j->json, "set");
    if (list && !cJSON_AddItemToObject(o->j->json, "set", list))
        cJSON_Delete(list);
}

/* The entry of the list that a set points at. */
static struct backup *entry_of(struct one *o, const struct backup *b)
{
    return &o->w->list.v[b - o->w->list.v];
}

static void condemn(struct one *o, const struct backup *which, const char *why)
{
    say_skipped(set_world_condemn(o->w, which, why), why, o->j);
}

/* --- what came back, shard by shard */

/* On each node of a cluster: every replica. */
static enum restore_outcome count_shards(struct one *o, struct err *e)
{
    struct job *j = o->j;
    const char *target = *j->into ? j->into : j->target;
    char why[SET_WHY];
    size_t n = j->n_nodes > 0 ? j->n_nodes : 1;
    cleanup_free struct qdrant **nodes = calloc(n, sizeof(struct qdrant *));
    if (!nodes)
        return (void)err_set(e, ENOMEM, "cannot count the shards of", target, NULL), RESTORE_FAILED;
    nodes[0] = j->qdrant;
    for (size_t i = 1; i < n; i++)
        nodes[i] = j->nodes[i].qdrant;
    int rc = set_source_count(o->set, nodes, n, target, why, e);
    if (rc != 0)
        return rc > 0 ? RESTORE_DONE : RESTORE_FAILED;
    j->report.verdict = VERDICT_POINTS;
    (void)snprintf(j->report.why, sizeof j->report.why, "%s", why);
    (void)err_set(e, 0, "restored, and not what was there:", why,
                  "look at the collection before anybody uses it");
    return RESTORE_FAILED;
}

/* --- where to */

/* Once for all collections. */
static enum restore_outcome check_target(struct job *j, struct err *e)
{
    if (!j->qdrant || j->nodes_known)
        return RESTORE_DONE;
    enum restore_outcome outcome = restore_nodes_find(j, e);
    j->nodes_known = outcome == RESTORE_DONE;
    return outcome;
}

/* Into one node, or into each node of a cluster what is its own. `origin` may be NULL. */
static enum restore_outcome attempt_from(struct one *o, struct backup *b, const struct spread *spread,
                                         const struct restore_origin *origin, struct err *e)
{
    o->j->origin = origin;
    o->j->spread = o->j->n_nodes > 1 ? spread : NULL;
    enum restore_outcome outcome = restore_attempt_one(b, o->j, e);
    o->j->origin = NULL;
    o->j->spread = NULL;
    return outcome;
}

/* --- one collection */

static enum restore_outcome spliced(struct one *o, bool *again, struct err *e)
{
    size_t bad = 0;
    cleanup_splice struct splice *splice = NULL;
    bool made = set_source_make(o->set, &o->from) == 0;
    struct splice_of of = {.v = o->from.sources, .n = o->from.n};
    if (!made || !(splice = splice_new(&of, o->j->stop, e)))
        return (void)err_set(e, ENOMEM, "cannot put the set together", NULL, NULL), RESTORE_FAILED;
    list_sources(o);
    enum restore_outcome outcome = check_target(o->j, e);
    uint64_t work = 0;
    for (size_t i = 0; i < o->from.n; i++)
        work += backup_work(&o->from.sources[i].b->m);
    struct progress *bar = outcome == RESTORE_DONE ? progress_new(work) : NULL;
    struct copy_watch watch = {progress_bytes, bar};
    if (outcome == RESTORE_DONE) {
        progress_name(bar, o->from.b.m.source.stem);
        outcome = splice_measure(splice, &watch, &o->from.b.m.content, &bad, e);
        progress_end(bar);
        if (outcome == RESTORE_DEFECT && !o->j->o->restore.strict)
            return condemn(o, o->from.sources[bad].b, e->text), *again = true, outcome;
    }
    if (outcome != RESTORE_DONE)
        return outcome;
    struct spread spread = {o->j->nodes, o->j->n_nodes, o->from.sources, o->from.n};
    outcome = attempt_from(o, &o->from.b, &spread, splice_origin(splice), e);
    if (outcome != RESTORE_DONE && o->j->report.at_start_alone) {
        size_t n = strlen(e->text);
        (void)snprintf(e->text + n, sizeof e->text - n, "; of the set: --set --as-storage --to FILE");
    }
    if (outcome == RESTORE_DONE && o->j->qdrant && !o->j->o->dry_run)
        outcome = count_shards(o, e);
    return outcome;
}

static enum restore_outcome attempt(struct one *o, bool *again, struct err *e)
{
    *again = false;
    if (!o->set->by_itself) {
        enum restore_outcome outcome = spliced(o, again, e);
        /* Qdrant refuses what is in it, and does not say which shard's it is: that set is passed over. */
        if (outcome == RESTORE_DEFECT && !*again && !o->j->o->restore.strict) {
            for (size_t i = 0; i < o->from.n; i++)
                condemn(o, o->from.sources[i].b, e->text);
            *again = true;
        }
        return outcome;
    }
    struct backup *b = entry_of(o, o->set->v[0].b);
    struct splice_source whole = {.b = b};
    enum restore_outcome outcome = check_target(o->j, e);
    struct spread spread = {o->j->nodes, o->j->n_nodes, &whole, 1};
    if (outcome == RESTORE_DONE)
        outcome = attempt_from(o, b, &spread, NULL, e);
    if (outcome == RESTORE_DEFECT && !o->j->o->restore.strict)
        condemn(o, b, e->text), *again = true;
    return outcome;
}

/* Sets that are newer and not complete; that there is one. */
static bool say_passed(struct one *o)
{
    char why[SET_REASONS], slot[UTC_TEXT];
    bool any = false;
    const struct sets *all = &o->w->sets;
    time_t at = o->j->wish.at;
    for (size_t i = 0; i < all->n; i++) {
        const struct set *s = &all->v[i];
        struct backup b = {.dir = s->v[0].b->dir};
        if (s->complete || !sets_same_place(s, &all->v[o->at]) || (o->set && s->slot <= o->set->slot) ||
            (at && s->slot > at))
            continue;
        utc_text(s->slot, slot);
        (void)snprintf(b.stem, sizeof b.stem, "the set of %s", slot);
        (void)snprintf(b.m.source.stem, sizeof b.m.source.stem, "%s", b.stem);
        set_reasons(o->w, s, why, sizeof why);
        say_skipped(&b, why, o->j);
        any = true;
    }
    return any;
}

static enum restore_outcome no_set(const struct one *o, struct err *e)
{
    char what[400] = "the newest set is not complete (--strict)";
    if (!o->set)
        set_none(o->w, &o->w->sets.v[o->at], o->j->wish.at, what, sizeof what);
    (void)err_set(e, 0, what, NULL,
                  "`qdrant-efs ls --sets` tells what each lacks, `qdrant-efs verify --set` what is damaged");
    return RESTORE_FAILED;
}

static enum restore_outcome take(struct one *o, struct err *e)
{
    bool several = false, again = false, said = false;
    enum restore_outcome outcome;
    do {
        set_source_free(&o->from);
        if (again && set_world_again(o->w) != 0)
            return (void)err_set(e, ENOMEM, "cannot tell which backups are sets", NULL, NULL), RESTORE_FAILED;
        o->set = sets_newest(&o->w->sets, &o->w->sets.v[o->at],
                             o->j->wish.at ? o->j->wish.at : o->j->wish.now + RESTORE_TOLERANCE, &several);
        bool passed = !said && say_passed(o);
        said = true;
        if (!o->set || (passed && o->j->o->restore.strict))
            return no_set(o, e);
        if (several)
            return (void)err_set(e, 0,
                                 "several clusters, or nodes without one, have backups of it in this tree",
                                 NULL, "choose one with --node, without --set"),
                   RESTORE_FAILED;
        outcome = attempt(o, &again, e);
    } while (again && !atomic_load(o->j->stop));
    return outcome;
}

static bool restore_place(struct job *j, struct set_world *w, size_t at)
{
    char collection[256];
    struct err e = {0};
    int64_t begin = clock_ms();
    struct one o = {.j = j, .w = w, .at = at};
    (void)snprintf(collection, sizeof collection, "%s", w->sets.v[at].v[0].b->m.source.collection);
    j->wish.collection = collection;
    j->target = j->o->restore.rename ? j->o->restore.rename : collection;
    j->file[0] = j->into[0] = 0;
    say_begin(j);
    enum restore_outcome outcome = take(&o, &e);
    const struct backup *b = !o.set             ? NULL
                             : o.set->by_itself ? o.set->v[0].b
                             : o.from.n > 0     ? &o.from.b
                                                : NULL;
    bool good = say_end(j, b, outcome, &e, (double)(clock_ms() - begin) / 1000);
    if (b == &o.from.b && j->json) /* no file has all of it */
        (void)cJSON_ReplaceItemInObjectCaseSensitive(j->json, "path", cJSON_CreateString(""));
    set_source_free(&o.from);
    j->wish.collection = "";
    return good;
}

/* --- all of them */

static bool is_first(const struct sets *s, size_t i)
{
    return i == 0 || !sets_same_place(&s->v[i], &s->v[i - 1]);
}

static int wrong(const char *what)
{
    cmd_complain("%s; see qdrant-efs restore --help", what);
    return EXIT_SETTING;
}

static int check_several(const struct job *j, size_t n)
{
    struct stat st;
    const struct restore_options *r = &j->o->restore;
    if (n > 1 && (r->rename || r->to_stdout))
        return wrong(
            "--rename and --stdout are for one collection, and there are several: give --collection");
    if (n > 1 && r->to && !(stat(r->to, &st) == 0 && S_ISDIR(st.st_mode)))
        return wrong("--to must be a folder that is there, for several collections");
    return 0;
}

static bool restore_name(struct job *j, struct set_world *w, const char *name)
{
    for (size_t i = 0; i < w->sets.n; i++)
        if (is_first(&w->sets, i) && strcmp(w->sets.v[i].v[0].b->m.source.collection, name) == 0)
            return restore_place(j, w, i);
    cmd_complain("%.255s: no set of it is there", name);
    return false;
}

/* False: one was not restored. */
static bool restore_each(struct job *j, struct set_world *w, const char *const *names, size_t n)
{
    bool good = n > 0;
    char why[700];
    for (size_t i = 0; i < n && !atomic_load(j->stop); i++) {
        j->wish.collection = names[i];
        j->number = i;
        if (leaving_is(j->leaving, i, why, sizeof why))
            say_left_out(j, why);
        else
            good = restore_name(j, w, names[i]) && good;
    }
    return good;
}

/* Nobody has named a collection. */
static int restore_everything(struct job *j, struct set_world *w)
{
    char **names = NULL;
    size_t n = 0;
    struct err e = {0};
    int rc = EXIT_DEFECT;
    struct leaving *leaving = NULL;
    if (cmd_collection_names(j->o, &names, &n, &e) == 0)
        leaving = leaving_new(j, names, &n, j->qdrant != NULL, &e);
    if (!leaving) {
        cmd_complain("%s", e.text);
    } else if ((rc = check_several(j, n)) == 0) {
        leaving_tell(leaving);
        j->leaving = leaving;
        rc = restore_each(j, w, (const char *const *)names, n) ? 0 : EXIT_DEFECT;
        j->leaving = NULL;
    }
    leaving_free(leaving);
    backup_folders_free(names, n);
    return rc;
}

/* Until it is over. */
static void choose_from(struct job *j, struct backup_list *list) { j->list = list; }

int restore_sets(struct job *j)
{
    cleanup_set_world struct set_world w = {0};
    const struct options *o = j->o;
    int rc = set_world_gather(o, &w);
    if (rc != 0)
        return rc;
    choose_from(j, &w.list);
    j->wish = (struct restore_selector){.kind = KIND_COLLECTION,
                                        .collection = "",
                                        .at = o->restore.at,
                                        .frequency = -1,
                                        .any_node = true,
                                        .now = time(NULL)};
    if (set_several_trees(&w.sets))
        return cmd_complain("there are sets in several trees; choose one with --tier and --cpu-arch"),
               EXIT_DEFECT;
    if (o->n_collections == 0)
        rc = restore_everything(j, &w);
    else if ((rc = check_several(j, o->n_collections)) == 0)
        rc = restore_each(j, &w, o->collections, o->n_collections) ? 0 : EXIT_DEFECT;
    choose_from(j, NULL);
    return rc == 0 && atomic_load(j->stop) ? EXIT_DEFECT : rc;
}
