#include "common/base/cleanup.h"
#include "common/base/files.h"
#include "common/base/string_list.h"
#include "common/base/text.h"
#include "common/base/utc.h"
#include "common/json.h"
#include "efs/cli/cli.h"
#include "efs/repo/readers.h"
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

bool cmd_collection_wanted(const struct options *o, const char *collection)
{
    for (size_t i = 0; i < o->n_collections; i++)
        if (strcmp(o->collections[i], collection) == 0)
            return true;
    return o->n_collections == 0;
}

/* Folders may be listed by several threads. */
static pthread_mutex_t unread_mutex = PTHREAD_MUTEX_INITIALIZER;
static char **unread; /* what was said of folders, until the program ends */
static size_t n_unread;
size_t cmd_unread(void) { return n_unread; }

/* The folder of a collection is listed for its shards, too: said once. */
static void tell_unread_locked(const struct err *why)
{
    for (size_t i = 0; i < n_unread; i++)
        if (unread[i] && strcmp(unread[i], why->text) == 0)
            return;
    cmd_complain("%s; its backups are left out", why->text);
    char **v = realloc(unread, (n_unread + 1) * sizeof *v);
    if (v)
        unread = v;
    if (v)
        v[n_unread] = strdup(why->text);
    n_unread += v != NULL;
}

static void tell_unread(const struct err *why, void *arg)
{
    (void)arg;
    (void)pthread_mutex_lock(&unread_mutex);
    tell_unread_locked(why);
    (void)pthread_mutex_unlock(&unread_mutex);
}
static const struct backup_faults faults = {tell_unread, NULL};

/* Those that --collection lets through. */
static int folders_of(const struct options *o, const char *base, char ***folders, size_t *n, struct err *e)
{
    return o->n_collections == 0
               ? backup_folders_found(base, &faults, folders, n, e)
               : backup_folders_of(base, o->collections, o->n_collections, &faults, folders, n, e);
}

struct each_folder {
    folder_visit *visit;
    void *arg;
};

static int each_in(const struct options *o, const char *base, void *arg, struct err *e)
{
    const struct each_folder *each = arg;
    char **folders;
    size_t n;
    int rc = folders_of(o, base, &folders, &n, e);
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = each->visit(o, base, folders[i], each->arg, e);
    backup_folders_free(folders, n);
    return rc;
}

int cmd_each_folder(const struct options *o, folder_visit *visit, void *arg, struct err *e)
{
    struct each_folder each = {visit, arg};
    return cmd_each_tree(o, each_in, &each, e);
}

/* With TIER or CPU_ARCH set only that tree, else every tree below the root. */
int cmd_each_tree(const struct options *o, tree_visit *visit, void *arg, struct err *e)
{
    char base[PATH_MAX];
    struct stat st;
    const char *root = o->root;
    cleanup_dir DIR *d = opendir(root);
    if (!d)
        return err_set(e, errno, "cannot list", root, "give the folder where EFS is mounted with --root");
    if (settings_name_tree())
        return files_join(base, sizeof base, root, strrchr(o->settings.base, '/') + 1, e) != 0
                   ? -1
                   : visit(o, base, arg, e);
    for (;;) {
        errno = 0;
        struct dirent *de = readdir(d);
        if (!de)
            return errno ? err_set(e, errno, "cannot list", root, NULL) : 0;
        if (de->d_name[0] == '.' || !strchr(de->d_name, '-'))
            continue;
        if (files_join(base, sizeof base, root, de->d_name, e) != 0)
            return -1;
        if (stat(base, &st) == 0 && S_ISDIR(st.st_mode) && visit(o, base, arg, e) != 0)
            return -1;
    }
}

static bool is_name(const char *operand, const char *stem)
{
    size_t n = strlen(stem);
    return strncmp(operand, stem, n) == 0 &&
           (!operand[n] || strcmp(operand + n, ".snapshot") == 0 ||
            strcmp(operand + n, ".snapshot.zst") == 0 || strcmp(operand + n, ".snapshot.delta") == 0);
}

bool cmd_is_named(const struct backup *b, const char *name)
{
    return is_name(name, b->m.source.stem) || is_name(name, b->stem);
}

