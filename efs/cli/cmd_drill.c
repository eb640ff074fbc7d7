/* drill: choose, restore each into a second Qdrant, and report. */
#include "common/base/cleanup.h"
#include "common/base/confine.h"
#include "common/base/string_list.h"
#include "common/base/text.h"
#include "efs/cli/cmd_drill.h"
#include "efs/cli/cmd_sets.h"
#include "efs/cli/cmd_why_none.h"
#include "common/base/utc.h"
#include "common/json.h"
#include "efs/drill/scratch.h"
#include "efs/repo/history.h"
#include "efs/repo/readers.h"
#include "efs/restore/set_source.h"
#include <cjson/cJSON.h>
#include <curl/curl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* --- settings */

const struct config_row drill_rows[DRILL_ROWS] = {
    {"QDRANT_BIN", "Qdrant's program", "/qdrant/qdrant", NULL, false},
    {"DRILL_DIR", "scratch folder, on a local disk", "", "qdrant-drill beside SNAPSHOTS_DIR, else in TMPDIR",
     false},
    {"DRILL_TIMEOUT", "how long one backup may take", "1h", NULL, false},
    {"CONFINE", "off: the second Qdrant may open what its user may", "second", NULL, false},
    {"MIN_FREE", "stays free where the scratch folder is on the disk of SNAPSHOTS_DIR", "1g", NULL, false},
};

static const char *standard(const char *name) { return config_standard(drill_rows, DRILL_ROWS, name); }

static int read_settings(struct drill_job *r, struct err *e)
{
    static const char *const confine[] = {"off", "second", "all", NULL};
    unsigned seconds, which;
    const char *program = config_env("QDRANT_BIN", standard("QDRANT_BIN")),
               *place = config_env("DRILL_DIR", standard("DRILL_DIR"));
    if (config_seconds("DRILL_TIMEOUT", standard("DRILL_TIMEOUT"), 1, 86400, &seconds, e) != 0 ||
        config_bytes("MIN_FREE", standard("MIN_FREE"), &r->min_free, e) != 0 ||
        config_choice("CONFINE", standard("CONFINE"), confine, &which, e) != 0 ||
        config_path(r->program, sizeof r->program, "QDRANT_BIN", program, e) != 0 ||
        config_path(r->place, sizeof r->place, "DRILL_DIR", place, e) != 0)
        return -1;
    r->timeout_ms = (int64_t)seconds * 1000;
    r->confine = which > 0;
    return *r->place || scratch_place(r->o->settings.snapshots_dir, r->place)
               ? 0
               : config_wrong(e, "DRILL_DIR", "", "a folder on a local disk");
}

static struct drill_options options_of(const struct drill_job *r)
{
    return (struct drill_options){.program = r->program,
                                  .place = r->place,
                                  .beside = r->o->settings.snapshots_dir,
                                  .unconfined = !r->confine,
                                  .min_free = r->min_free,
                                  .timeout_ms = (long)r->timeout_ms,
                                  .stop = r->stop};
}

/* --- the report */

static bool add_print(cJSON *o, const struct backup *b, const struct drill_report *d)
{
    const struct fingerprint *f = &b->m.fingerprint;
    bool found = d->found.points >= 0;
    cJSON *points = found ? cJSON_AddNumberToObject(o, "points", (double)d->found.points)
                          : cJSON_AddNullToObject(o, "points");
    if (!points || !f->known)
        return points;
    return cJSON_AddNumberToObject(o, "points_before", (double)f->before.points) &&
           cJSON_AddNumberToObject(o, "points_after", (double)f->after.points) &&
           cJSON_AddBoolToObject(o, "exact", f->exact) &&
           cJSON_AddNumberToObject(o, "looked_at", d->found.looked_at) &&
           cJSON_AddBoolToObject(o, "all", d->found.all);
}

