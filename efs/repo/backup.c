/* Listing what is on EFS. A reader trusts only a manifest whose data is as long as it says: EFS
 * replication keeps no order between files and ships parts of files. */
#include "efs/repo/backup.h"
#include "common/base/beneath.h"
#include "common/base/cleanup.h"
#include "common/base/files.h"
#include "common/base/string_list.h"
#include "common/base/text.h"
#include "common/json.h"
#include "efs/data/hasher.h"
#include "efs/repo/pin.h"
#include "efs/repo/ruler.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

const char *entry_state_text(enum entry_state s)
{
    static const char *const text[ENTRY_STATES] = {"unread",  "complete",   "incomplete",
                                                   "corrupt", "unreadable", "unsigned"};
    return text[s];
}

void backup_list_free(struct backup_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        free(list->v[i].reason);
    string_list_free(list->dirs, list->n_dirs);
    free(list->v);
    *list = (struct backup_list){0};
}

bool backup_list_move(struct backup_list *to, struct backup_list *from)
{
    size_t n = to->n + from->n, size = to->size;
    if (n > size) {
        size = n > size * 2 ? n : size * 2;
        struct backup *v = realloc(to->v, size * sizeof *v);
        if (!v)
            return false;
        to->v = v;
        to->size = size;
    }
    /* string_list_add grows by doubling, from the number alone: one by one, then. */
    size_t had = to->n_dirs;
    for (size_t i = 0; i < from->n_dirs; i++)
        if (!string_list_add(&to->dirs, &to->n_dirs, "")) {
            while (to->n_dirs > had)
                free(to->dirs[--to->n_dirs]);
            return false;
        }
    for (size_t i = 0; i < from->n_dirs; i++) { /* entries point at them: they keep their place in memory */
        free(to->dirs[had + i]);
        to->dirs[had + i] = from->dirs[i];
    }
    if (from->n > 0)
        memcpy(to->v + to->n, from->v, from->n * sizeof *from->v);
    to->n = n;
    free(from->v);
    free(from->dirs);
    *from = (struct backup_list){0};
    return true;
}

static struct backup *append(struct backup_list *list)
{
    if (list->n == list->size) {
        size_t size = list->size ? list->size * 2 : 64;
        struct backup *v = realloc(list->v, size * sizeof *v);
        if (!v)
            return NULL;
        list->v = v;
        list->size = size;
    }
    return memset(&list->v[list->n++], 0, sizeof(struct backup));
}

static const char *keep_dir(struct backup_list *list, const char *dir)
{
    return string_list_add(&list->dirs, &list->n_dirs, dir) ? list->dirs[list->n_dirs - 1] : NULL;
}

static void mark(struct backup *b, enum entry_state state, const char *reason)
{
    b->state = state;
    free(b->reason);
    b->reason = reason ? strdup(reason) : NULL; /* without memory the state must do */
}

static int path_of(const struct backup *b, const char *name, const char *suffix, char path[PATH_MAX],
                   struct err *e)
{
    char full[NAME_MAX + 32];
    (void)snprintf(full, sizeof full, "%s%s", name, suffix);
    return files_join(path, PATH_MAX, b->dir, full, e);
}

/* The tree that it lies in, and its folder below a frequency. False when it lies in none. */
static bool tree_of(const struct backup *b, char tree[PATH_MAX], char folder[NAME_MAX * 2])
{
    char below[NAME_MAX * 2 + 32] = "";
    size_t dir = strlen(b->dir), n = 0;
    if (name_folder(&b->m.source, folder, NAME_MAX * 2))
        n = (size_t)snprintf(below, sizeof below, "/%s/%s", frequency_text(b->frequency), folder);
    if (n == 0 || n >= dir || n >= sizeof below || strcmp(b->dir + dir - n, below) != 0)
        return false;
    (void)snprintf(tree, PATH_MAX, "%.*s", (int)(dir - n), b->dir);
    return true;
}

/* Of the data of a base: its tree, and its path below that. */
static int base_path(const struct backup *b, unsigned i, char tree[PATH_MAX], char below[PATH_MAX],
                     struct err *e)
{
    char folder[NAME_MAX * 2];
    if (!tree_of(b, tree, folder))
        return err_set(e, ENOENT, "cannot tell where the base is of", b->data, NULL);
    int n = snprintf(below, PATH_MAX, "%s/%s/%s", frequency_text(b->m.bases.v[i].frequency), folder,
                     base_data(&b->m.bases, i));
    return n > 0 && n < PATH_MAX ? 0 : err_set(e, ENAMETOOLONG, "no place for", b->data, NULL);
}

