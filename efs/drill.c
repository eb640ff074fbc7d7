#include "efs/drill.h"
#include "common/clock.h"
#include "efs/restore.h"
#include "efs/room.h"
#include "efs/scratch.h"
#include "efs/second.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a drill takes, as measured on 1.18.2. Memory: Qdrant maps vectors and payloads, and an index that it
 * builds is smaller than they are. Disk: the upload and what is unpacked of it are there at the same time,
 * and for a moment each segment's own archive, too; the write-ahead log of a shard is 64 MiB of holes in the
 * snapshot, but not on the disk. */
enum { START_MS = 60000, GREEN_MS = 600000, DELETE_MS = 60000, MEMORY_BASE_MIB = 256, DISK_BASE_MIB = 256 };
enum { MEMORY_PERCENT = 130, DISK_PERCENT = 300 };

struct drill {
    struct drill_options o;
    struct scratch scratch;
    struct second *second; /* NULL: none runs */
};

const char *drill_verdict_text(enum drill_verdict v)
{
    static const char *const text[] = {"proven", "partly_proven", "failed", "refused"};
    return text[v];
}

struct drill *drill_open(const struct drill_options *o, struct err *e)
{
    struct drill *d = calloc(1, sizeof *d);
    if (!d)
        return (void)err_set(e, ENOMEM, "cannot begin a drill", NULL, NULL), NULL;
    d->o = *o;
    if (scratch_open(o->place, &d->scratch, e) == 0)
        return d;
    free(d);
    return NULL;
}

int drill_close(struct drill *d, struct err *e)
{
    if (!d)
        return 0;
    second_stop(d->second);
    int rc = scratch_close(&d->scratch, e);
    free(d);
    return rc;
}

static void add(char *text, size_t size, const char *more)
{
    size_t n = strlen(text);
    if (*more)
        (void)snprintf(text + n, size - n, "%s%s", n ? "; " : "", more);
}

static uint64_t need(uint64_t size, unsigned percent, unsigned base_mib)
{
    uint64_t base = (uint64_t)base_mib << 20;
    return size > UINT64_MAX / percent ? UINT64_MAX : size / 100 * percent + base;
}

static bool lacks(struct drill_report *out, const char *what, uint64_t needed, uint64_t there)
{
    char text[300];
    if (there >= needed)
        return false;
    (void)snprintf(text, sizeof text, "it takes about %" PRIu64 " MiB of %s, and %" PRIu64 " MiB can be had",
                   needed >> 20, what, there >> 20);
    add(out->why, sizeof out->why, text);
    return true;
}

static bool room(const struct drill *d, const struct backup *b, struct drill_report *out)
{
    uint64_t size = b->m.content.size;
    bool memory = lacks(out, "memory", need(size, MEMORY_PERCENT, MEMORY_BASE_MIB), room_memory());
    bool disk = lacks(out, "disk", need(size, DISK_PERCENT, DISK_BASE_MIB), room_disk(d->scratch.path));
    if (disk)
        add(out->why, sizeof out->why, "DRILL_DIR names another place");
    return !memory && !disk;
}

static bool start(struct drill *d, struct drill_report *out)
{
    struct err e = {0};
    struct second_options o = {.program = d->o.program,
                               .dir = d->scratch.path,
                               .start_ms = d->o.timeout_ms < START_MS ? d->o.timeout_ms : START_MS,
                               .stop = d->o.stop};
    if (!d->second && scratch_empty(&d->scratch, &e) == 0)
        d->second = second_start(&o, &e);
    if (!d->second) {
        add(out->why, sizeof out->why, e.text);
        /* Without a Qdrant to start, nothing is said about the backup. */
        bool tried = e.code == 0 || e.code == ETIMEDOUT, stopped = d->o.stop && atomic_load(d->o.stop);
        out->verdict = tried && !stopped ? DRILL_FAILED : DRILL_REFUSED;
        return false;
    }
    (void)snprintf(out->engine, sizeof out->engine, "%s", second_version(d->second));
    return true;
}

