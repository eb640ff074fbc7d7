/* drill: choose, restore each into a second Qdrant, and report. */
#include "common/cleanup.h"
#include "common/text.h"
#include "efs/cmd.h"
#include "efs/drill.h"
#include "efs/drill_record.h"
#include "efs/restore.h"
#include <cjson/cJSON.h>
#include <curl/curl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct run {
    const struct options *o;
    const atomic_bool *stop; /* set by a signal */
    struct drill *drill;
    const struct entries *others; /* all that --snapshot may leave out, for what a drill needs beside it */
    struct progress *bar;
    cJSON *report, *drills; /* the report, and its array */
    size_t n, proven, refused;
    time_t begun;
    int64_t timeout_ms;
    char program[PATH_MAX], place[PATH_MAX], engine[32], node[128], base[PATH_MAX];
};

/* --- settings */

/* Beside Qdrant's snapshots, whose disk has room for such things; elsewhere than in a task there is none. */
static int default_place(struct run *r, struct err *e)
{
    const char *dir = r->o->settings.snapshots_dir, *slash = strrchr(dir, '/'),
               *temporary = config_env("TMPDIR", "/tmp");
    (void)snprintf(r->place, sizeof r->place, "%.*s", (int)(slash - dir), dir);
    if (slash == dir || access(r->place, W_OK | X_OK) != 0)
        (void)snprintf(r->place, sizeof r->place, "%s", *temporary == '/' ? temporary : "/tmp");
    size_t n = strlen(r->place);
    return (size_t)snprintf(r->place + n, sizeof r->place - n, "/qdrant-drill") < sizeof r->place - n
               ? 0
               : config_wrong(e, "DRILL_DIR", "", "a folder on a local disk");
}

