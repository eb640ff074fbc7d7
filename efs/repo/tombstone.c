#include "efs/repo/tombstone.h"
#include "common/base/cleanup.h"
#include "common/base/files.h"
#include "common/json.h"
#include "efs/repo/manifest.h"
#include "efs/repo/signed.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define FOLDER "deleted"
static const char UNNAMED[] = "-", SUFFIX[] = ".json";

void tombstones_free(struct tombstones *t)
{
    free(t->v);
    *t = (struct tombstones){0};
}

bool tombstone_covers(const struct tombstone *t, time_t taken) { return taken <= t->deleted; }

const struct tombstone *tombstones_cover(const struct tombstones *all, const char *collection, time_t taken)
{
    for (size_t i = 0; i < all->n; i++)
        if (strcmp(all->v[i].collection, collection) == 0 && tombstone_covers(&all->v[i], taken))
            return &all->v[i];
    return NULL;
}

const struct tombstone *tombstones_find(const struct tombstones *all, const char *collection, bool forgotten)
{
    for (size_t i = 0; i < all->n; i++)
        if (all->v[i].forgotten == forgotten && strcmp(all->v[i].collection, collection) == 0)
            return &all->v[i];
    return NULL;
}

/* --- names */

static bool folder_of(const char *node, char out[NAME_MAX + 1])
{
    if (!*node || strcmp(node, TOMBSTONE_ALL) == 0)
        return snprintf(out, NAME_MAX + 1, "%s", *node ? node : UNNAMED) > 0;
    return name_escape(node, out, NAME_MAX + 1);
}

/* A collection's folder on EFS has the same escaped name, and room for more behind it than ".json". */
static int place(const char *base, const char *node, const char *collection, char dir[PATH_MAX],
                 char name[NAME_MAX + 1], struct err *e)
{
    char folder[NAME_MAX + 1], escaped[NAME_MAX + 1], rel[NAME_MAX + 32];
    if (!folder_of(node, folder) || !name_escape(collection, escaped, sizeof escaped) ||
        (size_t)snprintf(name, NAME_MAX + 1, "%.250s%s", escaped, SUFFIX) != strlen(escaped) + strlen(SUFFIX))
        return err_set(e, ENAMETOOLONG, "cannot name a tombstone of", collection,
                       "delete this collection's backups by hand before the next restore");
    (void)snprintf(rel, sizeof rel, "%s/%s", FOLDER, folder);
    return files_join(dir, PATH_MAX, base, rel, e);
}

/* --- writing */

static char *print(const struct tombstone *t)
{
    cleanup_json cJSON *o = cJSON_CreateObject();
    bool ok = o && cJSON_AddNumberToObject(o, "format", TOMBSTONE_FORMAT) &&
              cJSON_AddStringToObject(o, "collection", t->collection) &&
              cJSON_AddStringToObject(o, "node", t->node) && json_add_time(o, "deleted", t->deleted) &&
              (t->seen ? json_add_time(o, "last_seen", t->seen) : json_add_null(o, "last_seen")) &&
              cJSON_AddBoolToObject(o, "forgotten", t->forgotten) &&
              cJSON_AddStringToObject(o, "written_by", t->by);
    return ok ? json_line(o, true) : NULL;
}

int tombstone_put(const char *base, const struct tombstone *t, struct err *e)
{
    char dir[PATH_MAX], name[NAME_MAX + 1], root[PATH_MAX];
    const char *tree = strrchr(base, '/');
    cleanup_free char *text = print(t);
    if (!text || !tree)
        return err_set(e, text ? EINVAL : ENOMEM, "cannot write a tombstone in", base, NULL);
    /* The root itself is never made: when it is missing, EFS is not mounted. */
    (void)snprintf(root, sizeof root, "%.*s", tree == base ? 1 : (int)(tree - base), base);
    return place(base, t->node, t->collection, dir, name, e) != 0 ||
                   files_mkdirs(root, dir + (tree + 1 - base), e) != 0 || signed_put(dir, name, text, e) != 0
               ? -1
               : files_put(dir, name, text, e);
}

int tombstone_remove(const char *base, const char *node, const char *collection, struct err *e)
{
    char dir[PATH_MAX], name[NAME_MAX + 1], path[PATH_MAX];
    if (place(base, node, collection, dir, name, e) != 0 || files_join(path, sizeof path, dir, name, e) != 0)
        return -1;
    if (unlink(path) != 0)
        return errno == ENOENT || errno == ENOTDIR
                   ? 0
                   : err_set(e, errno, "cannot delete", path, "check who may write to EFS");
    return signed_remove(dir, name, e) != 0 ? -1 : files_sync_dir(dir, e);
}

/* --- reading */

