#include "efs/drill/drill.h"
#include "common/base/clock.h"
#include "common/base/files.h"
#include "efs/drill/internal.h"
#include "efs/restore/version.h"
#include "efs/restore/internal.h"
#include "efs/drill/resources.h"
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
enum { MEMORY_PERCENT = 130, DISK_PERCENT = 300, AT_START_PERCENT = 400 };

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

void drill_abandon(const char *place)
{
    scratch_qdrant_abandon();
    scratch_abandon(place);
}

int drill_close(struct drill *d, struct err *e)
{
    if (!d)
        return 0;
    scratch_qdrant_stop(d->second);
    int rc = scratch_close(&d->scratch, e);
    free(d);
    return rc;
}

void drill_add(char *text, size_t size, const char *more)
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

static uint64_t but(uint64_t all, uint64_t kept) { return all > kept ? all - kept : 0; }

static bool lacks(struct drill_report *out, const char *what, uint64_t needed, uint64_t there)
{
    char text[300];
    if (there >= needed)
        return false;
    (void)snprintf(text, sizeof text, "it takes about %" PRIu64 " MiB of %s, and %" PRIu64 " MiB can be had",
                   needed >> 20, what, there >> 20);
    drill_add(out->why, sizeof out->why, text);
    return true;
}

bool drill_room(const struct drill *d, const struct backup *b, unsigned disk_percent,
                struct drill_report *out)
{
    uint64_t size = b->m.content.size;
    struct err ignored;
    if (!d->second) /* what a failed one has left takes no room from this one; it is emptied again, and told
                     */
        (void)scratch_empty(&d->scratch, &ignored);
    bool memory = lacks(out, "memory", need(size, MEMORY_PERCENT, MEMORY_BASE_MIB), resources_memory());
    uint64_t kept = resources_shared(d->scratch.path, d->o.beside) ? d->o.min_free : 0;
    bool disk = lacks(out, kept ? "disk beside what MIN_FREE keeps for Qdrant" : "disk",
                      need(size, disk_percent, DISK_BASE_MIB), but(resources_disk(d->scratch.path), kept));
    if (disk)
        drill_add(out->why, sizeof out->why, "DRILL_DIR names another place");
    return !memory && !disk;
}

bool drill_start(struct drill *d, const char *all, struct drill_report *out)
{
    struct err e = {0};
    struct scratch_qdrant_options o = {.program = d->o.program,
                                       .dir = d->scratch.path,
                                       .all = all,
                                       .start_ms =
                                           d->o.timeout_ms < START_MS || all ? d->o.timeout_ms : START_MS,
                                       .unconfined = d->o.unconfined,
                                       .stop = d->o.stop};
    if (!d->second && (all || scratch_empty(&d->scratch, &e) == 0))
        d->second = scratch_qdrant_start(&o, &e);
    if (!d->second) {
        drill_add(out->why, sizeof out->why, e.text);
        /* Without a Qdrant to start, nothing is said about the backup. */
        bool tried = e.code == 0 || e.code == ETIMEDOUT, stopped = d->o.stop && atomic_load(d->o.stop);
        out->verdict = tried && !stopped ? DRILL_FAILED : DRILL_REFUSED;
        return false;
    }
    (void)snprintf(out->engine, sizeof out->engine, "%s", scratch_qdrant_version(d->second));
    return true;
}

void drill_fail(struct drill *d, struct drill_report *out, const char *why)
{
    char ended[600];
    bool stopped = d->o.stop && atomic_load(d->o.stop);
    out->verdict = stopped ? DRILL_REFUSED : DRILL_FAILED;
    drill_add(out->why, sizeof out->why, stopped ? "stopped" : why);
    if (!stopped && d->second && scratch_qdrant_ended(d->second, ended, sizeof ended))
        drill_add(out->why, sizeof out->why, ended);
}

