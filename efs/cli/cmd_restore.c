/* restore: choose, prove, and hand to Qdrant or to a file. */
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/files.h"
#include "common/base/string_list.h"
#include "efs/cli/cmd_why_none.h"
#include "efs/cli/cmd_restore.h"
#include "qdrant/config_files.h"
#include <cjson/cJSON.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static int wrong(const char *what)
{
    cmd_complain("%s; see qdrant-efs restore --help", what);
    return EXIT_SETTING;
}

static int check_location(const struct options *o)
{
    const struct restore_options *r = &o->restore;
    if (!strstr(r->location, "://"))
        return wrong(
            "--location must be s3://BUCKET/KEY, https://… or file:///PATH (a path on Qdrant's own machine)");
    if (r->from_s3)
        return wrong("--from-s3 chooses, --location names one object: not both");
    if (r->snapshot || r->at || r->node || r->shard || r->storage)
        return wrong("--location takes no choice of a backup");
    if (!from_s3(o) && (r->to || r->to_stdout))
        return wrong("--location restores into Qdrant alone, unless it is s3://BUCKET/KEY");
    if (o->n_collections > 1 || (o->n_collections == 0 && !from_s3(o)))
        return wrong("--location needs one --collection");
    if (r->checksum && (strlen(r->checksum) != 64 || strspn(r->checksum, "0123456789abcdefABCDEF") != 64))
        return wrong("--checksum is a SHA-256: 64 hexadecimal digits");
    return 0;
}

/* Into a collection that is there. */
static int check_ways(const struct options *o)
{
    const struct restore_options *r = &o->restore;
    bool file = r->to || r->to_stdout, url = r->location && !from_s3(o);
    if (r->recreate && r->swap)
        return wrong("--recreate or --swap, not both");
    if ((r->recreate || r->swap) && (file || r->shard || r->storage || url))
        return wrong("--recreate and --swap are for collections whose backup is restored into Qdrant");
    if (r->as_storage && (!r->to || r->shard || r->storage))
        return wrong("--as-storage is for --to, and the backup of a collection");
    return 0;
}

/* As Qdrant (1.18.2) has it: a longer name would be refused after all was read and proven. */
static int check_name(const char *name)
{
    static const char never[] = "<>:\"/\\|?*\x1f";
    size_t n = strlen(name);
    if (n <= 255 && !strpbrk(name, never))
        return 0;
    cmd_complain(
        "--rename %.100s%s is no name that Qdrant allows: at most 255 bytes, without < > : \" / \\ | ? *; "
        "see qdrant-efs restore --help",
        name, n > 100 ? "…" : "");
    return EXIT_SETTING;
}

static int check_use(const struct options *o)
{
    const struct restore_options *r = &o->restore;
    if (r->location && check_location(o) != 0)
        return EXIT_SETTING;
    if (restores_points(o) && restore_points_check(o) != 0)
        return EXIT_SETTING;
    if (check_ways(o) != 0 || (o->set && restore_sets_check(o) != 0))
        return EXIT_SETTING;
    if (r->checksum && !r->location)
        return wrong("--checksum is for --location");
    if (r->n_peers > 0 && (!o->set || r->to || r->to_stdout))
        return wrong("--peer-url is for --set, into Qdrant");
    if (r->to && r->to_stdout)
        return wrong("--to or --stdout, not both");
    if (r->rename && (r->to || r->to_stdout))
        return wrong("--rename is for a restore into Qdrant");
    if (r->rename && o->n_collections > 1)
        return wrong("--rename is for one collection");
    if (r->rename && check_name(r->rename) != 0)
        return EXIT_SETTING;
    if (r->to_stdout && (o->json || o->dry_run))
        return wrong("--stdout writes the snapshot alone: no --json, no --dry-run");
    if (r->to_stdout && isatty(STDOUT_FILENO))
        return wrong("--stdout is for a pipe or a file, not for a terminal");
    if (r->storage && (r->shard || r->rename || o->n_collections > 0))
        return wrong("--storage-snapshot is of all collections: no --collection, --shard or --rename");
    return r->shard ? cmd_check_shard(o) : 0;
}

/* --- one attempt */

static bool makes_file(const struct options *o) { return o->restore.to || o->restore.to_stdout; }

