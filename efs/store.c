/* Listing what is on EFS. A reader trusts only a manifest whose data is as long as it says: EFS
 * replication keeps no order between files and ships parts of files. */
#include "efs/store.h"
#include "common/cleanup.h"
#include "common/files.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

const char *entry_state_text(enum entry_state s)
{
    static const char *const text[] = {"complete", "incomplete", "corrupt", "unread"};
    return text[s];
}

void entries_free(struct entries *list)
{
    free(list->v);
    *list = (struct entries){0};
}

static struct backup *append(struct entries *list)
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

static bool ends(const char *name, const char *suffix, size_t *stem)
{
    size_t n = strlen(name), s = strlen(suffix);
    *stem = n - s;
    return n > s && strcmp(name + n - s, suffix) == 0;
}

static void mark(struct backup *en, enum entry_state state, const char *reason)
{
    en->state = state;
    (void)snprintf(en->reason, sizeof en->reason, "%s", reason);
}

/* Read the manifest and look at the data's length. */
static int entry_load(struct backup *en, struct err *e)
{
    char path[PATH_MAX], name[300];
    struct err why = {0};
    struct stat st;
    (void)snprintf(name, sizeof name, "%s.json", en->stem);
    if (files_join(path, sizeof path, en->dir, name, e) != 0)
        return -1;
    if (manifest_load(path, &en->m, &why) != 0) {
        if (why.code == ENOENT)
            return mark(en, ENTRY_INCOMPLETE, "no manifest yet"), 0;
        if (why.code != 0 && why.code != EFBIG && why.code != EINVAL)
            return *e = why, -1;
        en->has_manifest = true;
        return mark(en, ENTRY_CORRUPT, why.text), 0;
    }
    en->has_manifest = true;
    memcpy(en->data, en->m.data, sizeof en->data);
    if (en->m.tier != en->tier || strcmp(en->m.source.stem, en->stem) != 0)
        return mark(en, ENTRY_CORRUPT, "the manifest is of another backup"), 0;
    if (files_join(path, sizeof path, en->dir, en->data, e) != 0)
        return -1;
    if (stat(path, &st) != 0)
        return errno == ENOENT ? (mark(en, ENTRY_INCOMPLETE, "data is not there"), 0)
                               : err_set(e, errno, "cannot look at", path, NULL);
    if ((uint64_t)st.st_size == en->m.content.stored_size)
        return mark(en, ENTRY_COMPLETE, ""), 0;
    if ((uint64_t)st.st_size < en->m.content.stored_size)
        return mark(en, ENTRY_INCOMPLETE, "data is shorter than the manifest says"), 0;
    return mark(en, ENTRY_CORRUPT, "data is longer than the manifest says"), 0;
}

static struct backup *seen(struct entries *list, size_t from, const char *stem)
{
    for (size_t i = from; i < list->n; i++)
        if (strcmp(list->v[i].stem, stem) == 0)
            return &list->v[i];
    return NULL;
}

static int add_name(struct entries *list, size_t from, enum tier t, const char *dir, const char *name,
                    struct err *e)
{
    size_t n = 0;
    bool manifest = ends(name, ".json", &n), zst = !manifest && ends(name, ".snapshot.zst", &n);
    if (name[0] == '.' || (!manifest && !zst && !ends(name, ".snapshot", &n)))
        return 0;
    char stem[256], rel[512];
    struct source s;
    (void)snprintf(stem, sizeof stem, "%.*s", (int)n, name);
    struct backup *en = seen(list, from, stem);
    if (!en) {
        en = append(list);
        if (!en)
            return err_set(e, ENOMEM, "cannot list", dir, NULL);
        en->tier = t;
        en->state = ENTRY_UNREAD;
        (void)snprintf(en->dir, sizeof en->dir, "%s", dir);
        (void)snprintf(en->stem, sizeof en->stem, "%s", stem);
        (void)snprintf(rel, sizeof rel, "x/%s.snapshot", stem);
        if (name_source(rel, &s) && s.taken)
            en->m.slot = tier_slot(s.taken);
    }
    if (manifest)
        en->has_manifest = true;
    else
        (void)snprintf(en->data, sizeof en->data, "%s", name);
    return 0;
}

static int list_tier(const char *base, const char *folder, enum tier t, struct entries *list, struct err *e)
{
    char rel[600], dir[PATH_MAX];
    (void)snprintf(rel, sizeof rel, "%s/%s", tier_text(t), folder);
    if (files_join(dir, sizeof dir, base, rel, e) != 0)
        return -1;
    cleanup_dir DIR *d = opendir(dir);
    if (!d)
        return errno == ENOENT ? 0 : err_set(e, errno, "cannot list", dir, "check who owns it");
    size_t from = list->n;
    for (;;) {
        errno = 0;
        struct dirent *de = readdir(d);
        if (!de)
            return errno ? err_set(e, errno, "cannot list", dir, NULL) : 0;
        if (add_name(list, from, t, dir, de->d_name, e) != 0)
            return -1;
    }
}

