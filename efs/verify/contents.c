#include "efs/verify/contents.h"
#include "common/archive.h"
#include "common/base/cleanup.h"
#include "common/base/text.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 1 << 18, FILES_MAX = 1 << 20, JSON_MAX = 1 << 20, DEEP = 3, PATH_LONGEST = 2048 };

void contents_free(struct contents *c)
{
    for (size_t i = 0; i < c->n; i++)
        free(c->v[i].path);
    free(c->v);
    cJSON_Delete(c->config);
    cJSON_Delete(c->indexes);
    *c = (struct contents){0};
}

struct reading {
    struct backup_reader *bytes;
    struct contents *out;
    EVP_MD_CTX *digest;
    struct err *e;
    char buf[CHUNK];
};

/* How long its name is as a folder, 0 for what is no tar. */
static size_t tar_name(const char *path)
{
    const char *tail = text_ends(path, ".tar") ? ".tar" : text_ends(path, ".snapshot") ? ".snapshot" : NULL;
    return tail ? strlen(path) - strlen(tail) : 0;
}

static int damaged(const struct reading *r, const char *path)
{
    return r->e->text[0] ? -1 : err_set(r->e, 0, "cut short, or no snapshot of Qdrant's:", path, NULL);
}

static int no_memory(const struct reading *r, const char *path)
{
    return err_set(r->e, ENOMEM, "cannot look into", path, NULL);
}

static struct contents_file *add(const struct reading *r, const char *path)
{
    struct contents *c = r->out;
    if (c->n == FILES_MAX)
        return (void)err_set(r->e, 0, "more files than any snapshot has:", path, NULL), NULL;
    if ((c->n & (c->n - 1)) == 0) {
        struct contents_file *v = realloc(c->v, (c->n ? c->n * 2 : 1) * sizeof *v);
        if (!v)
            return (void)no_memory(r, path), NULL;
        c->v = v;
    }
    struct contents_file *f = &c->v[c->n];
    *f = (struct contents_file){.path = strdup(path)};
    if (!f->path)
        return (void)no_memory(r, path), NULL;
    c->n++;
    return f;
}

/* Its size and its hash; and its text, where it is wanted (`json` not NULL). */
static int take_file(struct reading *r, struct archive *a, const char *path, cJSON **json)
{
    struct contents_file *f = add(r, path);
    cleanup_free char *text = json ? calloc(1, JSON_MAX + 1) : NULL;
    la_ssize_t n;
    if (!f || (json && !text) || EVP_DigestInit_ex(r->digest, EVP_sha256(), NULL) != 1)
        return no_memory(r, path);
    while ((n = archive_read_data(a, r->buf, sizeof r->buf)) > 0) {
        if (EVP_DigestUpdate(r->digest, r->buf, (size_t)n) != 1)
            return no_memory(r, path);
        if (text && f->size + (size_t)n <= JSON_MAX)
            memcpy(text + f->size, r->buf, (size_t)n);
        f->size += (uint64_t)n;
    }
    if (n < 0)
        return damaged(r, path);
    if (json && f->size <= JSON_MAX) {
        cJSON_Delete(*json);
        *json = cJSON_Parse(text);
    }
    return EVP_DigestFinal_ex(r->digest, f->sha256, NULL) == 1 ? 0 : no_memory(r, path);
}

struct nested {
    struct archive *outer;
    char buf[CHUNK];
};

static la_ssize_t nested_bytes(struct archive *a, void *arg, const void **out)
{
    struct nested *n = arg;
    (void)a;
    *out = n->buf;
    return archive_read_data(n->outer, n->buf, sizeof n->buf);
}

static int take_tar(struct reading *r, struct archive *a, const char *at, int deep);

static int take_nested(struct reading *r, struct archive *outer, const char *at, int deep)
{
    cleanup_free struct nested *n = calloc(1, sizeof *n);
    cleanup_archive struct archive *a = archive_read_new();
    if (!n || !a)
        return no_memory(r, at);
    n->outer = outer;
    if (archive_read_support_format_tar(a) != ARCHIVE_OK ||
        archive_read_open(a, n, NULL, nested_bytes, NULL) != ARCHIVE_OK)
        return damaged(r, at);
    return take_tar(r, a, at, deep + 1);
}

static cJSON **wanted_json(const struct reading *r, const char *path)
{
    return strcmp(path, "config.json") == 0          ? &r->out->config
           : strcmp(path, "payload_index.json") == 0 ? &r->out->indexes
                                                     : NULL;
}