bool cmd_wanted(const struct options *o, const struct backup *b)
{
    return cmd_collection_wanted(o, b->m.source.collection) &&
           (o->frequency < 0 || b->frequency == (enum frequency)o->frequency) &&
           (!o->newer || b->m.slot >= o->newer) && (!o->older || b->m.slot <= o->older) &&
           (!o->operand || cmd_is_named(b, o->operand));
}

/* --- what there is: folders are listed, then manifests read, several at once */

struct wanting {
    const struct options *where; /* its collections are those whose folders are listed */
    struct backup_list *all;
};
struct gathering {
    const struct options *o;
    const char *base;
    char **folders;
    size_t n;
    struct backup_list *list; /* one of each folder */
};

int cmd_list(const struct options *o, const char *base, const char *folder, struct backup_list *list,
             struct err *e)
{
    size_t kept = list->n, i = kept;
    if (backup_list_found(base, folder, &faults, list, e) != 0)
        return -1;
    for (; i < list->n; i++) {
        struct backup *b = &list->v[i];
        if (cmd_wanted(o, b))
            list->v[kept++] = *b;
        else
            free(b->reason);
    }
    list->n = kept;
    return 0;
}

static int list_one(size_t i, void *arg, struct err *e)
{
    const struct gathering *g = arg;
    return cmd_list(g->o, g->base, g->folders[i], &g->list[i], e);
}

static int gather_tree(const struct options *o, const char *base, void *arg, struct err *e)
{
    struct gathering g = {.o = o, .base = base};
    const struct wanting *w = arg;
    int rc = folders_of(w->where, base, &g.folders, &g.n, e);
    if (rc != 0)
        return rc;
    g.list = calloc(g.n + 1, sizeof *g.list);
    rc = g.list ? readers_each(g.n, list_one, &g, e) : err_set(e, ENOMEM, "cannot list", base, NULL);
    for (size_t i = 0; g.list && i < g.n; i++) {
        if (rc == 0 && !backup_list_move(w->all, &g.list[i]))
            rc = err_set(e, ENOMEM, "cannot list", base, NULL);
        backup_list_free(&g.list[i]);
    }
    free(g.list);
    backup_folders_free(g.folders, g.n);
    return rc;
}

int cmd_gather_names(const struct options *o, struct backup_list *list, struct err *e)
{
    struct wanting w = {o, list};
    return cmd_each_tree(o, gather_tree, &w, e);
}

int cmd_gather_names_of(const struct options *o, const char *name, struct backup_list *list, struct err *e)
{
    struct options where = *o;
    struct wanting w = {&where, list};
    where.collections = &name;
    where.n_collections = 1;
    return cmd_each_tree(o, gather_tree, &w, e);
}

int cmd_gather_quietly(const struct options *o, struct backup_list *list)
{
    struct err e = {0};
    if (cmd_gather_names(o, list, &e) == 0 && readers_read(list, &e) == 0)
        return 0;
    cmd_complain("%s", e.text);
    return -1;
}

/* --- folder by folder, so that memory does not grow with them */

struct passing {
    const struct options *o;
    readers_list *read;
    cmd_list_visit *visit;
    void *arg;
};

enum { AT_ONCE_FOLDERS = 16, AT_ONCE_BACKUPS = 1000 };

/* Small folders by the dozen, and large ones one by one. How large the next ones are nobody knows: not many
 * more at once than before. */
static size_t step_of(size_t before, size_t largest)
{
    size_t step = AT_ONCE_BACKUPS / (largest + 1);
    step = step > before * 2 ? before * 2 : step;
    return step < 1 ? 1 : step > AT_ONCE_FOLDERS ? AT_ONCE_FOLDERS : step;
}

static int pass_some(const struct passing *p, struct gathering *g, size_t *largest, struct err *e)
{
    int rc = readers_each(g->n, list_one, g, e);
    for (size_t i = 0; i < g->n; i++) {
        *largest = g->list[i].n > *largest ? g->list[i].n : *largest;
        if (rc == 0)
            rc = p->read(&g->list[i], e);
        if (rc == 0 && g->list[i].n > 0)
            rc = p->visit(&g->list[i], p->arg, e);
        backup_list_free(&g->list[i]);
    }
    return rc;
}

