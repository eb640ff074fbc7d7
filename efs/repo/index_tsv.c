#include "efs/repo/index_tsv.h"
#include "common/base/cleanup.h"
#include "common/base/files.h"
#include "common/base/utc.h"
#include "efs/data/hasher.h"
#include "efs/repo/pin.h"
#include "efs/repo/remove.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX = 64 << 20, NOTE = 8 /* its column */, AHEAD = 600 /* seconds */, REL = NAME_MAX * 2 + 32 };
static const char NAME[] = "index.tsv", FOLDER[] = "index";
static const char HEAD[] = "slot\tfrequency\tnode\tsize\tkind\tbase\tsha256\tpoints\tnote\tfile\n";
static const char SUM[] = "SHA-256 of the lines above: ";

static int dir_of(const char *base, const char *folder, char dir[PATH_MAX], struct err *e)
{
    char rel[REL];
    (void)snprintf(rel, sizeof rel, "%s/%s", FOLDER, folder);
    return files_join(dir, PATH_MAX, base, rel, e);
}

bool index_tsv_due(const char *base, const char *folder)
{
    char dir[PATH_MAX], path[PATH_MAX];
    struct stat st;
    if (dir_of(base, folder, dir, NULL) != 0 || files_join(path, sizeof path, dir, NAME, NULL) != 0)
        return false;
    if (stat(path, &st) != 0)
        return true; /* whoever writes it finds what is wrong */
    time_t age = time(NULL) - st.st_mtime;
    bool ahead = age < -AHEAD; /* what a clock that runs ahead wrote must not stay so */
    return st.st_size < INDEX_TSV_SMALL || age >= INDEX_TSV_AGE || ahead;
}

/* --- the one that is there */

struct row {
    const char *file; /* the last column */
    char *line;       /* the first eight, with the tab behind them */
};
struct rows {
    char *text;    /* the lines themselves, cut up */
    size_t length; /* of these; 0: it cannot be relied on */
    struct row *v;
    size_t n;
};

static void rows_free(struct rows *r)
{
    free(r->text);
    free(r->v);
}
#define cleanup_rows __attribute__((cleanup(rows_free)))

/* The last line, when the ones before it are as they were written: replication may have cut it short, and
 * anyone may have edited it. */
static char *last_line(char *text)
{
    char hex[65];
    size_t n = strlen(text);
    if (n < sizeof HEAD + 64 || text[n - 1] != '\n')
        return NULL;
    char *last = memrchr(text, '\n', n - 1);
    last = last ? last + 1 : text;
    const char *sum = strstr(last, SUM);
    return *last == '#' && sum && hasher_of(text, (size_t)(last - text), hex) &&
                   strncmp(sum + strlen(SUM), hex, 64) == 0
               ? last
               : NULL;
}

/* Cuts the line into the row's two parts: what is noted between them is read again each time. */
static bool cut(char *line, struct row *out)
{
    char *note = line;
    for (int i = 0; i < NOTE; i++) {
        note = strchr(note, '\t');
        if (!note++)
            return false;
    }
    char *file = strchr(note, '\t');
    if (!file)
        return false;
    *out = (struct row){.file = file + 1, .line = line};
    *note = 0;
    return true;
}

static int by_file(const void *a, const void *b)
{
    return strcmp(((const struct row *)a)->file, ((const struct row *)b)->file);
}

/* Takes `text`. One that cannot be relied on has no rows. False without memory. */
static bool rows_parse(char *text, struct rows *out)
{
    *out = (struct rows){.text = text};
    char *end = text ? last_line(text) : NULL;
    if (!end || strncmp(text, HEAD, strlen(HEAD)) != 0)
        return true;
    size_t lines = 0;
    out->length = (size_t)(end - text);
    for (const char *p = text; p < end; p++)
        lines += *p == '\n';
    out->v = calloc(lines + 1, sizeof *out->v);
    if (!out->v)
        return false;
    for (char *at = text + strlen(HEAD); at < end;) {
        char *newline = memchr(at, '\n', (size_t)(end - at));
        *newline = 0; /* the last line before `end` has one, too */
        out->n += cut(at, &out->v[out->n]);
        at = newline + 1;
    }
    qsort(out->v, out->n, sizeof *out->v, by_file);
    return true;
}