/* All that a delta needs has to be there. */
static int look_at_bases(struct backup *b, struct err *e)
{
    char tree[PATH_MAX], below[PATH_MAX], path[PATH_MAX], why[PATH_MAX + 80];
    struct stat st;
    for (unsigned i = 0; b->state == ENTRY_COMPLETE && i < b->m.bases.n; i++) {
        const char *what = NULL;
        if (base_path(b, i, tree, below, e) != 0 || files_join(path, sizeof path, tree, below, e) != 0)
            return -1;
        bool there = lstat(path, &st) == 0;
        if (!there && errno != ENOENT && errno != ENOTDIR)
            return err_set(e, errno, "cannot look at", path, NULL);
        if (!there)
            what = "is not there";
        else if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > b->m.bases.v[i].stored_size)
            what = "is another one";
        else if ((uint64_t)st.st_size < b->m.bases.v[i].stored_size)
            what = "is shorter than it was";
        if (what) {
            (void)snprintf(why, sizeof why, "%s, which it is made of, %s", below, what);
            mark(b, ENTRY_INCOMPLETE, why);
        }
    }
    return 0;
}

static int look_at_data(struct backup *b, struct err *e)
{
    char path[PATH_MAX];
    struct stat st;
    if (path_of(b, b->data, "", path, e) != 0)
        return -1;
    if (lstat(path, &st) != 0) {
        if (errno != ENOENT)
            return err_set(e, errno, "cannot look at", path, NULL);
        mark(b, ENTRY_INCOMPLETE, "data is not there");
    } else if (!S_ISREG(st.st_mode)) {
        mark(b, ENTRY_CORRUPT, "data is not a file");
    } else if ((uint64_t)st.st_size < b->m.content.stored_size) {
        mark(b, ENTRY_INCOMPLETE, "data is shorter than the manifest says");
    } else if ((uint64_t)st.st_size > b->m.content.stored_size) {
        mark(b, ENTRY_CORRUPT, "data is longer than the manifest says");
    } else {
        mark(b, ENTRY_COMPLETE, NULL);
    }
    return look_at_bases(b, e);
}

/* A manifest that speaks of another place, or of another backup's data, must not make anyone delete that. */
static bool belongs(const struct backup *b, const struct manifest *m)
{
    char stored[NAME_STORED], data[NAME_STORED + 16], folder[NAME_MAX * 2 + 2] = "/";
    name_stored(m->source.stem, stored);
    (void)snprintf(data, sizeof data, "%s.snapshot", stored);
    size_t n = strlen(data), dir = strlen(b->dir);
    if (!name_folder(&m->source, folder + 1, sizeof folder - 1) || dir < strlen(folder))
        return false;
    if (m->frequency != b->frequency || strcmp(stored, b->stem) != 0 || strncmp(m->data, data, n) != 0)
        return false;
    const char *suffix = m->data + n;
    bool named = m->bases.n > 0 ? strcmp(suffix, ".delta") == 0 : !*suffix || strcmp(suffix, ".zst") == 0;
    return named && strcmp(b->dir + dir - strlen(folder), folder) == 0;
}

static const struct verify_keys *verify_keys;
static bool signature_required;

void backup_verify_keys(const struct verify_keys *keys, bool required)
{
    verify_keys = keys;
    signature_required = required;
}

/* Its manifest has just taken another one's place, or whoever did that was killed in the middle. */
static void check_next_signature(struct backup *b, const char *json, size_t n)
{
    char path[PATH_MAX];
    struct err ignored;
    size_t size = 0;
    if (path_of(b, b->stem, ".json" SIGNATURE_NEXT, path, NULL) != 0)
        return;
    cleanup_free char *signature = files_get_sized(path, SIGNATURE_SIZE, &size, &ignored);
    if (signature && signature_check(verify_keys, json, n, signature, size) == SIGNATURE_GOOD)
        b->signature = SIGNATURE_GOOD;
}

/* Of the very bytes that were read as the manifest. */
static int check_signature(struct backup *b, const char *json, size_t n, struct err *e)
{
    char path[PATH_MAX];
    struct err why = {0};
    size_t size = 0;
    if (!verify_keys)
        return 0;
    if (path_of(b, b->stem, ".json" SIGNATURE_SUFFIX, path, e) != 0)
        return -1;
    cleanup_free char *signature = files_get_sized(path, SIGNATURE_SIZE, &size, &why);
    if (!signature && (why.code == EFBIG || why.code == EINVAL))
        return b->signature = SIGNATURE_BAD, 0;
    if (!signature && why.code != ENOENT)
        return e ? (*e = why, -1) : -1;
    backup_check(b, json, n, signature, size);
    if (b->signature == SIGNATURE_BAD)
        check_next_signature(b, json, n);
    return 0;
}