/* A folder gets a file in it; a name of Qdrant's may be hidden, that of EFS is not. */
static int file_of(struct job *j, const struct backup *b, struct err *e)
{
    struct stat st;
    char name[NAME_STORED + 16];
    if (stat(j->o->restore.to, &st) == 0 && S_ISDIR(st.st_mode)) {
        (void)snprintf(name, sizeof name, "%s.snapshot", b->stem);
        return files_join(j->file, sizeof j->file, j->o->restore.to, name, e);
    }
    return (size_t)snprintf(j->file, sizeof j->file, "%s", j->o->restore.to) < sizeof j->file
               ? 0
               : err_set(e, ENAMETOOLONG, "cannot write", j->o->restore.to, NULL);
}

static const struct restore_origin *origin_of(const struct job *j)
{
    return j->origin ? j->origin : j->s3 ? restore_s3_origin(j->s3) : NULL;
}

static struct restore_reading reading(const struct job *j, const struct copy_watch *watch)
{
    return (struct restore_reading){.origin = origin_of(j), .watch = *watch, .stop = j->stop};
}

static enum restore_outcome to_stdout(struct job *j, struct backup *b, const struct copy_watch *watch,
                                      struct err *e)
{
    struct restore_reading how = reading(j, watch);
    enum restore_outcome outcome = restore_to_fd(b, STDOUT_FILENO, "standard output", &how, e);
    /* Too late for another one. */
    return outcome == RESTORE_DEFECT ? RESTORE_FAILED : outcome;
}

static enum restore_outcome to_file(struct job *j, struct backup *b, const struct copy_watch *watch,
                                    struct err *e)
{
    struct restore_reading how = reading(j, watch);
    if (file_of(j, b, e) != 0)
        return RESTORE_FAILED;
    if (!j->o->dry_run)
        return (j->o->restore.as_storage ? restore_to_storage
                                         : restore_to_file)(b, j->file, j->o->restore.force, &how, e);
    if (restore_file_free(j->file, j->o->restore.force, e) != RESTORE_DONE)
        return RESTORE_REFUSED;
    return restore_prove(b, &how, e);
}

static struct restore into(const struct job *j, const struct copy_watch *watch)
{
    return (struct restore){.qdrant = j->qdrant,
                            .target = j->target,
                            .force = j->o->restore.force,
                            .recreate = j->o->restore.recreate,
                            .aliases = !j->o->restore.rename && !j->renamed,
                            .green_ms = (long)j->o->restore.wait * 1000,
                            .watch = watch ? *watch : (struct copy_watch){0},
                            .stop = j->stop,
                            .origin = origin_of(j),
                            .spread = j->spread};
}

/* An address that nobody answers at is mostly a wrong one, or a Qdrant that is not started yet. */
static enum restore_outcome say_where(const struct job *j, enum restore_outcome outcome, struct err *e)
{
    size_t n = strlen(e->text);
    if (outcome == RESTORE_FAILED && e->code == ECONNREFUSED && !j->s3)
        (void)snprintf(e->text + n, sizeof e->text - n,
                       "; does Qdrant run there? Its address is that of --url or QDRANT_URL");
    return outcome;
}

static enum restore_outcome to_qdrant(struct job *j, struct backup *b, const struct copy_watch *watch,
                                      struct err *e)
{
    struct restore r = into(j, watch);
    *j->into = 0;
    if (j->o->dry_run) { /* proven, too: only then it is known which one would be taken */
        r.recreate = r.recreate || j->o->restore.swap;
        r.whole = j->o->restore.swap;
        return say_where(j, restore_rehearse(&r, b, &j->report, e), e);
    }
    return say_where(j,
                     j->o->restore.swap ? restore_swap(&r, b, j->into, &j->report, e)
                                        : restore_run(&r, b, &j->report, e),
                     e);
}

static void note(struct restore_report *report, const char *text)
{
    size_t n = strlen(report->note);
    (void)snprintf(report->note + n, sizeof report->note - n, "%s%s", n ? "; " : "", text);
}

/* A name in the future, and what else is to be known of the one that was taken. */
static void note_backup(struct job *j, const struct backup *b)
{
    char text[200];
    restore_clock_note(b, j->wish.now, text, sizeof text);
    if (*text)
        note(&j->report, text);
    if (j->unproven)
        note(&j->report, "the object does not say its SHA-256: nothing proves that it is what Qdrant made");
}

static void add_shard(char *list, size_t size, unsigned id)
{
    size_t n = strlen(list);
    (void)snprintf(list + n, size - n, "%s%u", n ? ", " : "", id);
}

/* One node's backup of a collection that has shards elsewhere is a part that looks like all. NODE_NAME, which
 * each node of a cluster has, does not say that this is what is meant: only who asks can. */