/* Of a set: its backups, and whose they are. */
static bool add_set(cJSON *o, const struct set_source *of)
{
    cJSON *set = of ? cJSON_AddArrayToObject(o, "set") : NULL,
          *nodes = set ? cJSON_AddArrayToObject(o, "nodes") : NULL;
    bool good = !of || nodes;
    for (size_t i = 0; of && good && i < of->n; i++)
        good = json_append_text(set, of->sources[i].b->m.source.stem) &&
               json_append_text(nodes, of->sources[i].b->m.node);
    return good;
}

static void report_json(struct drill_job *r, const struct backup *b, const struct set_source *of,
                        const struct drill_report *d)
{
    char slot[32];
    cJSON *o = cJSON_CreateObject();
    utc_text(b->m.slot, slot);
    bool good =
        o && cmd_json_text(o, "collection", b->m.source.collection) &&
        cmd_json_text(o, "kind", kind_text(b->m.source.kind)) &&
        cmd_json_text(o, "shard", b->m.source.shard) && cmd_json_text(o, "snapshot", b->m.source.stem) &&
        cmd_json_text(o, "node", b->m.node) && cmd_json_text(o, "frequency", frequency_text(b->frequency)) &&
        cmd_json_text(o, "slot", slot) && cmd_json_text(o, "verdict", drill_verdict_text(d->verdict)) &&
        cmd_json_text(o, "why", d->why) && cmd_json_text(o, "note", d->note) &&
        cJSON_AddNumberToObject(o, "seconds", d->seconds) &&
        cJSON_AddNumberToObject(o, "restore_seconds", d->restore) &&
        cJSON_AddNumberToObject(o, "size", (double)b->m.content.size) && add_print(o, b, d) && add_set(o, of);
    if (!good || !cJSON_AddItemToArray(r->drills, o))
        cJSON_Delete(o); /* without memory it is missing in the report, not in the exit code */
}

static void say_proof(const struct backup *b, const struct drill_report *d, char out[300])
{
    const struct fingerprint *f = &b->m.fingerprint;
    int n = snprintf(out, 300, "restored in %.1f s, %" PRId64 " point%s", d->restore, d->found.points,
                     d->found.points == 1 ? "" : "s");
    if (!f->known || n < 0 || n >= 300)
        return;
    (void)snprintf(out + n, 300 - (size_t)n,
                   f->exact ? ", %s%u of them with payload and vectors as they were"
                            : ", %s%u of them looked at",
                   d->found.all ? "all " : "", d->found.looked_at);
}

static const char *shown(const struct backup *b)
{
    return b->m.source.kind == KIND_STORAGE ? "the whole storage" : b->m.source.collection;
}

static void report_text(const struct backup *b, const struct drill_report *d)
{
    static const char *const paint[] = {"\033[32m", "\033[33m", "\033[31m", "\033[33m"};
    static const char *const word[] = {"proven", "partly proven", "FAILED", "refused"};
    char proof[300], raw[4096], safe[4096];
    bool colour = cmd_colour(), good = d->verdict == DRILL_PROVEN || d->verdict == DRILL_PARTLY;
    say_proof(b, d, proof);
    (void)snprintf(raw, sizeof raw, "%s, %s of %s: ", shown(b), b->m.source.stem,
                   frequency_text(b->frequency));
    (void)printf("%s", text_printable(raw, safe, sizeof safe));
    (void)printf("%s%s%s", colour ? paint[d->verdict] : "", word[d->verdict], colour ? "\033[0m" : "");
    (void)snprintf(raw, sizeof raw, ": %s%s%s%s", good ? proof : d->why, *d->note ? " (" : "", d->note,
                   *d->note ? ")" : "");
    (void)puts(text_printable(raw, safe, sizeof safe));
    (void)fflush(stdout);
}

/* --- one backup */

/* The tree that a backup is in: its folder without "/{frequency}/{collection}". */
static void note_tree(struct drill_job *r, const struct backup *b)
{
    char folder[NAME_MAX * 2 + 32];
    size_t dir = strlen(b->dir), cut;
    if (*r->base || !name_folder(&b->m.source, folder, sizeof folder))
        return;
    cut = strlen(folder) + strlen(frequency_text(b->frequency)) + 2;
    (void)snprintf(r->base, sizeof r->base, "%.*s", cut < dir ? (int)(dir - cut) : 0, b->dir);
}