void backup_check(struct backup *b, const void *data, size_t n, const void *signature, size_t size)
{
    b->signature = signature_check(verify_keys, data, n, signature, size);
}

bool backup_signed_by(const struct backup *b, const struct signing_key *k, struct manifest *m)
{
    char path[PATH_MAX], by[PATH_MAX];
    struct err ignored;
    size_t n = 0, size = 0;
    if (path_of(b, b->stem, ".json", path, NULL) != 0 ||
        path_of(b, b->stem, ".json" SIGNATURE_SUFFIX, by, NULL) != 0)
        return false;
    cleanup_free char *json = files_get_sized(path, MANIFEST_MAX, &n, &ignored);
    cleanup_free char *signature = files_get_sized(by, SIGNATURE_SIZE, &size, &ignored);
    return json && signature && signature_is_by(k, json, n, signature, size) &&
           manifest_parse(json, path, m, &ignored) == 0 && belongs(b, m);
}

void backup_trust(struct backup *b)
{
    if (!verify_keys || !b->has_manifest || b->state == ENTRY_UNREAD || b->state == ENTRY_UNREADABLE)
        return;
    if (b->signature == SIGNATURE_BAD)
        mark(b, ENTRY_CORRUPT, "the signature is by none of VERIFY_KEYS, or of another manifest");
    else if (signature_required && b->signature != SIGNATURE_GOOD && b->state == ENTRY_COMPLETE)
        mark(b, ENTRY_UNSIGNED, "it is not signed, and REQUIRE_SIGNATURE=1");
    if (b->signature == SIGNATURE_BAD || !backup_trusted(b))
        b->m.aliases = (struct aliases){0}; /* no other backup takes over what it says */
}

bool backup_trusted(const struct backup *b)
{
    return !signature_required || b->signature == SIGNATURE_GOOD || b->signature == SIGNATURE_UNCHECKED;
}

/* 0 to go on without what `why` says; with `faults` NULL, or without memory, -1 with `e`. */
static int fault(const struct backup_faults *faults, const struct err *why, struct err *e)
{
    if (faults && why->code != ENOMEM) {
        faults->tell(why, faults->arg);
        return 0;
    }
    if (e)
        *e = *why;
    return -1;
}

/* 0: *m is what the manifest of `b` says, *json its text. 1: it has no good one, and its state says why. */
static int load_manifest(struct backup *b, struct manifest *m, char **json, size_t *n, struct err *e)
{
    char path[PATH_MAX];
    struct err why = {0};
    if (path_of(b, b->stem, ".json", path, e) != 0)
        return -1;
    *json = files_get_sized(path, MANIFEST_MAX, n, &why);
    if (!*json || manifest_parse(*json, path, m, &why) != 0) {
        if (why.code == ENOENT) {
            b->has_manifest = false;
            return mark(b, ENTRY_INCOMPLETE, "no manifest yet"), 1;
        }
        b->has_manifest = true;
        if (why.code != 0 && why.code != EFBIG && why.code != EINVAL && why.code != EBADMSG)
            return e ? (*e = why, -1) : -1;
        /* Cut short: on a replica it may still be on its way. */
        return mark(b, why.code == EBADMSG ? ENTRY_INCOMPLETE : ENTRY_CORRUPT, why.text), 1;
    }
    b->has_manifest = true;
    if (!belongs(b, m))
        return mark(b, ENTRY_CORRUPT, "the manifest is of another backup"), 1;
    return 0;
}

/* `shards` (may be NULL): filled from the same bytes, empty where they do not tell. */
static int load(struct backup *b, struct shards *shards, struct err *e)
{
    char path[PATH_MAX];
    struct stat st;
    struct manifest m;
    size_t n = 0;
    cleanup_free char *json = NULL;
    if (b->state != ENTRY_UNREAD)
        return 0;
    /* Once more where the signature is bad: a manifest may have taken the other one's place in between. */
    for (int tries = 0; tries == 0 || (tries == 1 && b->signature == SIGNATURE_BAD); tries++) {
        free(json);
        json = NULL;
        int rc = load_manifest(b, &m, &json, &n, e);
        if (rc != 0)
            return rc < 0 ? -1 : 0;
        if (path_of(b, b->stem, ".json", path, e) != 0)
            return -1;
        b->written = stat(path, &st) == 0 ? st.st_mtime : 0;
        if (check_signature(b, json, n, e) != 0)
            return -1;
    }
    b->m = m;
    memcpy(b->data, m.data, sizeof b->data);
    if (shards && m.clustered) {
        cleanup_json cJSON *o = cJSON_Parse(json);
        if (!shards_parse(o, shards))
            shards_free(shards);
    }
    return look_at_data(b, e);
}

