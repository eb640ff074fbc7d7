/* Which snapshots a bucket has, by the names of its objects. */
#include "aws/s3/s3.h"
#include "common/base/cleanup.h"
#include "common/base/string_list.h"
#include "efs/restore/s3_internal.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { KEY = 1100 };

/* ---- a key */

/* "collection/snapshot.snapshot", "%storage/…" or "collection/%shard-N/…" as a path of Qdrant's own.
 * Collections stand there as they are called, and one may be called %storage: what is in it tells. */
static bool qdrant_path(const char *rest, char out[KEY * 2])
{
    char first[256], collection[256];
    const char *slash = strchr(rest, '/'), *second = slash ? strchr(slash + 1, '/') : NULL;
    size_t n = slash ? (size_t)(slash - rest) : 0;
    if (n == 0 || n >= sizeof first)
        return false;
    memcpy(first, rest, n);
    first[n] = 0;
    if (!second && name_is_storage(first) && strncmp(slash + 1, "%storage-", 9) != 0)
        return snprintf(out, KEY * 2, "%s", slash + 1) > 0;
    if (!second)
        return snprintf(out, KEY * 2, "%s", rest) > 0;
    int shard = (int)(second - slash - 1);
    char folder[32];
    if (snprintf(folder, sizeof folder, "%.*s", shard, slash + 1) >= (int)sizeof folder ||
        !name_is_shard(folder) || !name_unescape(first, collection, sizeof collection))
        return false;
    return snprintf(out, KEY * 2, "%s/shards/%s%s", collection, folder + strlen("%shard-"), second) > 0;
}

static void set_file(struct backup *b, uint64_t size, time_t modified)
{
    b->state = ENTRY_COMPLETE; /* an object is whole or not there */
    b->has_manifest = true;    /* its labels stand for it */
    name_stored(b->m.source.stem, b->stem);
    b->m.points = -1;
    b->m.created = b->written = modified; /* by the clock of S3 */
    b->m.slot = frequency_slot(backup_time(b));
    (void)snprintf(b->m.codec, sizeof b->m.codec, "none");
    b->m.content.size = b->m.content.stored_size = size;
}

bool restore_s3_name(const char *key, uint64_t size, time_t modified, struct backup *out)
{
    char path[KEY * 2], word[16];
    const char *tree = strchr(key, '/'), *rest = tree ? strchr(tree + 1, '/') : NULL;
    memset(out, 0, sizeof *out);
    if (!rest || tree == key || strlen(key) >= KEY || rest - tree > (ptrdiff_t)sizeof word)
        return false;
    (void)snprintf(word, sizeof word, "%.*s", (int)(rest - tree - 1), tree + 1);
    const char *file = strrchr(key, '/') + 1;
    if (!frequency_parse(word, &out->frequency) || !qdrant_path(rest + 1, path) ||
        name_source(path, &out->m.source) != NAME_SOURCE ||
        (size_t)snprintf(out->data, sizeof out->data, "%s", file) >= sizeof out->data)
        return false;
    out->m.frequency = out->frequency;
    set_file(out, size, modified);
    return true;
}

/* ---- into a list */

/* "s3://bucket/…" up to the file; the last one again for what is beside the last object. */
static const char *dir_of(const struct restore_s3 *s, struct backup_list *list, const char *key)
{
    cleanup_free char *dir = NULL;
    const char *slash = strrchr(key, '/');
    if (asprintf(&dir, "%s%s%.*s", s->place, slash ? "/" : "", slash ? (int)(slash - key) : 0, key) < 0)
        return dir = NULL, NULL;
    if (list->n_dirs > 0 && strcmp(list->dirs[list->n_dirs - 1], dir) == 0)
        return list->dirs[list->n_dirs - 1];
    char **dirs = realloc(list->dirs, (list->n_dirs + 1) * sizeof *dirs);
    if (!dirs)
        return NULL;
    list->dirs = dirs;
    dirs[list->n_dirs] = dir;
    dir = NULL;
    return dirs[list->n_dirs++];
}

static int append(struct restore_s3 *s, struct backup_list *list, const char *key, struct backup *b,
                  struct err *e)
{
    if (list->n == list->size) {
        size_t size = list->size ? list->size * 2 : 16;
        struct backup *v = realloc(list->v, size * sizeof *v);
        if (!v)
            return err_set(e, ENOMEM, "cannot list", s->place, NULL);
        list->v = v;
        list->size = size;
    }
    if (!(b->dir = dir_of(s, list, key)))
        return err_set(e, ENOMEM, "cannot list", s->place, NULL);
    list->v[list->n++] = *b;
    return 0;
}