static int pass_tree(const struct options *o, const char *base, void *arg, struct err *e)
{
    const struct passing *p = arg;
    struct backup_list list[AT_ONCE_FOLDERS] = {0};
    char **folders;
    size_t n = 0, step = 1, largest = 0;
    int rc = folders_of(o, base, &folders, &n, e);
    for (size_t i = 0; rc == 0 && i < n; i += step) {
        step = i == 0 ? 1 : step_of(step, largest);
        struct gathering g = {
            .o = p->o, .base = base, .folders = folders + i, .n = n - i < step ? n - i : step, .list = list};
        rc = pass_some(p, &g, &largest, e);
    }
    backup_folders_free(folders, n);
    return rc;
}

int cmd_each_list(const struct options *o, readers_list *read, cmd_list_visit *visit, void *arg)
{
    struct err e = {0};
    struct passing p = {o, read, visit, arg};
    if (cmd_each_tree(o, pass_tree, &p, &e) == 0)
        return 0;
    cmd_complain("%s", e.text);
    return -1;
}

struct collections {
    char **v;
    size_t n;
};

static int add_collection(const struct options *o, const char *base, const char *folder, void *arg,
                          struct err *e)
{
    struct collections *c = arg;
    char first[NAME_MAX + 1], name[NAME_MAX + 1];
    (void)o;
    (void)snprintf(first, sizeof first, "%.*s", (int)strcspn(folder, "/"), folder);
    if (name_is_storage(folder))
        return 0;
    if (!name_unescape(first, name, sizeof name))
        (void)snprintf(name, sizeof name, "%s", first);
    for (size_t i = c->n; i-- > 0;) /* its shards come next to it */
        if (strcmp(c->v[i], name) == 0)
            return 0;
    return string_list_add(&c->v, &c->n, name) ? 0 : err_set(e, ENOMEM, "cannot list", base, NULL);
}

int cmd_collection_names(const struct options *o, char ***names, size_t *n, struct err *e)
{
    struct collections c = {0};
    int rc = cmd_each_folder(o, add_collection, &c, e);
    if (rc != 0) {
        backup_folders_free(c.v, c.n);
        c = (struct collections){0};
    }
    *names = c.v;
    *n = c.n;
    return rc;
}

bool cmd_json_text(cJSON *o, const char *key, const char *value)
{
    char clean[PATH_MAX + NAME_MAX + 2];
    (void)snprintf(clean, sizeof clean, "%s", value);
    text_make_utf8(clean); /* someone may have put a file of any name there */
    return cJSON_AddStringToObject(o, key, clean);
}

static bool add_size(cJSON *o, const char *key, bool known, uint64_t size)
{
    return known ? cJSON_AddNumberToObject(o, key, (double)size) != NULL
                 : cJSON_AddNullToObject(o, key) != NULL;
}

struct cJSON *cmd_json(const struct backup *b)
{
    char slot[32], created[32], path[PATH_MAX + NAME_MAX + 2];
    bool known = b->m.content.sha256[0] != 0;
    utc_text(b->m.slot, slot);
    utc_text(b->m.created, created);
    (void)snprintf(path, sizeof path, "%s/%s", b->dir, *b->data ? b->data : b->stem);
    cJSON *o = cJSON_CreateObject();
    if (o && cmd_json_text(o, "collection", b->m.source.collection) &&
        cmd_json_text(o, "kind", kind_text(b->m.source.kind)) &&
        cmd_json_text(o, "shard", b->m.source.shard) &&
        cmd_json_text(o, "frequency", frequency_text(b->frequency)) &&
        cmd_json_text(o, "snapshot", b->m.source.stem) && cmd_json_text(o, "node", b->m.node) &&
        (b->m.slot ? cmd_json_text(o, "slot", slot) : cJSON_AddNullToObject(o, "slot") != NULL) &&
        (known ? cmd_json_text(o, "created", created) : cJSON_AddNullToObject(o, "created") != NULL) &&
        add_size(o, "size", known, b->m.content.size) &&
        add_size(o, "stored_size", known, b->m.content.stored_size) &&
        cmd_json_text(o, "sha256", b->m.content.sha256) &&
        cmd_json_text(o, "stored_sha256", b->m.content.stored_sha256) &&
        cmd_json_text(o, "codec", b->m.codec) && (b->m.bases.n == 0 || manifest_add_pieces(o, &b->m)) &&
        add_size(o, "points", known && b->m.points >= 0, (uint64_t)b->m.points) &&
        manifest_add_points_of(o, &b->m) && manifest_add_origin(o, &b->m) &&
        cmd_json_text(o, "qdrant_version", b->m.qdrant_version) && manifest_add_content(o, &b->m) &&
        cmd_json_text(o, "state", entry_state_text(b->state)) &&
        cmd_json_text(o, "reason", b->reason ? b->reason : "") &&
        cmd_json_text(o, "signature", signature_verdict_text(b->signature)) && cmd_json_pin(o, b) &&
        cmd_json_text(o, "path", path))
        return o;
    cJSON_Delete(o);
    return NULL;
}