int backup_load(struct backup *b, struct err *e) { return load(b, NULL, e); }

int backup_shards(const struct backup *b, struct shards *out, struct err *e)
{
    struct backup again = {.frequency = b->frequency, .dir = b->dir, .m = {.source = b->m.source}};
    *out = (struct shards){0};
    if (!b->m.clustered)
        return 0;
    memcpy(again.stem, b->stem, sizeof again.stem);
    int rc = load(&again, out, e);
    free(again.reason);
    /* Pruned meanwhile, or another one: what it says is not of this backup. */
    if (rc == 0 &&
        (strcmp(again.m.content.sha256, b->m.content.sha256) != 0 || again.signature != b->signature))
        shards_free(out);
    return rc;
}

int backup_size_up(struct backup *b, struct err *e)
{
    struct manifest m;
    struct err why = {0};
    size_t n = 0;
    cleanup_free char *json = NULL;
    if (b->state != ENTRY_UNREAD)
        return 0;
    int rc = load_manifest(b, &m, &json, &n, &why);
    if (rc < 0 && why.code == ENOMEM)
        return fault(NULL, &why, e);
    if (rc == 0)
        b->m = m;
    return 0;
}

void backup_date(struct backup *b)
{
    char path[PATH_MAX];
    struct stat st;
    if (b->state == ENTRY_UNREAD && path_of(b, b->stem, ".json", path, NULL) == 0)
        b->written = stat(path, &st) == 0 ? st.st_mtime : 0;
}

bool stamp_is(const struct stamp *s, const struct stat *st)
{
    return s->ino == st->st_ino && s->size == st->st_size && s->mtime.tv_sec == st->st_mtim.tv_sec &&
           s->mtime.tv_nsec == st->st_mtim.tv_nsec;
}

bool backup_broken(const struct backup *b)
{
    return b->state == ENTRY_CORRUPT || b->state == ENTRY_UNREADABLE ||
           (b->has_manifest && !b->m.content.sha256[0]);
}

void backup_items(const struct backup_list *list, struct frequency_item *items)
{
    for (size_t i = 0; i < list->n; i++) {
        const struct backup *b = &list->v[i];
        items[i] = (struct frequency_item){.frequency = b->frequency,
                                           .slot = b->m.slot,
                                           .good = b->state == ENTRY_COMPLETE ||
                                                   (b->state == ENTRY_UNREAD && b->has_manifest),
                                           .future = b->written && b->m.slot > b->written + BACKUP_AHEAD};
    }
}

static struct backup *seen(struct backup_list *list, size_t from, const char *stem)
{
    for (size_t i = list->n; i > from; i--) /* the files of one backup often come together */
        if (strcmp(list->v[i - 1].stem, stem) == 0)
            return &list->v[i - 1];
    return NULL;
}

/* What folder and name tell before the manifest is read. */
static void name_tells(struct backup *b, const char *folder)
{
    char rel[NAME_MAX * 2 + 32], first[NAME_MAX + 1];
    (void)snprintf(rel, sizeof rel, "x/%s.snapshot", b->stem);
    if (name_source(rel, &b->m.source) == NAME_SOURCE && b->m.source.taken)
        b->m.slot = frequency_slot(b->m.source.taken);
    name_from_stored(b->stem, b->m.source.stem);
    (void)snprintf(first, sizeof first, "%.*s", (int)strcspn(folder, "/"), folder);
    if (!name_unescape(first, b->m.source.collection, sizeof b->m.source.collection))
        (void)snprintf(b->m.source.collection, sizeof b->m.source.collection, "%s", first);
    if (name_is_storage(folder)) {
        b->m.source.kind = KIND_STORAGE;
        b->m.source.collection[0] = 0;
    } else if (strchr(folder, '/')) {
        b->m.source.kind = KIND_SHARD;
        b->m.source.peer[0] = 0;
    }
}

/* "{data}.s3" is the receipt of a second target for that data; `name` becomes that of the data. */
static bool cut_receipt(char *name)
{
    size_t n = text_stem(name, ".s3");
    if (n > 0)
        name[n] = 0;
    return n > 0;
}

