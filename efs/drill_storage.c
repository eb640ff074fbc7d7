#include "common/cleanup.h"
#include "common/clock.h"
#include "common/files.h"
#include "efs/drill_internal.h"
#include "efs/restore.h"
#include <archive.h>
#include <archive_entry.h>
#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The file, the snapshots in it once they are unpacked, and what is unpacked of those are there at once. */
enum { DISK_PERCENT = 400, CHUNK = 1 << 17, POLL_MS = 250, CONFIG_MAX = 16 << 20 };

static void json_free(cJSON **j) { cJSON_Delete(*j); }
#define cleanup_json __attribute__((cleanup(json_free)))
static void stream_freep(struct restore_stream **s) { restore_close(*s); }
#define cleanup_stream __attribute__((cleanup(stream_freep)))
static void archive_freep(struct archive **a)
{
    if (*a)
        (void)archive_read_free(*a);
}
#define cleanup_archive __attribute__((cleanup(archive_freep)))

/* --- its file */

/* Scratch: nothing is synced. */
static int copy(struct drill *d, const struct backup *b, const char *path, struct err *e)
{
    char piece[CHUNK];
    cleanup_stream struct restore_stream *s = NULL;
    cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    ssize_t n;
    if (fd < 0)
        return err_set(e, errno, "cannot write", path, NULL);
    s = restore_open(b, &d->o.watch, d->o.stop, e);
    if (!s)
        return -1;
    while ((n = restore_read(s, piece, sizeof piece, e)) > 0)
        for (ssize_t done = 0, k; done < n; done += k)
            if ((k = write(fd, piece + done, (size_t)(n - done))) < 0)
                return err_set(e, errno, "cannot write", path, NULL);
    return n == 0 ? 0 : -1;
}

/* Its config.json: {collections_mapping: {collection: file}}. */
static cJSON *read_config(const char *path, struct err *e)
{
    cleanup_archive struct archive *a = archive_read_new();
    struct archive_entry *entry;
    cJSON *o = NULL;
    if (!a || archive_read_support_format_tar(a) != ARCHIVE_OK ||
        archive_read_open_filename(a, path, CHUNK) != ARCHIVE_OK)
        return (void)err_set(e, 0, "no tar:", path, NULL), NULL;
    while (!o && archive_read_next_header(a, &entry) == ARCHIVE_OK) {
        const char *name = archive_entry_pathname(entry);
        la_int64_t size = archive_entry_size(entry);
        while (name && strncmp(name, "./", 2) == 0)
            name += 2;
        if (!name || strcmp(name, "config.json") != 0 || size <= 0 || size > CONFIG_MAX)
            continue;
        cleanup_free char *text = calloc(1, (size_t)size + 1);
        if (text && archive_read_data(a, text, (size_t)size) == size)
            o = cJSON_Parse(text);
    }
    if (!o)
        (void)err_set(e, 0, "it has no config.json that says which collections are in it", NULL, NULL);
    return o;
}

/* --- what came back */

static bool wait_green(struct drill *d, const char *name, struct drill_report *out)
{
    int64_t end = clock_ms() + drill_green_ms(d);
    char status[16] = "", text[400];
    struct err e = {0};
    for (;;) {
        bool answers = qdrant_status(second_qdrant(d->second), name, status, sizeof status, &e) == 0;
        if (answers && strcmp(status, "green") == 0)
            return true;
        if (!answers || strcmp(status, "red") == 0 || clock_ms() >= end) {
            (void)snprintf(text, sizeof text, "%.200s is %s%.150s", name,
                           answers ? status : "not there: ", answers ? "" : e.text);
            break;
        }
        clock_sleep(POLL_MS);
    }
    if (strcmp(status, "yellow") == 0 || strcmp(status, "grey") == 0) /* it answers, and is being optimized */
        return drill_add(out->note, sizeof out->note, text), true;
    return drill_fail(d, out, text), false;
}