static enum restore_outcome check_whole(const struct job *j, const struct backup *b, struct err *e)
{
    const struct restore_options *r = &j->o->restore;
    cleanup_shards struct shards all = {0};
    char here[200] = "", elsewhere[200] = "", what[900];
    if (j->s3 || !b->m.clustered || r->node || r->snapshot || r->shard)
        return RESTORE_DONE;
    if (backup_shards(b, &all, e) != 0)
        return RESTORE_FAILED;
    for (size_t i = 0; i < all.n; i++)
        add_shard(all.v[i].local ? here : elsewhere, sizeof here, all.v[i].id);
    if (!*elsewhere)
        return RESTORE_DONE;
    (void)snprintf(what, sizeof what,
                   "the backup of %.128s has shard %s of %.250s, and not %s, which other nodes have",
                   b->m.node, *here ? here : "none", b->m.source.collection, elsewhere);
    (void)err_set(e, 0, what, NULL,
                  restores_points(j->o)
                      ? "name a node with --node, one after the other; `qdrant-efs ls --sets` has them"
                      : "--set restores all of them; --node NAME restores that node's part");
    return RESTORE_REFUSED;
}

enum restore_outcome restore_attempt_one(struct backup *b, void *arg, struct err *e)
{
    struct job *j = arg;
    struct progress *bar = NULL;
    enum restore_outcome outcome = j->s3 ? s3_look(j, b, &bar, e) : RESTORE_DONE;
    if (!bar && outcome == RESTORE_DONE) {
        bar = progress_new(backup_work(&b->m));
        progress_name(bar, b->m.source.stem);
    }
    struct copy_watch watch = {progress_bytes, bar};
    if (!j->s3 && restore_inherit_aliases(j->list, b, j->wish.now, &restore_look_files, e) != 0)
        outcome = RESTORE_FAILED;
    leaving_aliases(j->leaving, j->number, b);
    if (outcome == RESTORE_DONE)
        outcome = check_whole(j, b, e);
    if (outcome == RESTORE_DONE)
        outcome = restores_points(j->o)     ? restore_points(j, b, &watch, e)
                  : j->o->restore.to_stdout ? to_stdout(j, b, &watch, e)
                  : j->o->restore.to        ? to_file(j, b, &watch, e)
                                            : to_qdrant(j, b, &watch, e);
    progress_end(bar);
    if (outcome == RESTORE_DONE)
        note_backup(j, b);
    return outcome;
}

/* --- one collection */

/* Why there is none of `collection`; NULL: of any. */
static void explain(struct job *j, const char *collection, struct err *e)
{
    const struct restore_selector *wish = &j->wish;
    struct options o = *j->o;
    struct filters w = filters_of(wish, &o, &collection);
    w.any_kind = wish->snapshot && !o.restore.storage && !wish->shard;
    w.in_s3 = j->s3;
    if (!(j->s3 ? s3_why_none(j, &w, e) : why_none_on_efs(&w, e)))
        (void)err_set(e, 0, "no backup that fits below", j->place,
                      j->s3 ? NULL : "`qdrant-efs ls` lists them");
}

static bool none(struct job *j, const struct err *why)
{
    struct err e = {0};
    if (why->text[0])
        e = *why;
    else
        explain(j, j->wish.collection, &e);
    return say_end(j, NULL, RESTORE_FAILED, &e, 0);
}

static bool restore_one(struct job *j)
{
    struct err e = {0};
    int64_t begin = clock_ms();
    struct backup *which = NULL;
    struct restore_attempt a = {.with = restore_attempt_one,
                                .skipped = say_skipped,
                                .arg = j,
                                .strict = j->o->restore.strict || j->o->restore.location};
    j->target = j->o->restore.rename ? j->o->restore.rename : j->wish.collection;
    j->file[0] = 0;
    say_begin(j);
    cleanup_choice struct restore_choice *c = restore_choice_new(j->list, &j->wish, &restore_look_files, &e);
    if (!c || restore_choice_add(c, 0, j->list->n, &e) != 0 || restore_choice_peek(c, &which, &e) != 0 ||
        !which)
        return none(j, &e);
    enum restore_outcome outcome = restore_first_good(c, &a, &which, &e);
    return say_end(j, which, outcome, &e, (double)(clock_ms() - begin) / 1000);
}

/* From `gathered`, or where that is NULL from what there is on EFS of that collection alone. */
static bool restore_name(struct job *j, const char *name, struct backup_list *gathered)
{
    cleanup_backup_list struct backup_list own = {0};
    struct err e = {0};
    j->wish.collection = name;
    j->list = gathered ? gathered : &own;
    bool storage = j->wish.kind == KIND_STORAGE;
    if (!gathered && cmd_gather_names_of(j->o, storage ? "%storage" : name, &own, &e) != 0)
        return cmd_complain("%s", e.text), false;
    return restore_one(j);
}