int cmd_print_json(struct cJSON *json)
{
    cleanup_json_text char *raw = json ? cJSON_Print(json) : NULL;
    cleanup_free char *text = raw ? text_json(raw) : NULL;
    int rc = text && puts(text) >= 0 && fflush(stdout) == 0 ? 0 : EXIT_DEFECT;
    if (rc != 0)
        cmd_complain("cannot print: %s", strerror(errno ? errno : ENOMEM));
    cJSON_Delete(json);
    return rc;
}

int cmd_print_list(const struct backup_list *list)
{
    cJSON *array = cJSON_CreateArray();
    for (size_t i = 0; array && i < list->n; i++) {
        cJSON *o = cmd_json(&list->v[i]);
        if (!o || !cJSON_AddItemToArray(array, o)) {
            cJSON_Delete(o);
            cJSON_Delete(array);
            array = NULL;
        }
    }
    return cmd_print_json(array);
}

const char *cmd_without_path(const char *why, const char *path, char *out, size_t size)
{
    size_t n = strlen(path);
    const char *at = n > 0 ? strstr(why, path) : NULL;
    if (!at || at == why || at[-1] != ' ')
        return (void)snprintf(out, size, "%s", why), out;
    const char *before = at - 1; /* "what was wrong PATH; what to do", or with a colon before it */
    before -= before > why && before[-1] == ':';
    (void)snprintf(out, size, "%.*s%s", (int)(before - why), why, at + n);
    return out;
}

bool cmd_colour(void)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(STDOUT_FILENO) && !(no && *no) && !(term && strcmp(term, "dumb") == 0);
}

void cmd_complain(const char *fmt, ...)
{
    char raw[4096], clean[4096];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(raw, sizeof raw, fmt, ap);
    va_end(ap);
    (void)fprintf(stderr, "qdrant-efs: %s\n", text_printable(raw, clean, sizeof clean));
}

/* From the end, since the root may be anything. */
const char *cmd_folder_of(const struct backup *b, size_t *tree)
{
    const char *at = b->dir + strlen(b->dir), *folder = at;
    int parts = b->m.source.kind == KIND_SHARD ? 2 : 1;
    for (int i = 0; i <= parts; i++) {
        while (at > b->dir && *--at != '/')
            ;
        if (i < parts)
            folder = at + 1;
    }
    *tree = (size_t)(at - b->dir);
    return folder;
}

bool cmd_same_folder(const struct backup *a, const struct backup *b)
{
    size_t n, m;
    const char *one = cmd_folder_of(a, &n), *other = cmd_folder_of(b, &m);
    return n == m && strncmp(a->dir, b->dir, n) == 0 && strcmp(one, other) == 0;
}

int cmd_check_shard(const struct options *o)
{
    const char *shard = o->restore.shard;
    if (strspn(shard, "0123456789") != strlen(shard))
        cmd_complain("--shard %.100s is not allowed; use a shard's number, as `qdrant-efs ls` shows it",
                     shard);
    else if (o->n_collections != 1)
        cmd_complain("--shard %.20s of which collection? Give one --collection", shard);
    else
        return 0;
    return EXIT_SETTING;
}