/* What a drill needs beside a backup. */
struct beside {
    const char *collection, *node; /* the node empty: any */
    time_t at;                     /* 0: any time */
    bool fingerprint;              /* it has one */
};

/* The newest good one; it stays until the next call. What --snapshot names is no matter here. */
static const struct backup *find_beside(struct drill_job *r, const struct beside *wish)
{
    struct err e = {0};
    struct backup *b = NULL;
    struct restore_selector w = {.kind = KIND_COLLECTION,
                                 .collection = wish->collection,
                                 .at = wish->at,
                                 .frequency = -1,
                                 .any_node = true,
                                 .any_tree = true,
                                 .now = r->begun};
    backup_list_free(&r->beside);
    if (cmd_gather_names_of(r->o, wish->collection, &r->beside, &e) != 0) {
        cmd_complain("%s", e.text);
        return NULL;
    }
    cleanup_choice struct restore_choice *c = restore_choice_new(&r->beside, &w, &restore_look_files, &e);
    if (!c || restore_choice_add(c, 0, r->beside.n, &e) != 0)
        return NULL;
    while (restore_choice_next(c, &b, &e) == 0 && b)
        if (b->state == ENTRY_COMPLETE && !restore_beyond(b, r->begun) &&
            (!*wish->node || strcmp(b->m.node, wish->node) == 0) &&
            (!wish->fingerprint || b->m.fingerprint.known))
            return b;
    return NULL;
}

/* What a shard is restored into: the newest one of its collection and node, if there is one that is not
 * younger. Without a NODE_NAME a shard's manifest does not tell its node. */
static const struct backup *collection_of(struct drill_job *r, const struct backup *shard)
{
    struct beside w = {.collection = shard->m.source.collection,
                       .node = shard->m.node,
                       .at = restore_moment(shard, r->begun)};
    const struct backup *older = w.at ? find_beside(r, &w) : NULL;
    w.at = 0;
    return older ? older : find_beside(r, &w);
}

static const struct backup *own_of(const struct backup *b, const char *name, void *run)
{
    struct drill_job *r = run;
    struct beside w = {
        .collection = name, .node = b->m.node, .at = restore_moment(b, r->begun), .fingerprint = true};
    return w.at ? find_beside(r, &w) : NULL;
}

static void drill_one(struct drill_job *r, const struct backup *b, struct drill_report *out)
{
    switch (b->m.source.kind) {
    case KIND_COLLECTION: drill_run(r->drill, b, out); break;
    case KIND_SHARD: drill_shard(r->drill, b, collection_of(r, b), out); break;
    case KIND_STORAGE: drill_storage(r->drill, b, own_of, r, out); break;
    }
}

static void add_note(struct drill_report *d, const char *note)
{
    size_t n = strlen(d->note);
    if (*note)
        (void)snprintf(d->note + n, sizeof d->note - n, "%s%s", n ? "; " : "", note);
}

void drill_tell(struct drill_job *r, const struct backup *b, const struct set_source *of,
                struct drill_report *d, const char *passed_over)
{
    char clock[200];
    restore_clock_note(b, r->begun, clock, sizeof clock);
    add_note(d, clock);
    add_note(d, passed_over);
    r->result.n++;
    r->result.proven += d->verdict == DRILL_PROVEN;
    r->result.partly += d->verdict == DRILL_PARTLY;
    r->result.refused += d->verdict == DRILL_REFUSED;
    note_tree(r, b);
    if (*d->engine)
        (void)snprintf(r->engine, sizeof r->engine, "%s", d->engine);
    if (!*r->node)
        (void)snprintf(r->node, sizeof r->node, "%s", *b->m.node ? b->m.node : b->m.source.peer);
    report_json(r, b, of, d);
    if (!r->o->json)
        report_text(b, d);
}

bool drill_prove(struct drill_job *r, const struct backup *b, const char *passed_over)
{
    struct drill_report d;
    r->bar = progress_new(backup_work(&b->m));
    progress_name(r->bar, b->m.source.stem);
    drill_one(r, b, &d);
    progress_end(r->bar);
    r->bar = NULL;
    drill_tell(r, b, NULL, &d, passed_over);
    return d.verdict == DRILL_FAILED && d.defect;
}