/* The newest and the oldest of a peer in a folder stay; the one that goes is next to the oldest. What a
 * folder holds came last, and together. Names without a peer may be of any node: all of them stay. */
static void thin_out(struct backup_list *list)
{
    const struct backup *last = &list->v[list->n - 1];
    size_t oldest = list->n - 1, second = list->n, count = 0;
    if (!*last->m.source.peer)
        return;
    for (size_t i = list->n; i > 0 && list->v[i - 1].dir == last->dir; i--) {
        if (strcmp(list->v[i - 1].m.source.peer, last->m.source.peer) != 0)
            continue;
        count++;
        if (backup_time(&list->v[i - 1]) < backup_time(&list->v[oldest])) {
            second = oldest;
            oldest = i - 1;
        } else if (i - 1 != oldest &&
                   (second == list->n || backup_time(&list->v[i - 1]) < backup_time(&list->v[second])))
            second = i - 1;
    }
    if (count <= RESTORE_S3_NEWEST + 1)
        return;
    memmove(&list->v[second], &list->v[second + 1], (list->n - second - 1) * sizeof *list->v);
    list->n--;
}

int restore_s3_one(struct restore_s3 *s, const char *key, struct backup_list *list, struct err *e)
{
    struct backup b;
    char path[KEY * 2];
    const char *file = strrchr(key, '/');
    file = file ? file + 1 : key;
    if (restore_s3_name(key, 0, 0, &b))
        return append(s, list, key, &b, e);
    memset(&b, 0, sizeof b);
    if (strlen(key) >= KEY || (size_t)snprintf(b.data, sizeof b.data, "%s", file) >= sizeof b.data)
        return err_set(e, ENAMETOOLONG, "cannot read", key, NULL);
    (void)snprintf(path, sizeof path, "x/%s", file);
    if (name_source(path, &b.m.source) != NAME_SOURCE) /* else it has a time, perhaps */
        (void)snprintf(b.m.source.stem, sizeof b.m.source.stem, "%s", *file ? file : "snapshot");
    b.m.source.collection[0] = 0;
    set_file(&b, 0, 0);
    b.m.slot = 0; /* in no tier */
    return append(s, list, key, &b, e);
}

/* ---- the bucket */

struct search {
    struct restore_s3 *s;
    const struct restore_s3_wish *w;
    struct backup_list *list;
    const char *tree;
};

static int take(void *arg, const struct s3_listed *o, struct err *e)
{
    struct search *f = arg;
    struct backup b;
    if (!restore_s3_name(o->key, o->size, o->modified, &b) || !f->w->wanted(&b, f->w->arg))
        return 0;
    if (append(f->s, f->list, o->key, &b, e) != 0)
        return -1;
    thin_out(f->list);
    return 0;
}

static int list_below(struct search *f, const char *frequency, const char *folder, struct err *e)
{
    cleanup_free char *prefix = NULL;
    if (asprintf(&prefix, "%s/%s/%s%s", f->tree, frequency, folder, *folder ? "/" : "") < 0)
        return prefix = NULL, err_set(e, ENOMEM, "cannot list", f->s->place, NULL);
    return s3_list(f->s->s3, prefix, false, take, f, e);
}

/* Its snapshots stand under its name, those of its shards under its escaped name. */
static int list_collection(struct search *f, const char *frequency, const char *collection, struct err *e)
{
    char escaped[256];
    if (list_below(f, frequency, collection, e) != 0)
        return -1;
    if (!name_escape(collection, escaped, sizeof escaped) || strcmp(escaped, collection) == 0)
        return 0;
    return list_below(f, frequency, escaped, e);
}

static int list_tree(struct search *f, struct err *e)
{
    for (enum frequency t = 0; t < FREQUENCY_COUNT; t++) {
        if (f->w->frequency >= 0 && (enum frequency)f->w->frequency != t)
            continue;
        int rc = f->w->n_collections == 0 ? list_below(f, frequency_text(t), "", e) : 0;
        for (size_t i = 0; rc == 0 && i < f->w->n_collections; i++)
            rc = list_collection(f, frequency_text(t), f->w->collections[i], e);
        if (rc != 0)
            return -1;
    }
    return 0;
}