/* Names of the collections that have something of that kind; each once. -1 without memory. */
static int collections_of(const struct backup_list *list, enum kind kind, char ***names, size_t *n)
{
    for (size_t i = 0; i < list->n; i++) {
        const char *name = list->v[i].m.source.collection;
        size_t k = 0;
        while (k < *n && strcmp((*names)[k], name) != 0)
            k++;
        if (k == *n && list->v[i].m.source.kind == kind && !string_list_add(names, n, name))
            return -1;
    }
    return 0;
}

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int check_several(const struct options *o)
{
    if (o->restore.rename)
        return wrong("--rename is for one collection, and there are several: give --collection");
    if (o->restore.to_stdout)
        return wrong("--stdout is for one collection, and there are several: give --collection");
    if (o->restore.to && !is_folder(o->restore.to))
        return wrong("--to must be a folder that is there, for several collections");
    return 0;
}

/* False: one failed, or all of them are left out. */
static bool restore_each(struct job *j, struct backup_list *gathered, const char *const *names, size_t n)
{
    bool good = true;
    size_t left = 0;
    char why[700];
    for (size_t i = 0; i < n && !atomic_load(j->stop); i++) {
        j->wish.collection = names[i];
        j->number = i;
        if (leaving_is(j->leaving, i, why, sizeof why))
            say_left_out(j, why), left++;
        else
            good = restore_name(j, names[i], gathered) && good;
    }
    if (left > 0 && left == n)
        cmd_complain("nothing was restored: all collections are left out; --collection NAME restores one");
    return good && (left == 0 || left < n);
}

/* Nobody has named a collection: what there is. */
struct everything {
    char **names;
    size_t n;
    struct leaving *leaving;
};

static void everything_free(struct everything *all)
{
    leaving_free(all->leaving);
    backup_folders_free(all->names, all->n);
}

static int find_everything(struct job *j, struct backup_list *gathered, struct everything *all, struct err *e)
{
    cleanup_backup_list struct backup_list storage = {0};
    if (!gathered && j->wish.kind == KIND_COLLECTION) {
        if (cmd_collection_names(j->o, &all->names, &all->n, e) != 0)
            return -1;
        all->leaving = leaving_new(j, all->names, &all->n, j->qdrant != NULL, e);
        return all->leaving ? 0 : -1;
    }
    if (!gathered && cmd_gather_names_of(j->o, "%storage", &storage, e) != 0)
        return -1;
    return collections_of(gathered ? gathered : &storage, j->wish.kind, &all->names, &all->n) == 0
               ? 0
               : err_set(e, ENOMEM, "cannot choose among", "backups", NULL);
}

static int restore_all(struct job *j, struct backup_list *gathered, const char *const *names, size_t n)
{
    const struct options *o = j->o;
    int rc = 0;
    if (n > 1 && (rc = check_several(o)) != 0)
        return rc;
    if (n == 1 && o->restore.rename && strcmp(o->restore.rename, names[0]) == 0)
        return wrong(
            "--rename gives the name that the collection has already; leave it out, or give another");
    if (n == 0) {
        struct err e = {0};
        explain(j, NULL, &e);
        cmd_complain("%s", e.text);
        rc = EXIT_DEFECT;
    }
    leaving_tell(j->leaving);
    rc = restore_each(j, gathered, names, n) ? rc : EXIT_DEFECT;
    return atomic_load(j->stop) ? EXIT_DEFECT : rc;
}

/* What --collection names, also when there is nothing of it, else all. `gathered` NULL: each is listed when
 * it is its turn. */
static int restore_wanted(struct job *j, struct backup_list *gathered)
{
    struct everything all = {0};
    struct err e = {0};
    const struct options *o = j->o;
    if (o->n_collections > 0)
        return restore_all(j, gathered, o->collections, o->n_collections);
    int rc = EXIT_DEFECT;
    if (find_everything(j, gathered, &all, &e) != 0) {
        cmd_complain("%s", e.text);
    } else {
        j->leaving = all.leaving;
        rc = restore_all(j, gathered, (const char *const *)all.names, all.n);
        j->leaving = NULL;
    }
    everything_free(&all);
    return rc;
}

/* --- all of it */

static enum kind kind_of(const struct options *o, const struct backup_list *list)
{
    if (o->restore.storage || o->restore.shard)
        return o->restore.storage ? KIND_STORAGE : KIND_SHARD;
    return (o->restore.snapshot || o->restore.location) && list->n > 0 ? list->v[0].m.source.kind
                                                                       : KIND_COLLECTION;
}