static const char *known(const struct rows *r, const char *file)
{
    struct row key = {.file = file};
    const struct row *found = r->n ? bsearch(&key, r->v, r->n, sizeof key, by_file) : NULL;
    return found ? found->line : NULL;
}

/* --- the new one */

/* A name of a file may hold whatever ends a column or a row. */
static void put_text(FILE *out, const char *text)
{
    if (!*text)
        (void)fputc('-', out); /* `read` and `column` take two tabs for one */
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            (void)fprintf(out, "%%%02X", (unsigned char)*p);
        else
            (void)fputc(*p, out);
}

static char *escaped(const char *text)
{
    char *all = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&all, &n);
    if (!out)
        return NULL;
    put_text(out, text);
    return fclose(out) == 0 ? all : (free(all), NULL);
}

static void put_manifest(FILE *out, const struct manifest *m, const char *folder)
{
    char slot[UTC_TEXT], base[PATH_MAX] = "";
    const struct bases *made_of = &m->bases;
    utc_text(m->slot, slot);
    if (made_of->n > 0)
        (void)snprintf(base, sizeof base, "%s/%s/%s", frequency_text(made_of->v[made_of->n - 1].frequency),
                       folder, base_data(made_of, made_of->n - 1));
    (void)fprintf(out, "%s\t%s\t", slot, frequency_text(m->frequency));
    put_text(out, m->node);
    (void)fprintf(out, "\t%" PRIu64 "\t%s\t", m->content.size, kind_text(m->source.kind));
    put_text(out, base);
    (void)fprintf(out, "\t%s\t", m->content.sha256);
    if (m->points >= 0)
        (void)fprintf(out, "%" PRId64 "\t", m->points);
    else
        (void)fputs("-\t", out);
}

/* What it says of itself, read now if it is to be and was not yet. False: nobody can tell what it is. */
static bool size_up(const struct backup *b, struct manifest *m, struct err *e)
{
    struct backup again = {.frequency = b->frequency, .dir = b->dir, .m = {.source = b->m.source}};
    if (b->m.content.sha256[0]) {
        *m = b->m;
        return true;
    }
    if (b->state != ENTRY_UNREAD)
        return false;
    memcpy(again.stem, b->stem, sizeof again.stem);
    int rc = backup_size_up(&again, e);
    free(again.reason);
    *m = again.m;
    return rc == 0 && again.m.content.sha256[0];
}

/* 1: it has one now. -1 only without memory. */
static int put_row(FILE *out, const struct backup *b, const char *folder, const struct rows *old,
                   struct err *e)
{
    char rel[PATH_MAX];
    struct manifest m;
    struct pin pin;
    /* The name of the data as the listing tells it; of data that is not there, as the manifest did. */
    (void)snprintf(rel, sizeof rel, "%s/%s/%s", frequency_text(b->frequency), folder, b->data);
    cleanup_free char *before = escaped(rel);
    if (!before)
        return err_set(e, ENOMEM, "cannot write", NAME, NULL);
    const char *same = b->data[0] ? known(old, before) : NULL;
    if (same) {
        (void)fputs(same, out);
    } else {
        struct err why = {0};
        if (!size_up(b, &m, &why))
            return why.code == ENOMEM ? (*e = why, -1) : 0;
        put_manifest(out, &m, folder);
        (void)snprintf(rel, sizeof rel, "%s/%s/%s", frequency_text(b->frequency), folder, m.data);
    }
    pin_read(b, &pin);
    put_text(out, pin.note);
    (void)fputc('\t', out);
    put_text(out, rel);
    (void)fputc('\n', out);
    return 1;
}

static int put_rows(FILE *out, const struct backup_list *list, const char *folder, const struct rows *old,
                    const atomic_bool *stop, size_t *n, struct err *e)
{
    *n = 0;
    (void)fputs(HEAD, out);
    for (size_t i = 0; i < list->n; i++) { /* oldest first */
        if (!list->v[i].has_manifest)
            continue;
        if (stop && atomic_load(stop))
            return err_set(e, ECANCELED, "stopped writing", NAME, NULL);
        int rc = put_row(out, &list->v[i], folder, old, e);
        if (rc < 0)
            return -1;
        *n += (size_t)rc;
    }
    return 0;
}