static void sent(size_t n, void *run) { progress_bytes(n, ((struct drill_job *)run)->bar); }

void drill_nothing(struct drill_job *r, enum kind kind, const char *collection, const char *why)
{
    struct backup none = {.frequency = FREQUENCY_15MIN, .m.source.kind = kind};
    struct drill_report d = {.verdict = DRILL_FAILED, .found = {.points = -1}};
    (void)snprintf(none.m.source.collection, sizeof none.m.source.collection, "%s", collection);
    (void)snprintf(d.why, sizeof d.why, "%s", why);
    r->result.n++;
    report_json(r, &none, NULL, &d);
    if (!r->o->json)
        cmd_complain("%s: %s", shown(&none), why);
}

static void nothing(struct drill_job *r, const struct restore_selector *w, const char *why)
{
    drill_nothing(r, w->kind, w->collection, why);
}

/* Nodes that live side by side are no reason to prove nothing: each backup is proven for itself, and the
 * newest one comes first. The name belongs to the list. */
static const char *node_of_newest(struct backup_list *list, const struct restore_selector *wish,
                                  struct err *e)
{
    struct restore_selector w = *wish;
    struct backup *b = NULL;
    w.any_node = w.any_tree = true;
    w.shard = w.snapshot = NULL;
    w.frequency = -1;
    cleanup_choice struct restore_choice *c = restore_choice_new(list, &w, &restore_look_files, e);
    if (!c || restore_choice_add(c, 0, list->n, e) != 0)
        return NULL;
    while (restore_choice_next(c, &b, e) == 0 && b)
        if (b->state == ENTRY_COMPLETE && !restore_beyond(b, w.now))
            return *b->m.node ? b->m.node : *b->m.source.peer ? b->m.source.peer : NULL;
    return NULL;
}

/* Why there is nothing of `collection` to prove; NULL: of any. */
static void explain(const struct drill_job *r, const struct restore_selector *wish, const char *collection,
                    struct err *e)
{
    struct options o = *r->o;
    struct filters w = filters_of(wish, &o, &collection);
    w.any_kind = !wish->shard && !o.restore.storage && (wish->snapshot || !collection);
    if (!why_none_on_efs(&w, e))
        (void)err_set(e, 0, "there is no good backup to restore below", o.root, "`qdrant-efs ls` lists them");
}

/* Those that are not whole are passed over: a manifest is no backup, and `ls` tells of it. One that fails for
 * what it is has failed, and the next older one, which a restore would take, is tried, too. */
static void prove_chosen(struct drill_job *r, struct restore_choice *c, size_t *tried, struct err *e)
{
    struct backup *b = NULL;
    char passed[600] = "", why[1200];
    while (!atomic_load(r->stop) && restore_choice_next(c, &b, e) == 0 && b) {
        bool whole = !restore_choice_refuses(c, b, why, sizeof why);
        if (whole && (!drill_prove(r, b, passed) || r->o->restore.strict)) {
            ++*tried;
            return;
        }
        *tried += whole;
        bool defective = b->state != ENTRY_COMPLETE;
        if (!*passed)
            (void)snprintf(passed, sizeof passed, "the newer %s was passed over: it %s%s", b->m.source.stem,
                           whole       ? "has failed"
                           : defective ? "is "
                                       : "says a time that it cannot be of",
                           defective ? entry_state_text(b->state) : "");
        if (!whole && *tried == 0 && !*e->text)
            (void)snprintf(e->text, sizeof e->text, "there is no good backup to restore: %.255s%s%.700s",
                           b->m.source.stem, defective ? " is " : ": ", why);
    }
}

