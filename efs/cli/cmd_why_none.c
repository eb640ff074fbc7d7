/* Why no backup is left: which of the filters rules all of them out, and what there is in its place. A name
 * that is nowhere is a typo, and no empty success. */
#include "common/base/utc.h"
#include "common/base/cleanup.h"
#include "common/base/files.h"
#include "efs/cli/cmd_why_none.h"
#include "efs/repo/readers.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { NAMED = 8, TEXT = 700 };

/* ---- a list of names for a person */

struct names {
    char text[TEXT], v[NAMED][NAME_MAX + 1]; /* each once */
    size_t n;
    bool more;
};

static void names_add(struct names *names, const char *name)
{
    for (size_t i = 0; i < names->n; i++)
        if (strcmp(names->v[i], name) == 0)
            return;
    names->more = names->n == NAMED;
    if (names->more)
        return;
    size_t at = strlen(names->text);
    (void)snprintf(names->v[names->n++], sizeof names->v[0], "%s", name);
    (void)snprintf(names->text + at, sizeof names->text - at, "%s%.80s", at ? ", " : "", name);
}

static const char *names_end(struct names *names)
{
    size_t at = strlen(names->text);
    if (names->more)
        (void)snprintf(names->text + at, sizeof names->text - at, " and more");
    return names->text;
}

/* ---- the filters, in the order in which they are applied */

enum wish { COLLECTION, KIND, SHARD, NODE, FREQUENCY, NEWER, OLDER, SNAPSHOT, AT, WISHES };

static const char *node_of(const struct backup *b) { return *b->m.node ? b->m.node : b->m.source.peer; }

static bool is_set(const struct filters *w, enum wish wish)
{
    const struct options *o = w->o;
    switch (wish) {
    case COLLECTION: return o->n_collections > 0;
    case KIND: return !w->any_kind;
    case SHARD: return w->shard;
    case NODE: return w->node && *w->node;
    case FREQUENCY: return o->frequency >= 0;
    case NEWER: return o->newer;
    case OLDER: return o->older;
    case SNAPSHOT: return w->snapshot;
    default: return w->at;
    }
}

static bool fits(const struct filters *w, enum wish wish, const struct backup *b)
{
    const struct options *o = w->o;
    const struct source *s = &b->m.source;
    if (!is_set(w, wish))
        return true;
    switch (wish) {
    case COLLECTION: return cmd_collection_wanted(o, s->collection);
    case KIND: return s->kind == w->kind;
    case SHARD: return w->shard && strcmp(s->shard, w->shard) == 0;
    case NODE: return strcmp(b->m.node, w->node) == 0 || strcmp(s->peer, w->node) == 0;
    case FREQUENCY: return b->frequency == (enum frequency)o->frequency;
    case NEWER: return b->m.slot >= o->newer;
    case OLDER: return b->m.slot <= o->older;
    case SNAPSHOT: return cmd_is_named(b, w->snapshot);
    default: return restore_moment(b, w->now) && restore_moment(b, w->now) <= w->at;
    }
}

static bool fits_before(const struct filters *w, enum wish end, const struct backup *b)
{
    for (enum wish i = 0; i < end; i++)
        if (!fits(w, i, b))
            return false;
    return true;
}

/* The first filter that leaves nothing of what those before it let through; WISHES: none does. */
static enum wish ruling(const struct filters *w, const struct backup_list *list)
{
    for (enum wish i = 0; i < WISHES; i++) {
        bool any = false;
        for (size_t k = 0; k < list->n && !any; k++)
            any = fits_before(w, i + 1, &list->v[k]);
        if (!any)
            return i;
    }
    return WISHES;
}

static const char *kind_phrase(enum kind kind)
{
    return kind == KIND_STORAGE ? " of the whole storage" : kind == KIND_SHARD ? " of a single shard" : "";
}