static int by_slot(const void *a, const void *b)
{
    const struct backup *x = a, *y = b;
    if (x->m.slot != y->m.slot)
        return x->m.slot < y->m.slot ? -1 : 1;
    return strcmp(x->stem, y->stem);
}

int store_list(const char *base, const char *folder, store_need *need, const void *arg, struct entries *list,
               struct err *e)
{
    for (int t = 0; t < TIER_COUNT; t++)
        if (list_tier(base, folder, (enum tier)t, list, e) != 0)
            return -1;
    for (size_t i = 0; i < list->n; i++) {
        struct backup *en = &list->v[i];
        if (need && en->m.slot && !need(en->tier, en->m.slot, arg))
            continue;
        time_t by_name = en->m.slot;
        if (entry_load(en, e) != 0)
            return -1;
        if (!en->m.slot)
            en->m.slot = by_name;
    }
    if (list->n > 0)
        qsort(list->v, list->n, sizeof *list->v, by_slot);
    return 0;
}

static int add_folder(char ***v, size_t *n, const char *name, struct err *e)
{
    for (size_t i = 0; i < *n; i++)
        if (strcmp((*v)[i], name) == 0)
            return 0;
    char **grown = realloc(*v, (*n + 1) * sizeof **v);
    if (grown)
        *v = grown;
    char *copy = grown ? strdup(name) : NULL;
    if (!copy)
        return err_set(e, ENOMEM, "cannot list folders", NULL, NULL);
    (*v)[(*n)++] = copy;
    return 0;
}

/* Folders of `dir`, and of each the "%shard-N" folders inside. */
static int walk(const char *dir, const char *prefix, char ***v, size_t *n, struct err *e)
{
    cleanup_dir DIR *d = opendir(dir);
    if (!d)
        return errno == ENOENT || errno == ENOTDIR ? 0 : err_set(e, errno, "cannot list", dir, "check who owns it");
    for (;;) {
        char name[600], sub[PATH_MAX];
        struct stat st;
        errno = 0;
        struct dirent *de = readdir(d);
        if (!de)
            return errno ? err_set(e, errno, "cannot list", dir, NULL) : 0;
        if (de->d_name[0] == '.' || (prefix && strncmp(de->d_name, "%shard-", 7) != 0))
            continue;
        if (files_join(sub, sizeof sub, dir, de->d_name, e) != 0)
            return -1;
        if (stat(sub, &st) != 0 || !S_ISDIR(st.st_mode))
            continue;
        (void)snprintf(name, sizeof name, "%s%s%s", prefix ? prefix : "", prefix ? "/" : "", de->d_name);
        if (add_folder(v, n, name, e) != 0 || (!prefix && walk(sub, de->d_name, v, n, e) != 0))
            return -1;
    }
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

int store_folders(const char *base, char ***folders, size_t *n, struct err *e)
{
    *folders = NULL;
    *n = 0;
    for (int t = 0; t < TIER_COUNT; t++) {
        char dir[PATH_MAX];
        if (files_join(dir, sizeof dir, base, tier_text((enum tier)t), e) != 0 || walk(dir, NULL, folders, n, e) != 0) {
            store_folders_free(*folders, *n);
            *folders = NULL;
            *n = 0;
            return -1;
        }
    }
    if (*n > 0)
        qsort(*folders, *n, sizeof **folders, by_name);
    return 0;
}

void store_folders_free(char **folders, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(folders[i]);
    free(folders);
}

void store_verify(struct backup *en, int out)
{
    char path[PATH_MAX], name[300], want[400];
    struct copy_result r;
    struct err e = {0};
    if (en->state == ENTRY_UNREAD && entry_load(en, &e) != 0)
        return mark(en, ENTRY_CORRUPT, e.text);
    if (en->state != ENTRY_COMPLETE)
        return;
    if (files_join(path, sizeof path, en->dir, en->data, &e) != 0)
        return mark(en, ENTRY_CORRUPT, e.text);
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return mark(en, ENTRY_CORRUPT, strerror(errno));
    if (copy_check(fd, path, out, strcmp(en->m.codec, "none") != 0, &r, &e) != 0)
        return mark(en, ENTRY_CORRUPT, e.text);
    if (strcmp(r.stored_sha256, en->m.content.stored_sha256) != 0)
        return mark(en, ENTRY_CORRUPT, "stored bytes differ from the manifest's SHA-256");
    if (r.size != en->m.content.size || strcmp(r.sha256, en->m.content.sha256) != 0)
        return mark(en, ENTRY_CORRUPT, "the snapshot inside differs from the manifest's SHA-256");
    (void)snprintf(name, sizeof name, "%s.sha256", en->data);
    if (files_join(path, sizeof path, en->dir, name, &e) != 0)
        return mark(en, ENTRY_CORRUPT, e.text);
    cleanup_free char *line = files_get(path, 4096, &e);
    (void)snprintf(want, sizeof want, "%s  %s\n", en->m.content.stored_sha256, en->data);
    if (!line)
        mark(en, e.code == ENOENT ? ENTRY_INCOMPLETE : ENTRY_CORRUPT, e.text);
    else if (strcmp(line, want) != 0)
        mark(en, ENTRY_CORRUPT, "the .sha256 file differs from the manifest");
}