static const char *const data_kinds[] = {".snapshot.zst", ".snapshot.delta", ".snapshot"};
enum { DATA_KINDS = sizeof data_kinds / sizeof *data_kinds };

bool backup_has_beside(const struct backup *b)
{
    return (b->kinds & (b->kinds - 1)) != 0; /* more than one bit */
}

bool backup_beside(const struct backup *b, unsigned *next, char name[NAME_MAX + 1])
{
    while (*next < DATA_KINDS) {
        unsigned kind = (*next)++;
        int n = snprintf(name, NAME_MAX + 1, "%s%s", b->stem, data_kinds[kind]);
        if ((b->kinds & 1U << kind) && n <= NAME_MAX && strcmp(name, b->data) != 0)
            return true;
    }
    return false;
}

static int add_name(struct backup_list *list, size_t from, enum frequency t, const char *dir,
                    const char *folder, const char *file, struct err *e)
{
    unsigned kind = 0;
    char name[NAME_MAX + 1];
    (void)snprintf(name, sizeof name, "%s", file);
    bool receipt = cut_receipt(name);
    size_t n = receipt ? 0 : text_stem(name, ".json");
    bool manifest = n > 0;
    for (unsigned i = 0; n == 0 && i < DATA_KINDS; i++) {
        n = text_stem(name, data_kinds[i]);
        kind = 1U << i;
    }
    if (name[0] == '.' || n == 0)
        return 0;
    char stem[NAME_MAX + 1];
    (void)snprintf(stem, sizeof stem, "%.*s", (int)n, name);
    struct backup *b = seen(list, from, stem);
    if (!b) {
        b = append(list);
        if (!b)
            return err_set(e, ENOMEM, "cannot list", dir, NULL);
        b->frequency = t;
        b->dir = dir;
        memcpy(b->stem, stem, n + 1);
        name_tells(b, folder);
    }
    if (manifest)
        b->has_manifest = true;
    else if (receipt)
        b->has_receipt = true;
    else
        b->kinds |= kind;
    if (!manifest && !receipt &&
        !ruler_is_delta(b)) /* as one it still tells what it may need, beside others */
        (void)snprintf(b->data, sizeof b->data, "%s", name);
    return 0;
}

struct listing {
    struct backup_list *list;
    size_t from; /* the first entry of this folder */
    enum frequency frequency;
    const char *dir, *folder;
    char **pins; /* names of pins and notes: each may come before the files of its backup */
    size_t n_pins;
};

static int list_names(struct listing *l, DIR *d, struct err *e)
{
    for (;;) {
        size_t n;
        bool pin;
        errno = 0;
        struct dirent *de = readdir(d);
        if (!de)
            return errno ? err_set(e, errno, "cannot list", l->dir, NULL) : 0;
        if (pin_is_name(de->d_name, &n, &pin) && !string_list_add(&l->pins, &l->n_pins, de->d_name))
            return err_set(e, ENOMEM, "cannot list", l->dir, NULL);
        if (add_name(l->list, l->from, l->frequency, l->dir, l->folder, de->d_name, e) != 0)
            return -1;
    }
}

/* Those that are alone are no backup's. */
static void mark_pinned(const struct listing *l)
{
    for (size_t i = 0; i < l->n_pins; i++) {
        size_t n;
        bool pin;
        if (!pin_is_name(l->pins[i], &n, &pin))
            continue;
        l->pins[i][n] = 0;
        struct backup *b = seen(l->list, l->from, l->pins[i]);
        if (b && pin)
            b->pinned = true;
        else if (b)
            b->noted = true;
    }
}

static int list_tier(const char *base, const char *folder, enum frequency t, struct backup_list *list,
                     struct err *e)
{
    char rel[NAME_MAX * 2 + 32], dir[PATH_MAX];
    (void)snprintf(rel, sizeof rel, "%s/%s", frequency_text(t), folder);
    if (files_join(dir, sizeof dir, base, rel, e) != 0)
        return -1;
    if (t == 0) /* all tiers are below it: one question is enough */
        files_refresh(base, rel);
    else
        files_refresh_below(base, rel);
    cleanup_dir DIR *d = opendir(dir);
    if (!d)
        return errno == ENOENT ? 0 : err_set(e, errno, "cannot list", dir, "check who owns it");
    const char *kept = keep_dir(list, dir);
    if (!kept)
        return err_set(e, ENOMEM, "cannot list", dir, NULL);
    struct listing l = {.list = list, .from = list->n, .frequency = t, .dir = kept, .folder = folder};
    int rc = list_names(&l, d, e);
    if (rc == 0)
        mark_pinned(&l);
    string_list_free(l.pins, l.n_pins);
    return rc;
}