static void phrase(const struct filters *w, enum wish wish, char out[TEXT])
{
    char when[32];
    struct names names = {.text = ""};
    *out = 0;
    switch (wish) {
    case COLLECTION:
        for (size_t i = 0; i < w->o->n_collections; i++)
            names_add(&names, w->o->collections[i]);
        (void)snprintf(out, TEXT, " of %.600s", names_end(&names));
        break;
    case KIND: (void)snprintf(out, TEXT, "%s", kind_phrase(w->kind)); break;
    case SHARD: (void)snprintf(out, TEXT, " with number %.20s", w->shard); break;
    case NODE:
        (void)snprintf(out, TEXT, " by node %.128s%s", w->node, w->is_ours ? " (NODE_NAME)" : "");
        break;
    case FREQUENCY:
        (void)snprintf(out, TEXT, " of frequency %s", frequency_text((enum frequency)w->o->frequency));
        break;
    case NEWER:
        utc_text(w->o->newer, when);
        (void)snprintf(out, TEXT, " of a slot from %s on (--newer)", when);
        break;
    case OLDER:
        utc_text(w->o->older, when);
        (void)snprintf(out, TEXT, " of a slot until %s (--older)", when);
        break;
    case SNAPSHOT: (void)snprintf(out, TEXT, " named %.255s", w->snapshot); break;
    default: utc_text(w->at, when); (void)snprintf(out, TEXT, " of %s or before (--at)", when);
    }
}

/* ---- what there is */

static void value(enum wish wish, const struct backup *b, const char **out)
{
    *out = wish == COLLECTION ? b->m.source.collection
           : wish == KIND     ? kind_text(b->m.source.kind)
           : wish == SHARD    ? b->m.source.shard
           : wish == NODE     ? node_of(b)
                              : frequency_text(b->frequency);
}

static void ends(const struct filters *w, const struct backup_list *list, enum wish wish, char out[TEXT])
{
    const struct backup *newest = NULL, *oldest = NULL;
    char from[32], to[32];
    for (size_t i = 0; i < list->n; i++) {
        const struct backup *b = &list->v[i];
        if (!fits_before(w, wish, b))
            continue;
        if (!newest || restore_moment(b, w->now) > restore_moment(newest, w->now))
            newest = b;
        if (!oldest || restore_moment(b, w->now) < restore_moment(oldest, w->now))
            oldest = b;
    }
    if (!newest)
        return;
    utc_text(restore_moment(newest, w->now), to);
    utc_text(restore_moment(oldest, w->now), from);
    if (newest == oldest)
        (void)snprintf(out, TEXT, "the only one is %.255s of %s", newest->m.source.stem, to);
    else
        (void)snprintf(out, TEXT, "the newest is %.255s of %s, the oldest %.255s of %s%s",
                       newest->m.source.stem, to, oldest->m.source.stem, from,
                       w->in_s3 ? "" : "; `qdrant-efs ls` lists them");
}

/* In the words of the filter that rules all out: those that its place could have. */
static void there_is(const struct filters *w, const struct backup_list *list, enum wish wish, char out[TEXT])
{
    static const char *const what[] = {"collections", "kinds", "shards", "nodes", "frequencies"};
    struct names names = {.text = ""};
    *out = 0;
    if (wish > FREQUENCY) {
        ends(w, list, wish, out);
        return;
    }
    for (size_t i = 0; i < list->n; i++) {
        const char *one = "";
        if (!fits_before(w, wish, &list->v[i]))
            continue;
        value(wish, &list->v[i], &one);
        if (*one)
            names_add(&names, one);
    }
    if (names.n > 0)
        (void)snprintf(out, TEXT, "%s that have some: %.600s", what[wish], names_end(&names));
}

/* Whoever gives a collection where a snapshot is meant. */
static bool is_collection(const struct filters *w, const struct backup_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        if (*list->v[i].m.source.collection && strcmp(list->v[i].m.source.collection, w->snapshot) == 0)
            return true;
    return false;
}