struct trees {
    char **v;
    size_t n;
};
static void trees_free(struct trees *t) { string_list_free(t->v, t->n); }

static int take_tree(void *arg, const struct s3_listed *o, struct err *e)
{
    struct trees *t = arg;
    size_t n = strlen(o->key);
    if (n < 2 || n > 160 || o->key[n - 1] != '/' || !strchr(o->key, '-'))
        return 0;
    char tree[161];
    (void)snprintf(tree, sizeof tree, "%.*s", (int)(n - 1), o->key);
    return string_list_add(&t->v, &t->n, tree) ? 0 : err_set(e, ENOMEM, "cannot list", o->key, NULL);
}

static int list_trees(struct search *f, struct err *e)
{
    __attribute__((cleanup(trees_free))) struct trees trees = {0};
    if (f->w->tree) {
        f->tree = f->w->tree;
        return list_tree(f, e);
    }
    int rc = s3_list(f->s->s3, "", true, take_tree, &trees, e);
    for (size_t i = 0; rc == 0 && i < trees.n; i++) {
        f->tree = trees.v[i];
        rc = list_tree(f, e);
    }
    return rc;
}

/* ---- whose they are */

static bool same_writer(const struct backup *a, const struct backup *b)
{
    return *a->m.source.peer && strcmp(a->m.source.peer, b->m.source.peer) == 0;
}

/* The newest of those of `i`'s writer that are older than `than`, when that is not NULL; SIZE_MAX: none is.
 */
static size_t newest_of(const struct backup_list *list, size_t i, const struct backup *than)
{
    size_t newest = SIZE_MAX;
    for (size_t k = i; k < list->n; k++) {
        const struct backup *b = &list->v[k];
        if ((k == i || same_writer(b, &list->v[i])) && (!than || backup_time(b) < backup_time(than)) &&
            (newest == SIZE_MAX || backup_time(b) > backup_time(&list->v[newest])))
            newest = k;
    }
    return newest;
}

/* Of the newest that may say it: where signatures are required, one that is not signed may not. */
static int ask_node(struct restore_s3 *s, struct backup_list *list, size_t i, size_t *asked, struct err *e)
{
    const struct backup *than = NULL;
    for (size_t k; (k = newest_of(list, i, than)) != SIZE_MAX; than = &list->v[k]) {
        *asked = k;
        if (restore_s3_label_node(s, &list->v[k], e) != 0)
            return -1;
        if (backup_trusted(&list->v[k]))
            return 0;
        list->v[k].m.node[0] = 0;
    }
    return 0;
}

/* A listing has no labels. All of one peer are of one node, so one of them is asked: the newest. */
static int find_nodes(struct restore_s3 *s, struct backup_list *list, bool *labelled, struct err *e)
{
    for (size_t i = 0; i < list->n; i++) {
        struct err why = {0};
        size_t newest = i, k = 0;
        while (k < i && !same_writer(&list->v[k], &list->v[i]))
            k++;
        if (k < i)
            continue; /* its peer was asked for */
        if (ask_node(s, list, i, &newest, &why) != 0) {
            if (why.code != EACCES && why.code != EPROTO)
                return *e = why, -1;
            continue; /* that one object cannot be read, and so does not say; if it is chosen, that is told */
        }
        const struct manifest *m = &list->v[newest].m;
        *labelled = *labelled || (m->node[0] && strcmp(m->node, m->source.peer) != 0);
        for (k = i; k < list->n; k++)
            if (k != newest && same_writer(&list->v[k], &list->v[newest]))
                memcpy(list->v[k].m.node, list->v[newest].m.node, sizeof list->v[k].m.node);
    }
    return 0;
}

/* Names without a peer do not say whether they are of one. */
static bool several_peers(const struct backup_list *list)
{
    for (size_t i = 1; i < list->n; i++)
        if (!*list->v[i].m.source.peer || strcmp(list->v[i].m.source.peer, list->v[0].m.source.peer) != 0)
            return true;
    return false;
}

int restore_s3_list(struct restore_s3 *s, const struct restore_s3_wish *w, struct backup_list *list,
                    bool *labelled, struct err *e)
{
    struct search f = {.s = s, .w = w, .list = list};
    *labelled = false;
    if (list_trees(&f, e) != 0)
        return -1;
    return w->nodes || several_peers(list) ? find_nodes(s, list, labelled, e) : 0;
}