static void prove_newest(struct drill_job *r, struct backup_list *list, const struct restore_selector *wish)
{
    struct err e = {0};
    struct restore_selector one = *wish, *w = &one;
    struct backup *any = NULL;
    size_t tried = 0;
    if (!w->node)
        w->node = node_of_newest(list, w, &e);
    cleanup_choice struct restore_choice *c = restore_choice_new(list, w, &restore_look_files, &e);
    if (c && restore_choice_add(c, 0, list->n, &e) == 0 && restore_choice_peek(c, &any, &e) == 0 && any)
        prove_chosen(r, c, &tried, &e);
    if (!any && !*e.text)
        explain(r, wish, w->collection, &e);
    if (tried == 0)
        nothing(r, w, *e.text ? e.text : "there is no good backup to restore");
}

/* --- all */

/* All whole, and none of it ours: other nodes prove theirs. The newest are looked at first: one is mostly
 * ours. */
static int is_others(const struct drill_job *r, struct backup_list *list, const struct restore_selector *w,
                     bool *others, struct err *e)
{
    enum { FIRST = 8 };
    *others = false;
    if (!w->node || r->o->restore.node)
        return 0;
    for (size_t i = list->n; i-- > 0;) {
        const struct backup *b = &list->v[i];
        if (b->m.source.kind != w->kind || strcmp(b->m.source.collection, w->collection) != 0)
            continue;
        if (list->n - i <= FIRST ? restore_look_files.read(&list->v[i], NULL, e) != 0
                                 : b->state == ENTRY_UNREAD && readers_read(list, e) != 0)
            return -1;
        if (b->state != ENTRY_COMPLETE || strcmp(b->m.node, w->node) == 0 ||
            strcmp(b->m.source.peer, w->node) == 0)
            return 0;
    }
    *others = true;
    return 0;
}

/* One collection, or the storage, of what is in `gathered`, or where that is NULL of what there is of it on
 * EFS. `skip`: nothing is said of what has no backup of the wish's kind, or is another node's. */
static void prove_name(struct drill_job *r, struct backup_list *gathered, struct restore_selector *w,
                       const char *name, bool skip)
{
    cleanup_backup_list struct backup_list own = {0};
    struct backup_list *list = gathered ? gathered : &own;
    struct err e = {0};
    bool any = false, others = false;
    w->collection = name;
    if (!gathered && cmd_gather_names_of(r->o, w->kind == KIND_STORAGE ? "%storage" : name, &own, &e) != 0)
        return nothing(r, w, e.text);
    for (size_t i = 0; skip && i < list->n && !any; i++)
        any = list->v[i].m.source.kind == w->kind && strcmp(list->v[i].m.source.collection, name) == 0;
    if (skip && !any)
        return;
    if (skip && is_others(r, list, w, &others, &e) != 0)
        return nothing(r, w, e.text);
    if (!others)
        prove_newest(r, list, w);
}

static int names_in(const struct backup_list *list, char ***names, size_t *n)
{
    for (size_t i = 0; i < list->n; i++) {
        const char *name = list->v[i].m.source.collection;
        size_t k = 0;
        while (k < *n && strcmp((*names)[k], name) != 0)
            k++;
        if (k == *n && !string_list_add(names, n, name))
            return -1;
    }
    return 0;
}

/* One of each collection that has any of the wish's kind. */
static void prove_each(struct drill_job *r, struct backup_list *gathered, struct restore_selector *w)
{
    char **names = NULL;
    size_t n = 0;
    struct err e = {0};
    if (gathered ? names_in(gathered, &names, &n) != 0 : cmd_collection_names(r->o, &names, &n, &e) != 0) {
        cmd_complain("%s", *e.text ? e.text : "no memory");
        r->unread = true;
    }
    for (size_t i = 0; i < n && !atomic_load(r->stop); i++)
        prove_name(r, gathered, w, names[i], true);
    backup_folders_free(names, n);
}

static void prove_named(struct drill_job *r, struct backup_list *gathered, struct restore_selector *w)
{
    for (size_t i = 0; i < r->o->n_collections && !atomic_load(r->stop); i++)
        prove_name(r, gathered, w, r->o->collections[i], false);
}

/* Without a choice all collections, and then the storage; of single shards only those that are asked for.
 * `gathered`: what has the name that --snapshot gives; NULL without one. */