static void fail(struct drill *d, struct drill_report *out, const char *why)
{
    char ended[600];
    bool stopped = d->o.stop && atomic_load(d->o.stop);
    out->verdict = stopped ? DRILL_REFUSED : DRILL_FAILED;
    add(out->why, sizeof out->why, stopped ? "stopped" : why);
    if (!stopped && second_ended(d->second, ended, sizeof ended))
        add(out->why, sizeof out->why, ended);
}

/* As Qdrant (1.18.2) says it of a snapshot that lacks some of the collection's shards. */
static const char PARTIAL[] = "in local mode with missing data at shard";

static bool refuse(struct drill_report *out, const char *why)
{
    out->verdict = DRILL_REFUSED;
    add(out->why, sizeof out->why, why);
    return false;
}

/* Its own count was taken when the copy began: with a fingerprint there is a better one. */
static bool restore(struct drill *d, const struct backup *b, struct drill_report *out)
{
    struct backup one = *b;
    struct restore_report told;
    struct err e = {0};
    struct restore r = {.qdrant = second_qdrant(d->second),
                        .target = b->m.source.collection,
                        .timeout_ms = d->o.timeout_ms,
                        .green_ms = d->o.timeout_ms < GREEN_MS ? d->o.timeout_ms : GREEN_MS,
                        .watch = d->o.watch,
                        .stop = d->o.stop};
    int64_t begin = clock_ms();
    if (one.m.fingerprint.known)
        one.m.points = -1;
    enum restore_outcome outcome = restore_run(&r, &one, &told, &e);
    out->restore = (double)(clock_ms() - begin) / 1000;
    add(out->note, sizeof out->note, told.note);
    if (outcome == RESTORE_DONE)
        return out->found.points = told.points, true;
    if (strstr(e.text, PARTIAL))
        return refuse(
            out, "it holds only the shards of one node of a cluster, which a Qdrant alone does not restore");
    fail(d, out, e.text);
    return false;
}

static void compare(struct drill *d, const struct backup *b, struct drill_report *out)
{
    const struct fingerprint *f = &b->m.fingerprint;
    char why[FINGERPRINT_TEXT], note[FINGERPRINT_TEXT];
    struct err e = {0};
    if (!f->known) {
        out->verdict = DRILL_PARTLY;
        add(out->note, sizeof out->note,
            "its manifest has no fingerprint: that the points are the ones that were there is not proven");
        return;
    }
    if (print_take(second_qdrant(d->second), b->m.source.collection, f->seed, &out->found, &e) != 0) {
        fail(d, out, *e.text ? e.text : "it came back with shards missing");
        return;
    }
    if (!fingerprint_fits(f, &out->found, why, note))
        fail(d, out, why);
    add(out->note, sizeof out->note, note);
}

/* A Qdrant that does not let go of one is not asked to take the next. */
static void clear(struct drill *d, const struct backup *b, bool good)
{
    struct qdrant_ask ask = {
        .method = "DELETE", .collection = b->m.source.collection, .path = "", .total_ms = DELETE_MS};
    struct err e = {0};
    struct cJSON *reply = good ? qdrant_ask(second_qdrant(d->second), &ask, &e) : NULL;
    if (!reply) {
        second_stop(d->second);
        d->second = NULL;
    }
    cJSON_Delete(reply);
}

void drill_run(struct drill *d, const struct backup *b, struct drill_report *out)
{
    int64_t begin = clock_ms();
    *out = (struct drill_report){.verdict = DRILL_REFUSED, .found = {.points = -1}};
    if (room(d, b, out) && start(d, out)) {
        out->verdict = DRILL_PROVEN;
        if (restore(d, b, out))
            compare(d, b, out);
        clear(d, b, out->verdict == DRILL_PROVEN || out->verdict == DRILL_PARTLY);
    }
    out->seconds = (double)(clock_ms() - begin) / 1000;
}