bool why_none(const struct filters *w, const struct backup_list *list, const char *place, struct err *e)
{
    char what[2 * TEXT] = "no backup", one[TEXT], there[TEXT];
    enum wish wish = ruling(w, list);
    if (wish == WISHES)
        return false;
    for (enum wish i = 0; list->n > 0 && i <= wish; i++) {
        size_t n = strlen(what);
        if (is_set(w, i))
            phrase(w, i, one);
        if (is_set(w, i))
            (void)snprintf(what + n, sizeof what - n, "%s", one);
    }
    size_t n = strlen(what);
    if (w->is_named && wish < SNAPSHOT)
        phrase(w, SNAPSHOT, one);
    (void)snprintf(what + n, sizeof what - n, "%s below", w->is_named && wish < SNAPSHOT ? one : "");
    if (wish == SNAPSHOT && !w->in_s3 && is_collection(w, list))
        (void)snprintf(there, sizeof there,
                       "that is a collection: `qdrant-efs ls --collection %.255s` lists its backups",
                       w->snapshot);
    else
        there_is(w, list, wish, there);
    (void)err_set(e, 0, what, place, *there ? there : NULL);
    return true;
}

/* ---- names that are nowhere */

static size_t n_unknown; /* until the program ends */
size_t cmd_unknown(void) { return n_unknown; }