/* As Qdrant (1.18.2) says it of a snapshot that lacks some of the collection's shards. */
static const char
    PARTIAL[] = "in local mode with missing data at shard",
    SOME[] =
        "it holds only the shards of one node of a cluster, which a Qdrant alone does not restore; drill "
        "--set proves those of all nodes together";

static bool refuse(struct drill_report *out, const char *why)
{
    out->verdict = DRILL_REFUSED;
    drill_add(out->why, sizeof out->why, why);
    return false;
}

long drill_green_ms(const struct drill *d) { return d->o.timeout_ms < GREEN_MS ? d->o.timeout_ms : GREEN_MS; }

static struct restore into(const struct drill *d, const struct backup *b)
{
    return (struct restore){.qdrant = scratch_qdrant_qdrant(d->second),
                            .target = b->m.source.collection,
                            .force = b->m.source.kind == KIND_SHARD, /* into what was just put there for it */
                            .timeout_ms = d->o.timeout_ms,
                            .green_ms = drill_green_ms(d),
                            .watch = d->o.watch,
                            .origin = d->set ? d->set->origin : NULL,
                            .stop = d->o.stop};
}

/* Custom sharding, which a Qdrant without a cluster takes at its start alone. */
static enum restore_outcome at_start(struct drill *d, const struct backup *b, struct drill_report *out,
                                     struct restore_report *told, struct err *e)
{
    char path[PATH_MAX];
    const struct restore_reading how = {
        .origin = d->set ? d->set->origin : NULL, .watch = d->o.watch, .stop = d->o.stop};
    scratch_qdrant_stop(d->second);
    d->second = NULL;
    d->once = true;
    if (scratch_empty(&d->scratch, e) != 0 ||
        files_join(path, sizeof path, d->scratch.path, "all.snapshot", e) != 0)
        return RESTORE_FAILED;
    enum restore_outcome outcome = restore_to_storage(b, path, false, &how, e);
    if (outcome != RESTORE_DONE)
        return outcome;
    if (!drill_start(d, path, out))
        return RESTORE_REFUSED; /* `out` says why */
    struct restore r = into(d, b);
    *told = (struct restore_report){.points_before = -1, .points = -1, .found.points = -1};
    return restore_judge(&r, b, NULL, told, e);
}

static bool judge(struct drill_report *out, const struct restore_report *told)
{
    out->found = told->found;
    out->found.points = told->points;
    out->verdict = told->verdict == VERDICT_EQUAL ? DRILL_PROVEN : DRILL_PARTLY;
    if (out->verdict == DRILL_PARTLY)
        drill_add(out->note, sizeof out->note, told->why);
    return true;
}

static bool restore(struct drill *d, const struct backup *b, struct drill_report *out)
{
    struct restore_report told;
    struct err e = {0};
    struct restore r = into(d, b);
    int64_t begin = clock_ms();
    enum restore_outcome outcome = restore_run(&r, b, &told, &e);
    if (told.at_start_alone && told.some_shards)
        return refuse(out, SOME);
    if (told.at_start_alone && drill_room(d, b, AT_START_PERCENT, out))
        outcome = at_start(d, b, out, &told, &e);
    out->restore += (double)(clock_ms() - begin) / 1000;
    drill_add(out->note, sizeof out->note, told.note);
    if (outcome == RESTORE_DONE)
        return judge(out, &told);
    if (*out->why) /* that is said */
        return false;
    if (strstr(e.text, PARTIAL))
        return refuse(out, SOME);
    out->found.points = told.points;
    out->defect = outcome == RESTORE_DEFECT;
    drill_fail(d, out, told.verdict > VERDICT_PARTLY && told.points >= 0 ? told.why : e.text);
    return false;
}

/* Qdrant (1.18.2) itself does not object: the version.info in a snapshot has the version of a format, 0.4.2
 * for years, and is only looked at when a disk is loaded. What it does not know it may ignore, and so lose.
 */