/* The fingerprint of its own newest backup before that one; NULL when there is none. */
static const struct backup *own_backup(const struct entries *list, const char *name, const struct backup *all)
{
    const struct backup *newest = NULL;
    for (size_t i = 0; i < list->n; i++) {
        const struct backup *b = &list->v[i];
        if (b->state == ENTRY_COMPLETE && b->m.source.kind == KIND_COLLECTION && b->m.fingerprint.known &&
            strcmp(b->m.source.collection, name) == 0 &&
            (!*all->m.node || strcmp(b->m.node, all->m.node) == 0) &&
            restore_taken(b) <= restore_taken(all) && (!newest || restore_taken(b) > restore_taken(newest)))
            newest = b;
    }
    return newest;
}

/* A difference proves nothing: it may have been written in between. */
static bool is_known(struct drill *d, const char *name, const struct backup *own)
{
    struct print now;
    char why[FINGERPRINT_TEXT], note[FINGERPRINT_TEXT];
    struct err e = {0};
    return own && own->m.fingerprint.exact &&
           print_take(second_qdrant(d->second), name, own->m.fingerprint.seed, &now, &e) == 0 &&
           fingerprint_fits(&own->m.fingerprint, &now, why, note);
}

static void look(struct drill *d, const struct backup *b, const struct entries *others, const cJSON *mapping,
                 struct drill_report *out)
{
    const cJSON *c;
    size_t n = 0, known = 0;
    int64_t points = 0, sum = 0;
    struct err e = {0};
    char note[300];
    cJSON_ArrayForEach(c, mapping)
    {
        if (!wait_green(d, c->string, out))
            return;
        if (qdrant_count(second_qdrant(d->second), c->string, &points, &e) != 0)
            return drill_fail(d, out, e.text);
        sum += points;
        n++;
        known += is_known(d, c->string, own_backup(others, c->string, b));
    }
    out->found.points = sum;
    out->verdict = n > 0 && known == n ? DRILL_PROVEN : DRILL_PARTLY;
    (void)snprintf(note, sizeof note,
                   out->verdict == DRILL_PROVEN
                       ? "each of its %zu collections is as the fingerprint of its own last backup says"
                       : "%zu collections came back; of them %zu are as the fingerprints of their own last "
                         "backups say, and the others can be counted",
                   n, known);
    drill_add(out->note, sizeof out->note, note);
}

static void run(struct drill *d, const struct backup *b, const struct entries *others,
                struct drill_report *out)
{
    char path[PATH_MAX];
    struct err e = {0};
    if (scratch_empty(&d->scratch, &e) != 0 ||
        files_join(path, sizeof path, d->scratch.path, "all.snapshot", &e) != 0)
        return drill_add(out->why, sizeof out->why, e.text);
    if (copy(d, b, path, &e) != 0)
        return e.code == ENOSPC ? drill_add(out->why, sizeof out->why, e.text) : drill_fail(d, out, e.text);
    cleanup_json cJSON *config = read_config(path, &e);
    const cJSON *mapping = cJSON_GetObjectItemCaseSensitive(config, "collections_mapping");
    if (!cJSON_IsObject(mapping))
        return drill_fail(d, out, *e.text ? e.text : "its config.json has no collections_mapping");
    int64_t begin = clock_ms();
    bool started = drill_start(d, path, out);
    out->restore = (double)(clock_ms() - begin) / 1000;
    if (started && drill_reads(d, b, out))
        look(d, b, others, mapping, out);
}

void drill_storage(struct drill *d, const struct backup *b, const struct entries *others,
                   struct drill_report *out)
{
    int64_t begin = clock_ms();
    *out = (struct drill_report){.verdict = DRILL_REFUSED, .found = {.points = -1}};
    second_stop(d->second); /* it needs one of its own, and so does who comes after it */
    d->second = NULL;
    if (drill_room(d, b, DISK_PERCENT, out))
        run(d, b, others, out);
    second_stop(d->second);
    d->second = NULL;
    out->seconds = (double)(clock_ms() - begin) / 1000;
}