static bool is_tree(const char *root, const char *name)
{
    char path[PATH_MAX];
    struct stat st;
    return name[0] != '.' && strchr(name, '-') && files_join(path, sizeof path, root, name, NULL) == 0 &&
           stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool why_no_tree(const struct options *o, struct err *e)
{
    const char *wanted = strrchr(o->settings.base, '/') + 1;
    struct names names = {.text = ""};
    char what[300], advice[TEXT + 40];
    cleanup_dir DIR *d = settings_name_tree() ? opendir(o->root) : NULL;
    if (!d)
        return false;
    for (struct dirent *de; (de = readdir(d));)
        if (is_tree(o->root, de->d_name))
            names_add(&names, de->d_name);
    /* Of an EFS that is new all is nowhere. Looked at last: the first backup of all may arrive meanwhile. */
    if (names.n == 0 || is_tree(o->root, wanted))
        return false;
    (void)snprintf(what, sizeof what, "no tree %.160s (TIER, CPU_ARCH) below", wanted);
    (void)snprintf(advice, sizeof advice, "there %s %s", names.n == 1 ? "is" : "are", names_end(&names));
    (void)err_set(e, 0, what, o->root, advice);
    return true;
}

struct present {
    const struct options *o;
    bool *found; /* of each of its collections */
    struct names names;
};

static int note_folder(const struct options *all, const char *base, const char *folder, void *arg,
                       struct err *e)
{
    struct present *p = arg;
    char first[NAME_MAX + 1], name[NAME_MAX + 1];
    (void)all;
    (void)base;
    (void)e;
    (void)snprintf(first, sizeof first, "%.*s", (int)strcspn(folder, "/"), folder);
    if (name_is_storage(folder))
        return 0;
    if (!name_unescape(first, name, sizeof name))
        (void)snprintf(name, sizeof name, "%s", first);
    names_add(&p->names, name);
    for (size_t i = 0; i < p->o->n_collections; i++)
        p->found[i] = p->found[i] || strcmp(p->o->collections[i], name) == 0;
    return 0;
}

static int look_for_folders(const struct options *o, const char *base, void *arg, struct err *e)
{
    struct present *p = arg;
    (void)e;
    for (size_t i = 0; i < o->n_collections; i++)
        p->found[i] = p->found[i] || cmd_has_collection(base, o->collections[i]);
    return 0;
}

static bool all_found(const struct present *p)
{
    for (size_t i = 0; i < p->o->n_collections; i++)
        if (!p->found[i])
            return false;
    return true;
}

static void tell_collections(const struct options *o)
{
    cleanup_free bool *found = calloc(o->n_collections + 1, sizeof *found);
    struct present p = {.o = o, .found = found};
    struct options all = *o;
    struct err e = {0};
    all.n_collections = 0;
    /* The command will say what cannot be listed. */
    if (!found || cmd_each_tree(o, look_for_folders, &p, &e) != 0 || all_found(&p) ||
        cmd_each_folder(&all, note_folder, &p, &e) != 0)
        return;
    for (size_t i = 0; i < o->n_collections; i++) {
        if (found[i])
            continue;
        n_unknown++;
        cmd_complain("no backup of %.255s below %s%s%s", o->collections[i], o->root,
                     p.names.n ? "; collections that have some: " : "", names_end(&p.names));
    }
}

void cmd_tell_unknown(const struct options *o, bool collections)
{
    struct err e = {0};
    if (why_no_tree(o, &e)) {
        n_unknown++;
        cmd_complain("%s", e.text);
    } else if (collections)
        tell_collections(o);
}

/* ---- for lists */

void cmd_tell_none(const struct options *o)
{
    struct filters w = {
        .o = o, .any_kind = true, .snapshot = o->operand, .at = o->restore.at, .now = time(NULL)};
    if (n_unknown == 0)
        tell_why_none(&w);
}

int cmd_gather(const struct options *o, struct backup_list *list)
{
    if (cmd_gather_quietly(o, list) != 0)
        return -1;
    if (list->n == 0)
        cmd_tell_none(o);
    return 0;
}

struct filters filters_of(const struct restore_selector *wish, struct options *o, const char **collection)
{
    if (*collection && wish->kind != KIND_STORAGE) {
        o->collections = collection;
        o->n_collections = 1;
    }
    return (struct filters){.o = o,
                            .kind = wish->kind,
                            .shard = wish->shard,
                            .node = wish->node,
                            .is_ours = !o->restore.node,
                            .snapshot = wish->snapshot,
                            .at = wish->at,
                            .now = wish->now};
}

/* Whose they are, and which shard, only manifests tell. */
static int gather_for(const struct filters *w, const struct options *o, struct backup_list *list)
{
    struct err e = {0};
    if (cmd_gather_names(o, list, &e) == 0 &&
        ((!is_set(w, NODE) && !is_set(w, SHARD)) || readers_read(list, &e) == 0))
        return 0;
    cmd_complain("%s", e.text);
    return -1;
}

/* Where the collections have something, no other folder is looked at. */
bool why_none_on_efs(const struct filters *w, struct err *e)
{
    cleanup_backup_list struct backup_list all = {0};
    struct options every = *w->o;
    if (why_no_tree(w->o, e))
        return true;
    every.frequency = -1;
    every.newer = every.older = 0;
    every.operand = NULL;
    if (gather_for(w, &every, &all) != 0)
        return false;
    if (all.n == 0 && every.n_collections > 0) {
        struct filters by_name = *w;
        by_name.node = by_name.shard = NULL;
        every.n_collections = 0;
        if (gather_for(&by_name, &every, &all) != 0)
            return false;
    }
    return why_none(w, &all, w->o->root, e);
}

void tell_why_none(const struct filters *w)
{
    struct err e = {0};
    if (why_none_on_efs(w, &e))
        cmd_complain("%s", e.text);
    else
        cmd_complain("no backup that fits below %s; `qdrant-efs ls` lists them", w->o->root);
}

void cmd_filter_node(const struct options *o, struct backup_list *list)
{
    struct filters w = {.o = o, .any_kind = true, .node = o->restore.node};
    size_t kept = 0;
    if (!w.node)
        return;
    for (size_t i = 0; i < list->n; i++) {
        struct backup *b = &list->v[i];
        if (fits(&w, NODE, b))
            list->v[kept++] = *b;
        else
            free(b->reason);
    }
    list->n = kept;
}

void cmd_tell_no_node(const struct options *o)
{
    struct filters w = {
        .o = o, .any_kind = true, .node = o->restore.node, .snapshot = o->operand, .now = time(NULL)};
    n_unknown++;
    tell_why_none(&w);
}

void cmd_keep_node(const struct options *o, struct backup_list *list)
{
    size_t had = list->n;
    cmd_filter_node(o, list);
    if (had > 0 && list->n == 0)
        cmd_tell_no_node(o);
}
