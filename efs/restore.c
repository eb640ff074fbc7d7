/* By a streamed upload, not by a file that Qdrant would be told to recover from. Measured on 1.18.2 both take
 * the same time and the same room on Qdrant's disk: Qdrant moves the upload into its snapshots folder and
 * unpacks it from there, as it would our file. But an upload also reaches a Qdrant on another machine, needs
 * no rights to its folders, and a half one leaves nothing behind: actix drops it with the connection. */
#include "efs/restore.h"
#include "common/clock.h"
#include "efs/release.h"
#include "efs/restore_alias.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WEEK_MS = 7 * 86400 * 1000, POLL_MS = 250, POLL_MAX_MS = 2000, STALE_SECONDS = 3600 };
/* Hidden and without '-': it cannot be the name of any collection's own snapshot, so that no replicator takes
 * it for one. The same for the same bytes: a second try overwrites what a first one left. */
static const char UPLOAD[] = ".restore_", SUFFIX[] = ".snapshot";

static void stream_freep(struct restore_stream **s) { restore_close(*s); }
#define cleanup_stream __attribute__((cleanup(stream_freep)))

static enum restore_outcome failed(struct err *e, const char *what, const char *advice)
{
    (void)err_set(e, 0, what, NULL, advice);
    return RESTORE_FAILED;
}

static void add(char *text, size_t size, const char *more)
{
    size_t n = strlen(text);
    (void)snprintf(text + n, size - n, "%s%s", n ? "; " : "", more);
}

/* --- what is there now */

/* Deleting and replacing by an alias would hit another collection than the one that was named. */
static enum restore_outcome not_listed(const struct restore *r, struct err *e)
{
    char status[16], what[400];
    struct err why = {0};
    if (qdrant_status(r->qdrant, r->target, status, sizeof status, &why) == 0) {
        (void)snprintf(what, sizeof what, "%.255s is an alias in Qdrant", r->target);
        return failed(e, what, "restore under a collection's own name (--rename)");
    }
    if (why.code == QDRANT_MISSING)
        return RESTORE_DONE;
    if (e)
        *e = why;
    return RESTORE_FAILED;
}

static enum restore_outcome would_lose(const struct restore *r, const struct backup *b, int64_t points,
                                       struct err *e)
{
    char what[600];
    bool shard = b && b->m.source.kind == KIND_SHARD;
    if (r->force || points == 0)
        return RESTORE_DONE;
    (void)snprintf(what, sizeof what, "Qdrant has a collection %.255s with %" PRId64 " points, %s%.15s%s",
                   r->target, points, shard ? "of which those of shard " : "which",
                   shard ? b->m.source.shard : "", " would be lost");
    (void)err_set(e, 0, what, NULL,
                  shard ? "--force replaces them"
                        : "--force replaces them, --rename NEW restores beside the collection");
    return RESTORE_REFUSED;
}

/* Qdrant (1.18.2) restores what a newer version made without a word, and may lose what it does not know. */
static enum restore_outcome compare_versions(const struct restore *r, const struct backup *b,
                                             struct restore_report *out, struct err *e)
{
    char here[32], what[200];
    struct err ignored;
    if (qdrant_version(r->qdrant, here, sizeof here, &ignored) != 0 ||
        release_compare(b->m.qdrant_version, here) != RELEASE_NEWER)
        return RESTORE_DONE;
    (void)snprintf(what, sizeof what, "the backup is of Qdrant %.31s, and this is the older %.31s",
                   b->m.qdrant_version, here);
    if (r->force || r->any_version)
        return add(out->note, sizeof out->note, what), RESTORE_DONE;
    (void)err_set(e, 0, what, NULL, "restore it into a Qdrant of that version; --force does it all the same");
    return RESTORE_REFUSED;
}

enum restore_outcome restore_look(const struct restore *r, const struct backup *b, struct restore_report *out,
                                  struct err *e)
{
    cleanup_names struct qdrant_names names = {0};
    struct err why = {0};
    *out = (struct restore_report){.points_before = -1, .points = -1};
    if (b && b->m.source.kind == KIND_STORAGE)
        return failed(e, "a snapshot of the whole storage can be restored at Qdrant's start alone",
                      "write it to a file with --to");
    if (qdrant_collections(r->qdrant, &names, e) != 0)
        return RESTORE_FAILED;
    if (b && compare_versions(r, b, out, e) != RESTORE_DONE)
        return RESTORE_REFUSED;
    out->existed = qdrant_names_have(&names, r->target);
    if (out->existed && qdrant_count(r->qdrant, r->target, &out->points_before, &why) == 0)
        return would_lose(r, b, out->points_before, e);
    if (out->existed && r->force && why.code == QDRANT_ANSWERED)
        return RESTORE_DONE; /* after a death in the middle of a restore Qdrant answers "Dirty shard", and
                                takes it again */
    if (out->existed) {
        if (e)
            *e = why;
        return RESTORE_FAILED;
    }
    if (b && b->m.source.kind == KIND_SHARD)
        return failed(e, "a shard can only be restored into a collection that is there",
                      "restore the collection first, or create it");
    return not_listed(r, e);
}