static int read_settings(struct run *r, struct err *e)
{
    unsigned seconds;
    const char *program = config_env("QDRANT_BIN", "/qdrant/qdrant"), *place = config_env("DRILL_DIR", "");
    if (config_seconds("DRILL_TIMEOUT", "1h", 1, 86400, &seconds, e) != 0 ||
        config_path(r->program, sizeof r->program, "QDRANT_BIN", program, e) != 0 ||
        config_path(r->place, sizeof r->place, "DRILL_DIR", place, e) != 0)
        return -1;
    r->timeout_ms = (int64_t)seconds * 1000;
    return *r->place ? 0 : default_place(r, e);
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

static void report_json(struct run *r, const struct backup *b, const struct drill_report *d)
{
    char slot[32];
    cJSON *o = cJSON_CreateObject();
    manifest_time(b->m.slot, slot);
    bool good = o && cmd_json_text(o, "collection", b->m.source.collection) &&
                cmd_json_text(o, "kind", kind_text(b->m.source.kind)) &&
                cmd_json_text(o, "shard", b->m.source.shard) &&
                cmd_json_text(o, "snapshot", b->m.source.stem) && cmd_json_text(o, "node", b->m.node) &&
                cmd_json_text(o, "frequency", tier_text(b->tier)) && cmd_json_text(o, "slot", slot) &&
                cmd_json_text(o, "verdict", drill_verdict_text(d->verdict)) &&
                cmd_json_text(o, "why", d->why) && cmd_json_text(o, "note", d->note) &&
                cJSON_AddNumberToObject(o, "seconds", d->seconds) &&
                cJSON_AddNumberToObject(o, "restore_seconds", d->restore) &&
                cJSON_AddNumberToObject(o, "size", (double)b->m.content.size) && add_print(o, b, d);
    if (!good || !cJSON_AddItemToArray(r->drills, o))
        cJSON_Delete(o); /* without memory it is missing in the report, not in the exit code */
}

static void say_proof(const struct backup *b, const struct drill_report *d, char out[300])
{
    const struct fingerprint *f = &b->m.fingerprint;
    int n = snprintf(out, 300, "restored in %.1f s, %" PRId64 " points", d->restore, d->found.points);
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
    (void)snprintf(raw, sizeof raw, "%s, %s of %s: ", shown(b), b->m.source.stem, tier_text(b->tier));
    (void)printf("%s", text_printable(raw, safe, sizeof safe));
    (void)printf("%s%s%s", colour ? paint[d->verdict] : "", word[d->verdict], colour ? "\033[0m" : "");
    (void)snprintf(raw, sizeof raw, ": %s%s%s%s", good ? proof : d->why, *d->note ? " (" : "", d->note,
                   *d->note ? ")" : "");
    (void)puts(text_printable(raw, safe, sizeof safe));
    (void)fflush(stdout);
}

/* --- one backup */

/* The tree that a backup is in: its folder without "/{frequency}/{collection}". */
static void note_tree(struct run *r, const struct backup *b)
{
    char folder[NAME_MAX * 2 + 32];
    size_t dir = strlen(b->dir), cut;
    if (*r->base || !name_folder(&b->m.source, folder, sizeof folder))
        return;
    cut = strlen(folder) + strlen(tier_text(b->tier)) + 2;
    (void)snprintf(r->base, sizeof r->base, "%.*s", cut < dir ? (int)(dir - cut) : 0, b->dir);
}

/* What a shard is restored into: the newest one of its collection and node, if there is one that is not
 * younger. Without a NODE_NAME a shard's manifest does not tell its node. */
static const struct backup *collection_of(const struct entries *list, const struct backup *shard)
{
    const struct backup *older = NULL, *newest = NULL;
    for (size_t i = 0; i < list->n; i++) {
        const struct backup *b = &list->v[i];
        if (b->state != ENTRY_COMPLETE || b->m.source.kind != KIND_COLLECTION ||
            strcmp(b->m.source.collection, shard->m.source.collection) != 0 ||
            (*shard->m.node && strcmp(b->m.node, shard->m.node) != 0))
            continue;
        if (!newest || restore_taken(b) > restore_taken(newest))
            newest = b;
        if (restore_taken(b) <= restore_taken(shard) && (!older || restore_taken(b) > restore_taken(older)))
            older = b;
    }
    return older ? older : newest;
}

static void drill_one(struct run *r, const struct backup *b, struct drill_report *out)
{
    switch (b->m.source.kind) {
    case KIND_COLLECTION: drill_run(r->drill, b, out); break;
    case KIND_SHARD: drill_shard(r->drill, b, collection_of(r->others, b), out); break;
    case KIND_STORAGE: drill_storage(r->drill, b, r->others, out); break;
    }
}

static void prove(struct run *r, const struct backup *b, const char *passed_over)
{
    struct drill_report d;
    note_tree(r, b);
    r->bar = progress_new(b->m.content.stored_size);
    progress_name(r->bar, b->m.source.stem);
    drill_one(r, b, &d);
    progress_end(r->bar);
    r->bar = NULL;
    if (*passed_over) {
        size_t n = strlen(d.note);
        (void)snprintf(d.note + n, sizeof d.note - n, "%s%s", n ? "; " : "", passed_over);
    }
    r->n++;
    r->proven += d.verdict == DRILL_PROVEN || d.verdict == DRILL_PARTLY;
    r->refused += d.verdict == DRILL_REFUSED;
    if (*d.engine)
        (void)snprintf(r->engine, sizeof r->engine, "%s", d.engine);
    if (!*r->node)
        (void)snprintf(r->node, sizeof r->node, "%s", *b->m.node ? b->m.node : b->m.source.peer);
    report_json(r, b, &d);
    if (!r->o->json)
        report_text(b, &d);
}

static void sent(size_t n, void *run) { progress_bytes(n, ((struct run *)run)->bar); }

/* What there is of it cannot be proven. */
static void nothing(struct run *r, const struct restore_wish *w, const char *why)
{
    struct backup none = {.tier = TIER_15MIN, .m.source.kind = w->kind};
    const char *collection = w->collection;
    struct drill_report d = {.verdict = DRILL_FAILED, .found = {.points = -1}};
    (void)snprintf(none.m.source.collection, sizeof none.m.source.collection, "%s", collection);
    (void)snprintf(d.why, sizeof d.why, "%s", why);
    r->n++;
    report_json(r, &none, &d);
    if (!r->o->json)
        cmd_complain("%s: %s", shown(&none), why);
}

/* Nodes that live side by side are no reason to prove nothing: each backup is proven for itself, and the
 * newest one comes first. */
static const char *node_of_newest(const struct entries *list, const struct restore_wish *w)
{
    const struct backup *newest = NULL;
    for (size_t i = 0; i < list->n; i++) {
        const struct backup *b = &list->v[i];
        if (b->state == ENTRY_COMPLETE && b->m.source.kind == w->kind &&
            strcmp(b->m.source.collection, w->collection) == 0 && (!w->at || restore_taken(b) <= w->at) &&
            (!newest || restore_taken(b) > restore_taken(newest)))
            newest = b;
    }
    return !newest                  ? NULL
           : *newest->m.node        ? newest->m.node
           : *newest->m.source.peer ? newest->m.source.peer
                                    : NULL;
}

/* Those that are not whole are passed over: a manifest is no backup, and `ls` tells of it. */
static void prove_newest(struct run *r, const struct entries *list, const struct restore_wish *wish)
{
    struct err e = {0};
    struct restore_wish one = *wish, *w = &one;
    char passed[600] = "";
    cleanup_free size_t *order = calloc(list->n + 1, sizeof *order);
    if (!w->node)
        w->node = node_of_newest(list, w);
    size_t n = order ? restore_choose(list, w, order, &e) : 0;
    for (size_t i = 0; i < n; i++) {
        const struct backup *b = &list->v[order[i]];
        if (b->state == ENTRY_COMPLETE) {
            prove(r, b, passed);
            return;
        }
        if (!*passed)
            (void)snprintf(passed, sizeof passed, "the newer %s was passed over: it is %s", b->m.source.stem,
                           entry_state_text(b->state));
    }
    nothing(r, w, *e.text ? e.text : "there is no good backup to restore");
}

/* --- all */

static bool seen_before(const struct entries *list, size_t i, enum kind kind)
{
    for (size_t k = 0; k < i; k++)
        if (list->v[k].m.source.kind == kind &&
            strcmp(list->v[k].m.source.collection, list->v[i].m.source.collection) == 0)
            return true;
    return false;
}

/* One of each collection that has any of the wish's kind; the storage has one name, "". */
static void prove_each(struct run *r, const struct entries *list, struct restore_wish *w)
{
    for (size_t i = 0; i < list->n && !atomic_load(r->stop); i++) {
        w->collection = list->v[i].m.source.collection;
        if (list->v[i].m.source.kind == w->kind && !seen_before(list, i, w->kind))
            prove_newest(r, list, w);
    }
}

static void prove_named(struct run *r, const struct entries *list, struct restore_wish *w)
{
    for (size_t i = 0; i < r->o->n_collections && !atomic_load(r->stop); i++) {
        w->collection = r->o->collections[i];
        prove_newest(r, list, w);
    }
}

/* Without a choice all collections, and then the storage; of single shards only those that are asked for. */
static void prove_all(struct run *r, const struct entries *list)
{
    const struct options *o = r->o;
    const struct restore_options *by = &o->restore;
    bool any = !by->storage && !by->shard && !by->snapshot && o->n_collections == 0;
    struct restore_wish w = {.kind = by->storage                    ? KIND_STORAGE
                                     : by->shard                    ? KIND_SHARD
                                     : by->snapshot && list->n == 1 ? list->v[0].m.source.kind
                                                                    : KIND_COLLECTION,
                             .collection = "",
                             .shard = by->shard,
                             .node = by->node            ? by->node
                                     : *o->settings.node ? o->settings.node
                                                         : NULL,
                             .snapshot = by->snapshot,
                             .at = by->at,
                             .tier = o->tier};
    if (by->storage)
        prove_newest(r, list, &w);
    else if (o->n_collections > 0)
        prove_named(r, list, &w);
    else
        prove_each(r, list, &w);
    w.kind = KIND_STORAGE;
    if (any)
        prove_each(r, list, &w);
}

static bool finish_report(struct run *r, bool ok)
{
    char begun[32];
    const char *verdict = ok                                           ? "proven"
                          : r->n > 0 && r->proven + r->refused == r->n ? "refused"
                          : atomic_load(r->stop)                       ? "stopped"
                          : r->n == 0                                  ? "nothing"
                                                                       : "failed";
    manifest_time(r->begun, begun);
    return cmd_json_text(r->report, "time", begun) && cmd_json_text(r->report, "verdict", verdict) &&
           cmd_json_text(r->report, "node", r->node) && cmd_json_text(r->report, "engine", r->engine) &&
           cJSON_AddNumberToObject(r->report, "proven", (double)r->proven) &&
           cJSON_AddNumberToObject(r->report, "of", (double)r->n);
}

static bool keep(struct run *r)
{
    struct err e = {0};
    char *text = cJSON_Print(r->report);
    const char *base = *r->base ? r->base : r->o->settings.base;
    int rc = text ? drill_record_keep(base, *r->node ? r->node : "unknown", r->begun, text, &e) : -1;
    cJSON_free(text);
    if (rc != 0)
        cmd_complain("the report is not kept: %s", *e.text ? e.text : "no memory");
    return rc == 0;
}

static int report(struct run *r, bool clean)
{
    bool ok = clean && r->n > 0 && r->proven == r->n && !atomic_load(r->stop);
    if (!finish_report(r, ok))
        return cmd_complain("no memory"), EXIT_DEFECT;
    if (r->o->keep_report && !keep(r))
        ok = false;
    if (!r->o->json) {
        if (r->n > 0)
            (void)printf("%zu of %zu proven\n", r->proven, r->n);
        return ok && fflush(stdout) == 0 ? 0 : EXIT_DEFECT;
    }
    cJSON *whole = r->report;
    r->report = NULL;
    int rc = cmd_print_json(whole);
    return ok ? rc : EXIT_DEFECT;
}

/* Another drill, no folder: nothing was tried. */
static int cannot(struct run *r, const struct err *e)
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

static int drill(struct run *r, const struct entries *list)
{
    struct err e = {0};
    struct drill_options o = {.program = r->program,
                              .place = r->place,
                              .timeout_ms = (long)r->timeout_ms,
                              .watch = {sent, r},
                              .stop = r->stop};
    r->drill = drill_open(&o, &e);
    if (!r->drill)
        return cannot(r, &e);
    prove_all(r, list);
    bool clean = drill_close(r->drill, &e) == 0;
    if (!clean)
        cmd_complain("%s", e.text);
    return report(r, clean);
}

static int check_use(const struct options *o)
{
    const char *shard = o->restore.shard;
    bool number = shard && strspn(shard, "0123456789") == strlen(shard);
    if (shard && (o->restore.storage || !number || o->n_collections != 1))
        cmd_complain("--shard is a number, and needs one --collection; see qdrant-efs --help");
    else if (!shard && o->n_collections > 0)
        cmd_complain("--storage-snapshot is of all collections: no --collection; see qdrant-efs --help");
    else
        return 0;
    return EXIT_SETTING;
}

int cmd_drill(const struct options *o)
{
    cleanup_entries struct entries list = {0}, others = {0};
    static struct run r; /* the bar's callback has no more than a pointer to it */
    struct err e = {0};
    struct options all = *o;
    r = (struct run){.o = o, .begun = time(NULL)};
    if (read_settings(&r, &e) != 0) {
        cmd_complain("%s; see qdrant-efs --help", e.text);
        return EXIT_SETTING;
    }
    if ((o->restore.shard || o->restore.storage) && check_use(o) != 0)
        return EXIT_SETTING;
    if (*o->settings.node)
        (void)snprintf(r.node, sizeof r.node, "%s", o->settings.node);
    all.operand = o->restore.snapshot;
    r.stop = cmd_catch_signals(
        true); /* a second one ends us: the kernel then ends Qdrant, the next drill sweeps */
    if (cmd_gather(&all, &list) != 0 || (all.operand && cmd_gather(o, &others) != 0) ||
        curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return EXIT_DEFECT;
    r.others = all.operand ? &others : &list;
    r.report = cJSON_CreateObject();
    r.drills = cJSON_AddArrayToObject(r.report, "drills");
    int rc = r.drills ? drill(&r, &list) : EXIT_DEFECT;
    r.others = NULL; /* they end here */
    cJSON_Delete(r.report);
    curl_global_cleanup();
    return rc;
}