static int by_slot(const void *a, const void *b)
{
    const struct backup *x = a, *y = b;
    if (x->m.slot != y->m.slot)
        return x->m.slot < y->m.slot ? -1 : 1;
    int c = strcmp(x->stem, y->stem);
    return c ? c : (int)x->frequency - (int)y->frequency;
}

/* A receipt alone, which somebody left when he moved the rest away, is no backup. */
static void drop_lone_receipts(struct backup_list *list, size_t from)
{
    size_t kept = from;
    for (size_t i = from; i < list->n; i++)
        if (list->v[i].has_manifest || list->v[i].data[0])
            list->v[kept++] = list->v[i];
    list->n = kept;
}

int backup_read(struct backup *b, struct err *e)
{
    struct err why = {0};
    if (backup_load(b, &why) == 0)
        return 0;
    if (why.code == ENOMEM)
        return fault(NULL, &why, e);
    mark(b, ENTRY_UNREADABLE, why.text);
    return 0;
}

static int list_folder(const char *base, const char *folder, const struct backup_faults *faults,
                       struct backup_list *list, struct err *e)
{
    size_t from = list->n;
    struct err why = {0};
    for (int t = 0; t < FREQUENCY_COUNT; t++)
        if (list_tier(base, folder, (enum frequency)t, list, &why) != 0 && fault(faults, &why, e) != 0)
            return -1;
    drop_lone_receipts(list, from);
    for (size_t i = from; i < list->n; i++)
        if (!list->v[i].m.slot && (faults ? backup_read : backup_load)(&list->v[i], e) != 0)
            return -1;
    if (list->n > from)
        qsort(list->v + from, list->n - from, sizeof *list->v, by_slot);
    return 0;
}

int backup_list_folder(const char *base, const char *folder, struct backup_list *list, struct err *e)
{
    return list_folder(base, folder, NULL, list, e);
}

int backup_list_found(const char *base, const char *folder, const struct backup_faults *faults,
                      struct backup_list *list, struct err *e)
{
    return list_folder(base, folder, faults, list, e);
}

static int add_folder(char ***v, size_t *n, const char *name, struct err *e)
{
    return string_list_add(v, n, name) ? 0 : err_set(e, ENOMEM, "cannot list folders", NULL, NULL);
}

static int cannot_list(const char *dir, const struct backup_faults *faults, struct err *e)
{
    struct err why = {0};
    (void)err_set(&why, errno, "cannot list", dir, "check who owns it");
    return fault(faults, &why, e);
}