static void prove_all(struct drill_job *r, struct backup_list *gathered)
{
    const struct options *o = r->o;
    const struct restore_options *by = &o->restore;
    bool any = !by->storage && !by->shard && !by->snapshot && o->n_collections == 0;
    struct restore_selector w = {.kind = by->storage                   ? KIND_STORAGE
                                         : by->shard                   ? KIND_SHARD
                                         : gathered && gathered->n > 0 ? gathered->v[0].m.source.kind
                                                                       : KIND_COLLECTION,
                                 .collection = "",
                                 .shard = by->shard,
                                 .node = by->node            ? by->node
                                         : *o->settings.node ? o->settings.node
                                                             : NULL,
                                 .snapshot = by->snapshot,
                                 .at = by->at,
                                 .now = r->begun,
                                 .frequency = o->frequency};
    if (by->storage)
        prove_name(r, gathered, &w, "", false);
    else if (o->n_collections > 0)
        prove_named(r, gathered, &w);
    else
        prove_each(r, gathered, &w);
    w.kind = KIND_STORAGE;
    if (any && !atomic_load(r->stop))
        prove_name(r, NULL, &w, "", true);
    w.kind = by->storage ? KIND_STORAGE : by->shard ? KIND_SHARD : KIND_COLLECTION;
    if (r->result.n == 0 && !atomic_load(r->stop)) {
        struct err e = {0};
        explain(r, &w, NULL, &e);
        cmd_complain("%s", e.text);
    }
}

static bool finish_report(struct drill_job *r)
{
    char begun[32];
    utc_text(r->begun, begun);
    return cmd_json_text(r->report, "time", begun) &&
           cmd_json_text(r->report, "verdict", drill_result_verdict(&r->result)) &&
           cmd_json_text(r->report, "node", r->node) && cmd_json_text(r->report, "engine", r->engine) &&
           cJSON_AddNumberToObject(r->report, "proven", (double)r->result.proven) &&
           cJSON_AddNumberToObject(r->report, "partly_proven", (double)r->result.partly) &&
           cJSON_AddNumberToObject(r->report, "refused", (double)r->result.refused) &&
           cJSON_AddNumberToObject(r->report, "of", (double)r->result.n) &&
           (!r->o->own || cJSON_AddNumberToObject(r->report, "left_to_others", (double)r->others));
}

static bool keep(struct drill_job *r)
{
    struct err e = {0};
    char *text = cJSON_Print(r->report);
    const char *base = *r->base ? r->base : r->o->settings.base;
    int rc =
        text ? history_add(base, &history_drills, *r->node ? r->node : "unknown", r->begun, text, &e) : -1;
    cJSON_free(text);
    if (rc != 0)
        cmd_complain("the report is not kept: %s", *e.text ? e.text : "no memory");
    return rc == 0;
}

static void report_result(const struct drill_result *s)
{
    if (s->n == 0)
        return;
    (void)printf("%zu of %zu proven", s->proven, s->n);
    if (s->partly > 0)
        (void)printf(", %zu restored and partly proven", s->partly);
    if (s->refused > 0)
        (void)printf(", %zu not tried", s->refused);
    (void)putchar('\n');
}

static int report(struct drill_job *r, bool clean)
{
    r->result.stopped = atomic_load(r->stop);
    r->result.left = !clean || r->unread;
    if (!finish_report(r))
        return cmd_complain("no memory"), EXIT_DEFECT;
    if (r->o->keep_report && !keep(r))
        r->result.left = true;
    bool none = r->others > 0 && r->result.n == 0 && !r->result.left && !r->result.stopped;
    bool ok = none || drill_result_good(&r->result);
    if (!r->o->json) {
        report_result(&r->result);
        if (r->others > 0)
            (void)printf("%zu left to other nodes\n", r->others);
        return ok && fflush(stdout) == 0 ? 0 : EXIT_DEFECT;
    }
    cJSON *whole = r->report;
    r->report = NULL;
    int rc = cmd_print_json(whole);
    return ok ? rc : EXIT_DEFECT;
}