/* On EFS; *node is whose is meant. Only a name may be in any folder. An exit code. */
static int gather(struct job *j, struct backup_list *list, const char **node)
{
    struct options o = *j->o;
    struct err e = {0};
    o.operand = o.restore.snapshot;
    *node = o.restore.node ? o.restore.node : o.settings.node[0] ? j->o->settings.node : NULL;
    (void)snprintf(j->place, sizeof j->place, "%s", o.root);
    if (!o.operand || cmd_gather_names(&o, list, &e) == 0)
        return 0; /* restore_wanted says that there are none */
    return cmd_complain("%s", e.text), EXIT_DEFECT;
}

static int choose_and_restore(struct job *j)
{
    cleanup_backup_list struct backup_list list = {0};
    const struct restore_options *r = &j->o->restore;
    const char *node = NULL;
    int rc = j->s3 ? s3_gather(j, &list, &node) : gather(j, &list, &node);
    if (rc != 0)
        return rc;
    j->wish = (struct restore_selector){.kind = kind_of(j->o, &list),
                                        .collection = "",
                                        .shard = r->shard,
                                        .node = node,
                                        .snapshot = r->snapshot,
                                        .at = r->at,
                                        .now = time(NULL),
                                        .frequency = r->location ? -1 : j->o->frequency};
    if (j->wish.kind == KIND_STORAGE && !makes_file(j->o))
        return wrong(
            "a snapshot of the whole storage can be restored at Qdrant's start alone: write it with --to");
    return restore_wanted(j, j->s3 || r->snapshot ? &list : NULL);
}

static int from_location(struct job *j)
{
    struct err e = {0};
    struct restore r;
    int64_t begin = clock_ms();
    j->wish = (struct restore_selector){
        .kind = KIND_COLLECTION, .collection = j->o->collections[0], .now = time(NULL)};
    j->target = j->o->restore.rename ? j->o->restore.rename : j->wish.collection;
    say_begin(j);
    r = into(j, NULL);
    enum restore_outcome outcome =
        j->o->dry_run ? restore_look(&r, NULL, &j->report, &e)
                      : restore_from(&r, j->o->restore.location, j->o->restore.checksum, &j->report, &e);
    return say_end(j, NULL, outcome, &e, (double)(clock_ms() - begin) / 1000) ? 0 : EXIT_DEFECT;
}

static int run(struct job *j)
{
    int rc = j->o->set                          ? restore_sets(j)
             : j->o->restore.location && !j->s3 ? from_location(j)
                                                : choose_and_restore(j);
    if (!j->array)
        return rc;
    if (rc == EXIT_SETTING)
        return cJSON_Delete(j->array), rc;
    int printed = cmd_print_json(j->array);
    return rc ? rc : printed;
}

static int with_qdrant(struct job *j)
{
    struct err e = {0};
    if (config_files_apply(&e) != 0 || qdrant_settings_read(&j->settings, &e) != 0 ||
        qdrant_ca_check(&j->settings, &e) != 0)
        return wrong(e.text);
    if (qdrant_key_in_clear(&j->settings))
        cmd_complain("warning: %s is another machine, and is sent Qdrant's key as it is: whoever listens on "
                     "the way has it; use https",
                     j->settings.url);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return cmd_complain("cannot start libcurl"), EXIT_DEFECT;
    struct key *key = key_new(&j->settings, j->stop);
    j->key = key;
    j->qdrant = key ? qdrant_new(&j->settings, key, j->stop) : NULL;
    int rc = EXIT_DEFECT;
    if (j->qdrant)
        rc = run(j);
    else
        cmd_complain("no memory");
    restore_nodes_free(j);
    qdrant_free(j->qdrant);
    key_free(key);
    explicit_bzero(&j->settings, sizeof j->settings);
    curl_global_cleanup();
    return rc;
}

int cmd_restore(const struct options *o)
{
    struct job j = {.o = o};
    int rc = check_use(o);
    if (rc != 0)
        return rc;
    j.stop = cmd_catch_signals(false, NULL); /* a half upload goes with its connection */
    if (from_s3(o) && (rc = s3_open(&j)) != 0)
        return rc;
    j.array = o->json ? cJSON_CreateArray() : NULL;
    rc = makes_file(o) ? run(&j) : with_qdrant(&j);
    restore_s3_free(j.s3);
    if (j.s3)
        curl_global_cleanup(); /* of s3_open */
    return rc;
}