/* NOLINTNEXTLINE(misc-no-recursion): no deeper than DEEP */
static int take_tar(struct reading *r, struct archive *a, const char *at, int deep)
{
    struct archive_entry *entry;
    int rc;
    while ((rc = archive_read_next_header(a, &entry)) == ARCHIVE_OK) {
        char path[PATH_LONGEST];
        const char *name = archive_entry_pathname(entry);
        while (name && strncmp(name, "./", 2) == 0)
            name += 2;
        if (!name || archive_entry_filetype(entry) != AE_IFREG)
            continue;
        if ((size_t)snprintf(path, sizeof path, "%s%s%s", at, *at ? "/" : "", name) >= sizeof path)
            return damaged(r, name);
        size_t tar = deep < DEEP ? tar_name(path) : 0;
        path[tar ? tar : strlen(path)] = 0;
        if (tar ? take_nested(r, a, path, deep) != 0 : take_file(r, a, path, wanted_json(r, path)) != 0)
            return -1;
    }
    return rc == ARCHIVE_EOF ? 0 : damaged(r, *at ? at : "the tar");
}

static la_ssize_t backup_bytes(struct archive *a, void *arg, const void **out)
{
    struct reading *r = arg;
    ssize_t n = backup_reader_borrow(r->bytes, out, r->e);
    if (n < 0)
        archive_set_error(a, EIO, "%s", r->e->text);
    return n < 0 ? ARCHIVE_FATAL : n;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct contents_file *)a)->path, ((const struct contents_file *)b)->path);
}

/* What follows the tar's end: only then is the whole proven. */
static int to_the_end(struct reading *r)
{
    const void *ignored;
    ssize_t n;
    do
        n = backup_reader_borrow(r->bytes, &ignored, r->e);
    while (n > 0);
    return n < 0 ? -1 : 0;
}

int contents_read(const struct backup *b, const struct copy_watch *watch, struct contents *out, struct err *e)
{
    cleanup_free struct reading *r = calloc(1, sizeof *r);
    cleanup_archive struct archive *a = archive_read_new();
    *out = (struct contents){0};
    *e = (struct err){0};
    if (!r || !a || !(r->digest = EVP_MD_CTX_new()))
        return err_set(e, ENOMEM, "cannot look into", b->data, NULL);
    r->out = out;
    r->e = e;
    r->bytes = backup_reader_open(b, watch, NULL, e);
    int rc = !r->bytes || archive_read_support_format_tar(a) != ARCHIVE_OK ||
                     archive_read_open(a, r, NULL, backup_bytes, NULL) != ARCHIVE_OK
                 ? damaged(r, b->data)
                 : take_tar(r, a, "", 0);
    rc = rc == 0 ? to_the_end(r) : rc;
    backup_reader_close(r->bytes);
    EVP_MD_CTX_free(r->digest);
    if (rc != 0)
        contents_free(out);
    else if (out->n > 1)
        qsort(out->v, out->n, sizeof *out->v, by_path);
    return rc;
}

const char *contents_change_text(enum contents_change c)
{
    static const char *const text[] = {"same", "changed", "new", "gone"};
    return text[c];
}

void contents_compare(const struct contents *a, const struct contents *b, contents_visit *visit, void *arg)
{
    for (size_t i = 0, k = 0; i < a->n || k < b->n;) {
        const struct contents_file *x = i < a->n ? &a->v[i] : NULL, *y = k < b->n ? &b->v[k] : NULL;
        int c = !x ? 1 : !y ? -1 : strcmp(x->path, y->path);
        bool same = c == 0 && x->size == y->size && memcmp(x->sha256, y->sha256, sizeof x->sha256) == 0;
        visit(c < 0   ? CONTENTS_GONE
              : c > 0 ? CONTENTS_NEW
              : same  ? CONTENTS_SAME
                      : CONTENTS_CHANGED,
              c <= 0 ? x : NULL, c >= 0 ? y : NULL, arg);
        i += c <= 0;
        k += c >= 0;
    }
}

size_t contents_part(const char *path)
{
    static const char segments[] = "segments/";
    const char *at = strncmp(path, segments, sizeof segments - 1) == 0 ? path : strstr(path, "/segments/");
    const char *first = strchr(path, '/');
    if (!at)
        return first ? (size_t)(first - path) : 0;
    const char *name = at + (at == path ? 0 : 1) + sizeof segments - 1, *end = strchr(name, '/');
    return end ? (size_t)(end - path) : strlen(path);
}