/* Another drill, no folder: nothing was tried. */
static int cannot(struct drill_job *r, const struct err *e)
{
    (void)cJSON_AddStringToObject(r->report, "why", e->text); /* else only the line below says it */
    cmd_complain("%s", e->text);
    if (r->o->json) {
        (void)cJSON_AddStringToObject(r->report, "verdict", "refused");
        cJSON *whole = r->report;
        r->report = NULL;
        (void)cmd_print_json(whole);
    }
    return EXIT_DEFECT;
}

static int drill(struct drill_job *r, struct backup_list *gathered)
{
    struct err e = {0};
    struct drill_options o = options_of(r);
    o.watch = (struct copy_watch){sent, r};
    r->drill = drill_open(&o, &e);
    if (!r->drill)
        return cannot(r, &e);
    if (r->confine && confine_version() == 0 && !r->o->json)
        cmd_complain("this kernel has no Landlock: the second Qdrant may open what this user may");
    if (r->o->set)
        drill_sets(r);
    else
        prove_all(r, gathered);
    bool clean = drill_close(r->drill, &e) == 0;
    if (!clean)
        cmd_complain("%s", e.text);
    return report(r, clean);
}

static int check_set(const struct options *o)
{
    const struct restore_options *r = &o->restore;
    const char *flag = r->snapshot  ? "--snapshot"
                       : r->shard   ? "--shard"
                       : r->storage ? "--storage-snapshot"
                                    : NULL;
    if (o->own && !(o->set && *o->settings.node))
        return cmd_complain("--own is for --set, and needs NODE_NAME; see qdrant-efs drill --help"),
               EXIT_SETTING;
    if (!o->set || !flag)
        return o->set ? set_filters_check(o) : 0;
    cmd_complain("--set is of the backups of all nodes: no %s; see qdrant-efs drill --help", flag);
    return EXIT_SETTING;
}

static int check_use(const struct options *o)
{
    if (check_set(o) != 0)
        return EXIT_SETTING;
    if (o->restore.shard && o->restore.storage)
        return cmd_complain("--shard or --storage-snapshot, not both; see qdrant-efs drill --help"),
               EXIT_SETTING;
    if (!o->restore.storage || o->n_collections == 0)
        return o->restore.shard ? cmd_check_shard(o) : 0;
    cmd_complain("--storage-snapshot is of all collections: no --collection; see qdrant-efs drill --help");
    return EXIT_SETTING;
}

static struct drill_job r; /* the bar's callback has no more than a pointer to it, and a signal none at all */
static void abandon(void) { drill_abandon(r.place); }

struct drill *drill_settings_open(const struct options *o, const struct copy_watch *watch,
                                  const atomic_bool *stop, struct err *e)
{
    r = (struct drill_job){.o = o, .stop = stop};
    if (read_settings(&r, e) != 0)
        return NULL;
    struct drill_options d = options_of(&r);
    d.watch = *watch;
    return drill_open(&d, e);
}

int cmd_drill(const struct options *o)
{
    cleanup_backup_list struct backup_list list = {0};
    struct err e = {0};
    struct options all = *o;
    r = (struct drill_job){.o = o, .begun = time(NULL)};
    if (read_settings(&r, &e) != 0) {
        cmd_complain("%s; see qdrant-efs drill --help", e.text);
        return EXIT_SETTING;
    }
    if (check_use(o) != 0)
        return EXIT_SETTING;
    if (*o->settings.node)
        (void)snprintf(r.node, sizeof r.node, "%s", o->settings.node);
    all.operand = o->restore.snapshot;
    r.stop = cmd_catch_signals(true, abandon);
    if (all.operand && cmd_gather_names(&all, &list, &e) != 0)
        return cmd_complain("%s", e.text), EXIT_DEFECT;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return EXIT_DEFECT;
    r.report = cJSON_CreateObject();
    r.drills = cJSON_AddArrayToObject(r.report, "drills");
    int rc = r.drills ? drill(&r, all.operand ? &list : NULL) : EXIT_DEFECT;
    backup_list_free(&r.beside);
    cJSON_Delete(r.report);
    curl_global_cleanup();
    return rc;
}