/* --- the upload, and what is left of it */

static void upload_name(const struct backup *b, char out[64])
{
    (void)snprintf(out, 64, "%s%.24s%s", UPLOAD, b->m.content.sha256, SUFFIX);
}

/* Of this upload, or of one that was killed. The API lists and deletes by collection, which may not be there
 * when the restore failed; the route for snapshots of the whole storage takes any path below its folder. */
static void tidy(const struct restore *r, const char *name, struct restore_report *out)
{
    char path[600], note[700];
    (void)snprintf(path, sizeof path, "%.255s/%.255s", r->target, name);
    long status = qdrant_snapshot_delete(r->qdrant, r->target, NULL, name);
    if (status == 404)
        status = qdrant_snapshot_delete(r->qdrant, NULL, NULL, path);
    if (status == 200 || status == 404)
        return;
    (void)snprintf(note, sizeof note, "Qdrant still has the upload in its snapshots folder as %s: delete it",
                   path);
    add(out->note, sizeof out->note, note);
}

static void sweep(const struct restore *r, struct restore_report *out)
{
    cleanup_snapshots struct qdrant_snapshots list = {0};
    struct err ignored;
    if (qdrant_snapshots(r->qdrant, r->target, &list, &ignored) != 0)
        return; /* what comes next will say why */
    for (size_t i = 0; i < list.n; i++)
        if (strncmp(list.v[i].name, UPLOAD, sizeof UPLOAD - 1) == 0 && list.v[i].created > 0 &&
            list.v[i].created < time(NULL) - STALE_SECONDS) /* a younger one may be in use */
            tidy(r, list.v[i].name, out);
}

struct sending {
    struct restore_stream *stream;
    uint64_t sent;
    struct err failed;
};

static ssize_t give(void *arg, void *out, size_t n)
{
    struct sending *s = arg;
    ssize_t got = restore_read(s->stream, out, n, &s->failed);
    s->sent += got > 0 ? (uint64_t)got : 0;
    return got;
}

static enum restore_outcome explain(const struct backup *b, const struct sending *s, struct err *e)
{
    if (s->failed.text[0]) {
        if (e)
            *e = s->failed;
        return s->failed.code == 0 ? RESTORE_DEFECT : RESTORE_FAILED;
    }
    if (e && s->sent == b->m.content.size && e->code < QDRANT_REFUSED)
        add(e->text, sizeof e->text, "Qdrant got all of it and may go on by itself: look at the collection");
    if (e && strstr(e->text, "not compatible"))
        add(e->text, sizeof e->text, "delete the collection, or restore beside it with --rename");
    return RESTORE_FAILED;
}

static enum restore_outcome upload(const struct restore *r, const struct backup *b,
                                   struct restore_report *out, struct err *e)
{
    char name[64];
    struct err why = {0};
    cleanup_stream struct restore_stream *stream = restore_open_from(r->origin, b, &r->watch, r->stop, e);
    struct sending s = {.stream = stream};
    bool shard = b->m.source.kind == KIND_SHARD;
    if (!stream)
        return RESTORE_FAILED;
    upload_name(b, name);
    struct qdrant_upload u = {.collection = r->target,
                              .shard = shard ? b->m.source.shard : NULL,
                              .name = name,
                              .sha256 = b->m.content.sha256,
                              .size = b->m.content.size,
                              .read = give,
                              .arg = &s};
    int rc = qdrant_upload(r->qdrant, &u, r->timeout_ms ? r->timeout_ms : WEEK_MS, &why);
    /* Not while Qdrant may still work with it; a shard's is not kept. */
    if (!shard && s.sent == b->m.content.size && (rc == 0 || why.code >= QDRANT_REFUSED))
        tidy(r, name, out);
    if (rc == 0)
        return RESTORE_DONE;
    if (e)
        *e = why;
    return explain(b, &s, e);
}

/* --- afterwards */

