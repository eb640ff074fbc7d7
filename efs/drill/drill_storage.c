#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/files.h"
#include "common/archive.h"
#include "common/json.h"
#include "efs/drill/internal.h"
#include "efs/restore/restore.h"
#include "efs/restore/storage_tar.h"
#include "efs/restore/verdict.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The file, the snapshots in it once they are unpacked, and what is unpacked of those are there at once. */
enum { TRIES = 2, DISK_PERCENT = 400, CHUNK = 1 << 17, POLL_MS = 250 };

/* --- its file */

/* Scratch: nothing is synced. */
static int copy(struct drill *d, const struct backup *b, const char *path, struct err *e)
{
    char piece[CHUNK];
    cleanup_reader struct backup_reader *s = NULL;
    cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    ssize_t n;
    if (fd < 0)
        return err_set(e, errno, "cannot write", path, NULL);
    s = backup_reader_open(b, &d->o.watch, d->o.stop, e);
    if (!s)
        return -1;
    while ((n = backup_reader_read(s, piece, sizeof piece, e)) > 0)
        for (ssize_t done = 0, k; done < n; done += k)
            if ((k = write(fd, piece + done, (size_t)(n - done))) < 0)
                return err_set(e, errno, "cannot write", path, NULL);
    return n == 0 ? 0 : -1;
}

/* Its config.json; NULL with `e`: there is none, or it names what the second Qdrant, which takes it as it is,
 * must not be told. */
static cJSON *read_config(const char *path, struct err *e)
{
    cleanup_archive struct archive *a = archive_read_new();
    cJSON *o = NULL;
    if (!a || archive_read_support_format_tar(a) != ARCHIVE_OK ||
        archive_read_open_filename(a, path, CHUNK) != ARCHIVE_OK)
        return (void)err_set(e, 0, "no tar:", path, NULL), NULL;
    if (storage_tar_judge(a, &o, e) == 0 && !o)
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
        bool answers = qdrant_status(scratch_qdrant_qdrant(d->second), name, status, sizeof status, &e) == 0;
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

/* 1: it is what its own backup had; 0: not proven, and `why` says so. A difference proves nothing, since it
 * may have been written in between. -1: it cannot be read. */
static int is_known(struct drill *d, const char *name, const struct backup *own, int64_t points,
                    char why[VERDICT_TEXT], struct err *e)
{
    struct content_digest now;
    (void)snprintf(why, VERDICT_TEXT, "it has no backup of its own with a fingerprint");
    if (!own)
        return 0;
    struct verdict_was was = verdict_was(own);
    struct fingerprint_plan plan = own->m.fingerprint.plan;
    if (content_digest_take(scratch_qdrant_qdrant(d->second), name, &plan, &now, e) != 0)
        return -1;
    struct verdict_is is = {.points = points, .status = "", .fingerprint = &now};
    return verdict_of(&was, &is, why) == VERDICT_EQUAL;
}

/* Where the backups of its collections are found. */
struct own {
    drill_own *of;
    void *arg;
};

static void look(struct drill *d, const struct backup *b, const struct own *own, const cJSON *mapping,
                 struct drill_report *out)
{
    const cJSON *c;
    size_t n = 0, known = 0;
    int64_t points = 0, sum = 0;
    struct err e = {0};
    char note[900], why[VERDICT_TEXT], first[VERDICT_TEXT] = "";
    cJSON_ArrayForEach(c, mapping)
    {
        if (!wait_green(d, c->string, out))
            return;
        if (qdrant_count(scratch_qdrant_qdrant(d->second), c->string, &points, &e) != 0)
            return drill_fail(d, out, e.text);
        sum += points;
        n++;
        int same = is_known(d, c->string, own->of(b, c->string, own->arg), points, why, &e);
        if (same < 0)
            return drill_fail(d, out, e.text);
        known += (size_t)same;
        if (!same && !*first)
            (void)snprintf(first, sizeof first, "%.255s: %.400s", c->string, why);
    }
    out->found.points = sum;
    out->verdict = n > 0 && known == n ? DRILL_PROVEN : DRILL_PARTLY;
    (void)snprintf(note, sizeof note,
                   out->verdict == DRILL_PROVEN
                       ? "each of its %zu collections is as the fingerprint of its own last backup says"
                       : "%zu collections came back; of them %zu are as the fingerprints of their own last "
                         "backups say, and the others can be counted%s%s",
                   n, known, *first ? "; " : "", first);
    drill_add(out->note, sizeof out->note, note);
}

static void run(struct drill *d, const struct backup *b, const struct own *own, struct drill_report *out)
{
    char path[PATH_MAX];
    struct err e = {0};
    if (scratch_empty(&d->scratch, &e) != 0 ||
        files_join(path, sizeof path, d->scratch.path, "all.snapshot", &e) != 0)
        return drill_add(out->why, sizeof out->why, e.text);
    if (copy(d, b, path, &e) != 0)
        return e.code == ENOSPC ? drill_add(out->why, sizeof out->why, e.text) : drill_fail(d, out, e.text);
    cleanup_json cJSON *config = read_config(path, &e);
    const cJSON *mapping = json_member(config, "collections_mapping");
    if (!config)
        return drill_fail(d, out, e.text);
    int64_t begin = clock_ms();
    bool started = drill_start(d, path, out);
    out->restore = (double)(clock_ms() - begin) / 1000;
    if (started && drill_reads(d, b, out))
        look(d, b, own, mapping, out);
}

void drill_storage(struct drill *d, const struct backup *b, drill_own *own, void *arg,
                   struct drill_report *out)
{
    const struct own owns = {own, arg};
    int64_t begin = clock_ms();
    scratch_qdrant_stop(d->second); /* it needs one of its own, and so does who comes after it */
    d->second = NULL;
    for (int i = 0; i < TRIES; i++) { /* somebody may have taken its port meanwhile */
        *out = (struct drill_report){.verdict = DRILL_REFUSED, .found = {.points = -1}};
        if (drill_room(d, b, DISK_PERCENT, out))
            run(d, b, &owns, out);
        scratch_qdrant_stop(d->second);
        d->second = NULL;
        if (out->verdict != DRILL_FAILED || (d->o.stop && atomic_load(d->o.stop)))
            break;
    }
    out->seconds = (double)(clock_ms() - begin) / 1000;
}