bool drill_reads(const struct drill *d, const struct backup *b, struct drill_report *out)
{
    char text[400];
    const char *here = scratch_qdrant_version(d->second);
    enum qdrant_version_order order = qdrant_version_compare(b->m.qdrant_version, here);
    if (order == QDRANT_VERSION_NEWER_PATCH) {
        (void)snprintf(text, sizeof text, "it was made by Qdrant %.31s, and the drill's is the older %.31s",
                       b->m.qdrant_version, here);
        drill_add(out->note, sizeof out->note, text);
    }
    if (order != QDRANT_VERSION_NEWER)
        return true;
    (void)snprintf(
        text, sizeof text,
        "it was made by Qdrant %.31s, and the drill's is the older %.31s, which is not made to read "
        "it: drill with the Qdrant that made it (QDRANT_BIN), and never restore it into an older one",
        b->m.qdrant_version, here);
    out->verdict = DRILL_FAILED;
    drill_add(out->why, sizeof out->why, text);
    return false;
}

/* A Qdrant that does not let go of one is not asked to take the next. */
static void clear(struct drill *d, const struct backup *b, bool good)
{
    struct qdrant_ask ask = {
        .method = "DELETE", .collection = b->m.source.collection, .path = "", .total_ms = DELETE_MS};
    struct err e = {0};
    struct cJSON *reply = good ? qdrant_ask(scratch_qdrant_qdrant(d->second), &ask, &e) : NULL;
    if (!reply) {
        scratch_qdrant_stop(d->second);
        d->second = NULL;
    }
    cJSON_Delete(reply);
}

/* What its collection brought is not told of it. */
static bool restore_shard(struct drill *d, const struct backup *shard, struct drill_report *out)
{
    *out->note = 0;
    return restore(d, shard, out);
}

static bool count_set(struct drill *d, const struct backup *b, struct drill_report *out)
{
    char why[200];
    struct err e = {0};
    int rc = d->set->count(scratch_qdrant_qdrant(d->second), b->m.source.collection, d->set->arg, why, &e);
    if (rc > 0)
        return true;
    drill_fail(d, out, rc < 0 ? e.text : why);
    return false;
}

static void run(struct drill *d, const struct backup *collection, const struct backup *shard,
                struct drill_report *out)
{
    int64_t begin = clock_ms();
    const struct backup *b = shard ? shard : collection;
    if (drill_room(d, collection, DISK_PERCENT, out) && drill_start(d, NULL, out) && drill_reads(d, b, out)) {
        bool good = restore(d, collection, out) && (!shard || restore_shard(d, shard, out)) &&
                    (!d->set || count_set(d, b, out));
        clear(d, b, good && !d->once);
        d->once = false;
    }
    out->seconds = (double)(clock_ms() - begin) / 1000;
}

static const struct drill_report untried = {.verdict = DRILL_REFUSED, .found = {.points = -1}};

void drill_run(struct drill *d, const struct backup *b, struct drill_report *out)
{
    *out = untried;
    run(d, b, NULL, out);
}

void drill_set(struct drill *d, const struct backup *b, const struct drill_set *set, struct drill_report *out)
{
    *out = untried;
    d->set = set;
    run(d, b, NULL, out);
    d->set = NULL;
}

struct qdrant *drill_hold(struct drill *d, const struct backup *b, const struct restore_origin *origin,
                          struct drill_report *out)
{
    const struct drill_set from = {.origin = origin};
    *out = untried;
    d->set = &from;
    bool good = drill_room(d, b, DISK_PERCENT, out) && drill_start(d, NULL, out) && drill_reads(d, b, out) &&
                restore(d, b, out);
    d->set = NULL;
    return good ? scratch_qdrant_qdrant(d->second) : NULL;
}

void drill_shard(struct drill *d, const struct backup *b, const struct backup *collection,
                 struct drill_report *out)
{
    *out = untried;
    if (collection)
        run(d, collection, b, out);
    else
        (void)refuse(out, "a shard is restored into its collection, of which there is no good backup");
}