/* What folder and name say must be what it says itself: a copy under another name deletes nothing. */
static int parse(const char *text, const char *path, const char *folder, const char *file,
                 struct tombstone *t, struct err *e)
{
    cleanup_json cJSON *o = cJSON_ParseWithOpts(text, NULL, 1);
    const cJSON *format = json_member(o, "format");
    char escaped[NAME_MAX + 1], named[NAME_MAX + 1], of_node[NAME_MAX + 1];
    *t = (struct tombstone){0};
    if (!cJSON_IsNumber(format) || !(format->valuedouble == TOMBSTONE_FORMAT))
        return err_set(e, 0, "no tombstone, or one of an unknown format:", path,
                       "use newer programs, or delete it");
    if (!json_copy(o, "collection", t->collection, sizeof t->collection) ||
        !json_copy(o, "node", t->node, sizeof t->node) || !json_time(o, "deleted", &t->deleted) ||
        t->deleted == 0)
        return err_set(e, 0, "a tombstone lacks or garbles a field:", path, "delete it, or mend it");
    t->forgotten = json_true(o, "forgotten");
    (void)json_time(o, "last_seen", &t->seen);             /* may be absent */
    (void)json_copy(o, "written_by", t->by, sizeof t->by); /* for people */
    if (!name_escape(t->collection, escaped, sizeof escaped) || !folder_of(t->node, of_node) ||
        (size_t)snprintf(named, sizeof named, "%.250s%s", escaped, SUFFIX) >= sizeof named ||
        strcmp(named, file) != 0 || strcmp(of_node, folder) != 0)
        return err_set(e, 0, "a tombstone of another place:", path, "delete it");
    return 0;
}

static int load_one(const char *dir, const char *folder, const char *file, struct tombstones *out,
                    struct err *e)
{
    char path[PATH_MAX];
    struct err why = {0};
    struct tombstone t;
    if (files_join(path, sizeof path, dir, file, e) != 0)
        return -1;
    cleanup_free char *text = files_get(path, TOMBSTONE_MAX, &why);
    if (!text && why.code == ENOENT)
        return 0; /* removed meanwhile */
    if (!text || parse(text, path, folder, file, &t, &why) != 0 || !signed_obeyed(path, text, &why)) {
        if (out->unreadable++ == 0)
            (void)snprintf(out->why, sizeof out->why, "%s", why.text);
        return 0;
    }
    struct tombstone *v = realloc(out->v, (out->n + 1) * sizeof *v);
    if (!v)
        return err_set(e, ENOMEM, "cannot read", path, NULL);
    out->v = v;
    v[out->n++] = t;
    return 0;
}

struct loading {
    const char *base, *folder, *dir; /* `folder` and `dir`: of one node */
    struct tombstones *out;
};

static int load_entry(const struct dirent *de, void *arg, struct err *e)
{
    const struct loading *l = arg;
    size_t n = strlen(de->d_name), suffix = strlen(SUFFIX);
    return n > suffix && strcmp(de->d_name + n - suffix, SUFFIX) == 0
               ? load_one(l->dir, l->folder, de->d_name, l->out, e)
               : 0;
}

static int load_folder(const char *base, const char *folder, struct tombstones *out, struct err *e)
{
    char rel[NAME_MAX + 32], dir[PATH_MAX];
    (void)snprintf(rel, sizeof rel, "%s/%s", FOLDER, folder);
    if (files_join(dir, sizeof dir, base, rel, e) != 0)
        return -1;
    files_refresh(base, rel);
    struct loading l = {.base = base, .folder = folder, .dir = dir, .out = out};
    return files_each(dir, load_entry, &l, e);
}

static int load_node(const struct dirent *de, void *arg, struct err *e)
{
    const struct loading *l = arg;
    return load_folder(l->base, de->d_name, l->out, e);
}

static int load_every_folder(const char *base, struct tombstones *out, struct err *e)
{
    char dir[PATH_MAX];
    if (files_join(dir, sizeof dir, base, FOLDER, e) != 0)
        return -1;
    files_refresh(base, FOLDER);
    struct loading l = {.base = base, .out = out};
    return files_each(dir, load_node, &l, e);
}

static int by_collection(const void *a, const void *b)
{
    const struct tombstone *x = a, *y = b;
    int c = strcmp(x->collection, y->collection);
    return c ? c : strcmp(x->node, y->node);
}

int tombstones_load(const char *base, const char *node, struct tombstones *out, struct err *e)
{
    char folder[NAME_MAX + 1];
    *out = (struct tombstones){0};
    if (node && !folder_of(node, folder))
        return err_set(e, EINVAL, "cannot read the tombstones of a node of this name in", base, NULL);
    int rc = !node                                    ? load_every_folder(base, out, e)
             : load_folder(base, folder, out, e) != 0 ? -1
             : strcmp(node, TOMBSTONE_ALL) == 0       ? 0
                                                      : load_folder(base, TOMBSTONE_ALL, out, e);
    if (rc != 0)
        tombstones_free(out);
    else if (out->n > 1)
        qsort(out->v, out->n, sizeof *out->v, by_collection);
    return rc;
}