static bool stopped(const struct restore *r) { return r->stop && atomic_load(r->stop); }

/* Yellow at the end of the time is no failure: all points are there and answered from, and optimizing may go
 * on for hours. */
static enum restore_outcome wait_green(const struct restore *r, struct restore_report *out, struct err *e)
{
    int64_t end = clock_ms() + r->green_ms, pause = POLL_MS;
    struct err why = {0};
    char note[200];
    for (;;) {
        bool answers = qdrant_status(r->qdrant, r->target, out->status, sizeof out->status, &why) == 0;
        if (answers && strcmp(out->status, "green") == 0)
            return RESTORE_DONE;
        if (answers && strcmp(out->status, "red") == 0)
            return failed(e, "restored, but Qdrant calls the collection red", "its log says why");
        if (stopped(r))
            return failed(e, "restored; stopped waiting for the collection to be green", NULL);
        if (clock_ms() >= end && answers) {
            (void)snprintf(note, sizeof note, "the collection is %.15s, not green, after %" PRId64 " seconds",
                           out->status, (int64_t)r->green_ms / 1000);
            return add(out->note, sizeof out->note, note), RESTORE_DONE;
        }
        if (clock_ms() >= end) {
            add(why.text, sizeof why.text, "restored, but the collection does not answer");
            return e ? (*e = why, RESTORE_FAILED) : RESTORE_FAILED;
        }
        clock_sleep(pause);
        pause = pause * 2 < POLL_MAX_MS ? pause * 2 : POLL_MAX_MS;
    }
}

static enum restore_outcome look_after(const struct restore *r, int64_t expected, struct restore_report *out,
                                       struct err *e)
{
    char note[200];
    enum restore_outcome outcome = wait_green(r, out, e);
    if (outcome != RESTORE_DONE || qdrant_count(r->qdrant, r->target, &out->points, e) != 0)
        return RESTORE_FAILED;
    if (expected >= 0 && out->points != expected) {
        (void)snprintf(
            note, sizeof note,
            "%" PRId64 " points now; the manifest says %" PRId64
            ", counted over the whole cluster when the backup was copied, a moment after the snapshot",
            out->points, expected);
        add(out->note, sizeof out->note, note);
    }
    return RESTORE_DONE;
}

static enum restore_outcome put_aliases(const struct restore *r, const struct backup *b,
                                        struct restore_report *out, struct err *e)
{
    char note[sizeof out->note];
    if (!r->aliases || b->m.source.kind != KIND_COLLECTION)
        return RESTORE_DONE;
    if (restore_aliases(r->qdrant, r->target, &b->m.aliases, note, sizeof note, e) != 0) {
        if (e)
            add(e->text, sizeof e->text, "the points are restored, the aliases are not");
        return RESTORE_FAILED;
    }
    if (*note)
        add(out->note, sizeof out->note, note);
    return RESTORE_DONE;
}

enum restore_outcome restore_run(const struct restore *r, const struct backup *b, struct restore_report *out,
                                 struct err *e)
{
    enum restore_outcome outcome = restore_look(r, b, out, e);
    if (outcome != RESTORE_DONE)
        return outcome;
    if (out->existed)
        sweep(r, out);
    outcome = upload(r, b, out, e);
    if (outcome != RESTORE_DONE)
        return outcome;
    outcome = look_after(r, b->m.source.kind == KIND_COLLECTION ? b->m.points : -1, out, e);
    return outcome == RESTORE_DONE ? put_aliases(r, b, out, e) : outcome;
}

/* A location may be signed: its query is as good as a key. What Qdrant said may be cut off in the middle of
 * it. */
static void hide_query(char *text, const char *location)
{
    char head[17];
    const char *query = strchr(location, '?');
    (void)snprintf(head, sizeof head, "%s", query ? query + 1 : "");
    for (char *p = text; *head && (p = strstr(p, head));) {
        size_t n = strcspn(p, " )\"'");
        memmove(p, p + n, strlen(p + n) + 1);
    }
}

enum restore_outcome restore_from(const struct restore *r, const char *location, const char *sha256,
                                  struct restore_report *out, struct err *e)
{
    enum restore_outcome outcome = restore_look(r, NULL, out, e);
    if (outcome != RESTORE_DONE)
        return outcome;
    if (qdrant_recover(r->qdrant, r->target, location, sha256, r->timeout_ms ? r->timeout_ms : WEEK_MS, e) !=
        0) {
        if (e)
            hide_query(e->text, location);
        return RESTORE_FAILED;
    }
    return look_after(r, -1, out, e);
}