/* Folders of `dir`, and of each the shard folders inside. */
static int walk(const char *dir, const char *prefix, const struct backup_faults *faults, char ***v, size_t *n,
                struct err *e)
{
    files_refresh(dir, ".");
    cleanup_dir DIR *d = opendir(dir);
    if (!d)
        return errno == ENOENT || errno == ENOTDIR ? 0 : cannot_list(dir, faults, e);
    for (;;) {
        char name[NAME_MAX * 2 + 8], sub[PATH_MAX];
        struct stat st;
        errno = 0;
        struct dirent *de = readdir(d);
        if (!de)
            return errno ? cannot_list(dir, faults, e) : 0;
        if (de->d_name[0] == '.' || (prefix && !name_is_shard(de->d_name)))
            continue;
        if (files_join(sub, sizeof sub, dir, de->d_name, e) != 0)
            return -1;
        /* A listing without attributes is cheap on EFS; a type that it gives spares a round trip. */
        if (de->d_type != DT_DIR && (de->d_type != DT_UNKNOWN || stat(sub, &st) != 0 || !S_ISDIR(st.st_mode)))
            continue;
        (void)snprintf(name, sizeof name, "%s%s%s", prefix ? prefix : "", prefix ? "/" : "", de->d_name);
        if (add_folder(v, n, name, e) != 0 || (!prefix && walk(sub, de->d_name, faults, v, n, e) != 0))
            return -1;
    }
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* The same folder is there in each tier. */
static void sort_unique(char **v, size_t *n)
{
    size_t kept = 0;
    if (*n > 0)
        qsort(v, *n, sizeof *v, by_name);
    for (size_t i = 0; i < *n; i++) {
        if (kept > 0 && strcmp(v[kept - 1], v[i]) == 0)
            free(v[i]);
        else
            v[kept++] = v[i];
    }
    *n = kept;
}

int backup_folders(const char *base, char ***folders, size_t *n, struct err *e)
{
    return backup_folders_found(base, NULL, folders, n, e);
}

int backup_folders_found(const char *base, const struct backup_faults *faults, char ***folders, size_t *n,
                         struct err *e)
{
    *folders = NULL;
    *n = 0;
    files_refresh(base, ".");
    for (int t = 0; t < FREQUENCY_COUNT; t++) {
        char dir[PATH_MAX];
        if (files_join(dir, sizeof dir, base, frequency_text((enum frequency)t), e) != 0 ||
            walk(dir, NULL, faults, folders, n, e) != 0) {
            backup_folders_free(*folders, *n);
            *folders = NULL;
            *n = 0;
            return -1;
        }
    }
    sort_unique(*folders, n);
    return 0;
}

/* The folder of that name in one tier, and the shard folders inside. */
static int add_named(const char *tier, const char *name, const struct backup_faults *faults, char ***v,
                     size_t *n, struct err *e)
{
    char dir[PATH_MAX];
    struct stat st;
    if (files_join(dir, sizeof dir, tier, name, e) != 0)
        return -1;
    if (lstat(dir, &st) != 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : cannot_list(dir, faults, e);
    if (!S_ISDIR(st.st_mode))
        return 0;
    return add_folder(v, n, name, e) != 0 ? -1 : walk(dir, name, faults, v, n, e);
}

/* A collection's, and one that is called so without being a collection's. */
static int add_collection(const char *tier, const char *collection, const struct backup_faults *faults,
                          char ***v, size_t *n, struct err *e)
{
    char name[NAME_MAX + 1];
    if (name_escape(collection, name, sizeof name) && add_named(tier, name, faults, v, n, e) != 0)
        return -1;
    bool plain = collection[0] && collection[0] != '.' && !strchr(collection, '/') &&
                 strlen(collection) <= NAME_MAX && !name_unescape(collection, name, sizeof name);
    return plain ? add_named(tier, collection, faults, v, n, e) : 0;
}

int backup_folders_of(const char *base, const char *const *collections, size_t n_collections,
                      const struct backup_faults *faults, char ***folders, size_t *n, struct err *e)
{
    int rc = 0;
    *folders = NULL;
    *n = 0;
    files_refresh(base, ".");
    for (int t = 0; rc == 0 && t < FREQUENCY_COUNT; t++) {
        char tier[PATH_MAX];
        rc = files_join(tier, sizeof tier, base, frequency_text((enum frequency)t), e);
        if (rc == 0)
            files_refresh(tier, ".");
        for (size_t i = 0; rc == 0 && i < n_collections; i++)
            rc = add_collection(tier, collections[i], faults, folders, n, e);
    }
    if (rc != 0) {
        backup_folders_free(*folders, *n);
        *folders = NULL;
        *n = 0;
    }
    sort_unique(*folders, n);
    return rc;
}

void backup_folders_free(char **folders, size_t n) { string_list_free(folders, n); }

enum entry_state backup_sums(const struct backup *b, struct err *e)
{
    char path[PATH_MAX], want[NAME_MAX * 2 + 80];
    struct err why = {0};
    cleanup_free char *line =
        path_of(b, b->data, ".sha256", path, &why) == 0 ? files_get(path, 4096, &why) : NULL;
    if (line && name_sum_line(b->m.content.stored_sha256, b->data, want, sizeof want) &&
        strcmp(line, want) == 0)
        return ENTRY_COMPLETE;
    if (line)
        (void)err_set(&why, 0, "the .sha256 file differs from the manifest", NULL, NULL);
    if (e)
        *e = why;
    return why.code == ENOENT ? ENTRY_INCOMPLETE : ENTRY_CORRUPT;
}

/* From the tree on: a folder in it may be a link that somebody made. */
int backup_open_data(const struct backup *b, struct err *e)
{
    char folder[NAME_MAX * 2], below[PATH_MAX], tree[PATH_MAX];
    if (!tree_of(b, tree, folder))
        return beneath_open(b->dir, b->data, e);
    int n = snprintf(below, sizeof below, "%s/%s/%s", frequency_text(b->frequency), folder, b->data);
    if (n < 0 || (size_t)n >= sizeof below)
        return err_set(e, ENAMETOOLONG, "cannot read", b->data, NULL);
    return beneath_open(tree, below, e);
}

static int add_layer(const struct backup *b, unsigned i, struct layers *l, struct err *e)
{
    char tree[PATH_MAX], below[PATH_MAX], path[PATH_MAX];
    bool base = i < b->m.bases.n;
    if (base ? base_path(b, i, tree, below, e) != 0 || files_join(path, sizeof path, tree, below, e) != 0
             : path_of(b, b->data, "", path, e) != 0)
        return -1;
    int fd = base ? beneath_open(tree, below, e) : backup_open_data(b, e);
    return fd < 0 ? -1 : layers_add(l, fd, path, base ? &b->m.bases.v[i].recipe : &b->m.recipe, e);
}

int backup_open_layers(const struct backup *b, struct layers **out, struct err *e)
{
    struct layers *l = layers_new();
    *out = NULL;
    if (!l)
        return err_set(e, ENOMEM, "cannot read", b->data, NULL);
    for (unsigned i = 0; i <= b->m.bases.n; i++)
        if (add_layer(b, i, l, e) != 0)
            return layers_free(l), -1;
    if (layers_pieces(l)->size != b->m.content.size) {
        layers_free(l);
        return err_set(e, 0, "the recipe gives another size than the manifest says in", b->data,
                       "take another backup");
    }
    *out = l;
    return 0;
}

uint64_t backup_work(const struct manifest *m)
{
    return m->bases.n > 0 ? m->content.size : m->content.stored_size;
}

/* The bytes as they are stored. */
static enum entry_state verify_stored(const struct backup *b, const struct copy_watch *watch, struct err *e)
{
    char path[PATH_MAX];
    struct copy_result r;
    bool delta = b->m.bases.n > 0, packed = !delta && strcmp(b->m.codec, "none") != 0;
    if (path_of(b, b->data, "", path, e) != 0)
        return ENTRY_CORRUPT;
    cleanup_close int fd = backup_open_data(b, e);
    if (fd < 0 || copy_check(fd, path, -1, packed, delta ? COPY_ANY : b->m.content.size, delta ? NULL : watch,
                             &r, e) != 0)
        return ENTRY_CORRUPT;
    if (strcmp(r.stored_sha256, b->m.content.stored_sha256) != 0)
        return (void)err_set(e, 0, "stored bytes differ from the manifest's SHA-256", NULL, NULL),
               ENTRY_CORRUPT;
    if (!delta && (r.size != b->m.content.size || strcmp(r.sha256, b->m.content.sha256) != 0))
        return (void)err_set(e, 0, "the snapshot inside differs from the manifest's SHA-256", NULL, NULL),
               ENTRY_CORRUPT;
    return ENTRY_COMPLETE;
}

/* All of it through SHA-256; its hash is empty when reading it failed. */
static int hash_layers(struct layers *l, const struct copy_watch *watch, char hex[65], struct err *e)
{
    enum { CHUNK = 1 << 18 };
    cleanup_free char *chunk = malloc(CHUNK);
    struct hasher *h = hasher_new();
    bool hashed = chunk && h;
    ssize_t n = -1;
    while (hashed && (n = layers_read(l, chunk, CHUNK, e)) > 0) {
        hashed = hasher_add(h, chunk, (size_t)n) && hasher_wait(h);
        if (watch && watch->bytes)
            watch->bytes((size_t)n, watch->arg);
    }
    hashed = hashed && (n < 0 || hasher_hex(h, hex));
    hasher_free(h);
    return hashed ? (int)n : err_set(e, ENOMEM, "cannot verify", "a delta", NULL);
}

/* What a delta gives with what it is made of. */
static int verify_made(const struct backup *b, const struct copy_watch *watch, struct err *e)
{
    cleanup_layers struct layers *l = NULL;
    char hex[65] = "";
    if (backup_open_layers(b, &l, e) != 0 || hash_layers(l, watch, hex, e) != 0)
        return -1;
    return strcmp(hex, b->m.content.sha256) == 0
               ? 0
               : err_set(e, 0, "the snapshot made of it differs from the manifest's SHA-256", NULL, NULL);
}

void backup_verify(struct backup *b, const struct copy_watch *watch)
{
    struct err e = {0};
    if (b->state == ENTRY_UNREAD && backup_load(b, &e) != 0)
        return mark(b, ENTRY_CORRUPT, e.text);
    if (b->state != ENTRY_COMPLETE)
        return;
    if (verify_stored(b, watch, &e) != ENTRY_COMPLETE)
        return mark(b, ENTRY_CORRUPT, e.text);
    enum entry_state sums = backup_sums(b, &e);
    if (sums != ENTRY_COMPLETE)
        return mark(b, sums, e.text);
    if (b->m.bases.n > 0 && verify_made(b, watch, &e) != 0)
        mark(b, ENTRY_CORRUPT, e.text);
}