/* NULL: without memory, or stopped. */
static char *print(const struct backup_list *list, const char *folder, const struct rows *old,
                   const atomic_bool *stop, size_t *n, struct err *e)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return (void)err_set(e, ENOMEM, "cannot write", NAME, NULL), NULL;
    int rc = put_rows(out, list, folder, old, stop, n, e);
    if (fclose(out) != 0 && rc == 0)
        rc = err_set(e, ENOMEM, "cannot write", NAME, NULL);
    return rc == 0 ? text : (free(text), NULL);
}

/* The rows and, in the last line, how far they may be relied on. */
static char *close_text(const char *rows, size_t n, struct err *e)
{
    char now[UTC_TEXT], hex[65], *all = NULL;
    utc_text(time(NULL), now);
    if (hasher_of(rows, strlen(rows), hex) &&
        asprintf(
            &all,
            "%s# %zu backup%s at %s. It may be two hours late, and decides nothing: the manifests do. %s%s\n",
            rows, n, n == 1 ? "" : "s", now, SUM, hex) > 0)
        return all;
    return (void)err_set(e, ENOMEM, "cannot write", NAME, NULL), NULL;
}

int index_tsv_put(const char *base, const char *folder, const struct backup_list *list,
                  const atomic_bool *stop, struct err *e)
{
    char dir[PATH_MAX], path[PATH_MAX], rel[REL];
    struct err ignored;
    cleanup_rows struct rows old = {0};
    size_t n = 0;
    (void)snprintf(rel, sizeof rel, "%s/%s", FOLDER, folder);
    if (dir_of(base, folder, dir, e) != 0 || files_join(path, sizeof path, dir, NAME, e) != 0)
        return -1;
    cleanup_free char *there = files_get(path, MAX, &ignored);
    if (!rows_parse(there ? strdup(there) : NULL, &old))
        return err_set(e, ENOMEM, "cannot write", path, NULL);
    cleanup_free char *rows = print(list, folder, &old, stop, &n, e);
    if (!rows)
        return -1;
    if (n == 0)
        return index_tsv_remove(base, folder, e);
    if (there && old.length == strlen(rows) && memcmp(there, rows, old.length) == 0)
        return 0; /* EFS replication would carry it for nothing */
    cleanup_free char *text = close_text(rows, n, e);
    if (!text || files_mkdirs(base, rel, e) != 0)
        return -1;
    files_sweep_small(dir);
    return files_put(dir, NAME, text, e);
}

/* --- those that nobody needs */

int index_tsv_remove(const char *base, const char *folder, struct err *e)
{
    char dir[PATH_MAX];
    if (dir_of(base, folder, dir, e) != 0 || remove_file(dir, NAME, "", e) != 0)
        return -1;
    /* A shard's is in it, or somebody's own file: then it stays. */
    if (rmdir(dir) == 0 || errno == ENOENT || errno == ENOTDIR || errno == ENOTEMPTY || errno == EEXIST)
        return 0;
    return err_set(e, errno, "cannot delete", dir, NULL);
}

struct sweep {
    const char *base, *collection; /* NULL: at the top */
    char *const *folders;
    size_t n;
};

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static int sweep_one(const struct dirent *de, void *arg, struct err *e)
{
    const struct sweep *s = arg;
    char folder[NAME_MAX * 2 + 2], dir[PATH_MAX];
    if ((de->d_type != DT_DIR && de->d_type != DT_UNKNOWN) || (s->collection && !name_is_shard(de->d_name)))
        return 0;
    (void)snprintf(folder, sizeof folder, "%s%s%s", s->collection ? s->collection : "",
                   s->collection ? "/" : "", de->d_name);
    const char *key = folder;
    if (s->n > 0 && bsearch(&key, s->folders, s->n, sizeof key, by_name))
        return 0;
    struct sweep below = {.base = s->base, .collection = folder, .folders = s->folders, .n = s->n};
    if (!s->collection &&
        (dir_of(s->base, folder, dir, e) != 0 || files_each(dir, sweep_one, &below, e) != 0))
        return -1;
    return index_tsv_remove(s->base, folder, e);
}

int index_tsv_sweep(const char *base, char *const *folders, size_t n, struct err *e)
{
    char dir[PATH_MAX];
    struct sweep s = {.base = base, .folders = folders, .n = n};
    return files_join(dir, sizeof dir, base, FOLDER, e) != 0 ? -1 : files_each(dir, sweep_one, &s, e);
}
