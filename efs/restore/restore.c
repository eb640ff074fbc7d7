/* By a streamed upload, not by a file that Qdrant would be told to recover from. Measured on 1.18.2 both take
 * the same time and the same room on Qdrant's disk: Qdrant moves the upload into its snapshots folder and
 * unpacks it from there, as it would our file. But an upload also reaches a Qdrant on another machine, needs
 * no rights to its folders, and a half one leaves nothing behind: actix drops it with the connection. */
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/json.h"
#include "efs/verify/archive.h"
#include "efs/restore/version.h"
#include "efs/restore/internal.h"
#include "efs/restore/aliases.h"
#include "efs/restore/shard_keys.h"
#include "qdrant/refusal.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STALE_SECONDS = 3600, DELETE_MS = 120000, PIECE = 1 << 20 };
/* Hidden and without '-': it cannot be the name of any collection's own snapshot, so that no replicator takes
 * it for one. The same for the same bytes: a second try overwrites what a first one left. */
static const char UPLOAD[] = ".restore_", SUFFIX[] = ".snapshot";

enum restore_outcome restore_fail(struct err *e, const char *what, const char *advice)
{
    (void)err_set(e, 0, what, NULL, advice);
    return RESTORE_FAILED;
}

void restore_add(char *text, size_t size, const char *more)
{
    size_t n = strlen(text);
    if (*more)
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
        return restore_fail(e, what, "restore under a collection's own name (--rename)");
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
    if (r->force || r->recreate || points == 0)
        return RESTORE_DONE;
    (void)snprintf(what, sizeof what, "Qdrant has a collection %.255s with %" PRId64 " points, %s%.15s%s",
                   r->target, points, shard ? "of which those of shard " : "which",
                   shard ? b->m.source.shard : "", " would be lost");
    (void)err_set(e, 0, what, NULL,
                  shard ? "--force replaces them"
                        : "--force replaces them, --rename NEW restores beside the collection, --swap beside "
                          "it and switches over");
    return RESTORE_REFUSED;
}

/* Qdrant (1.18.2) restores what a newer version made without a word, and may lose what it does not know. */
static enum restore_outcome compare_versions(const struct restore *r, const struct backup *b,
                                             struct restore_report *out, struct err *e)
{
    char here[32], what[200];
    struct err ignored;
    if (qdrant_version(r->qdrant, here, sizeof here, &ignored) != 0 ||
        qdrant_version_compare(b->m.qdrant_version, here) != QDRANT_VERSION_NEWER)
        return RESTORE_DONE;
    (void)snprintf(what, sizeof what, "the backup is of Qdrant %.31s, and this is the older %.31s",
                   b->m.qdrant_version, here);
    if (r->force || r->any_version)
        return restore_add(out->note, sizeof out->note, what), RESTORE_DONE;
    (void)err_set(e, 0, what, NULL, "restore it into a Qdrant of that version; --force does it all the same");
    return RESTORE_REFUSED;
}

enum restore_outcome restore_look(const struct restore *r, const struct backup *b, struct restore_report *out,
                                  struct err *e)
{
    cleanup_names struct qdrant_names names = {0};
    struct err why = {0};
    *out = (struct restore_report){.points_before = -1, .points = -1, .found.points = -1};
    if (b && b->m.source.kind == KIND_STORAGE)
        return restore_fail(e, "a snapshot of the whole storage can be restored at Qdrant's start alone",
                            "write it to a file with --to");
    if (qdrant_collections(r->qdrant, &names, e) != 0)
        return RESTORE_FAILED;
    if (b && compare_versions(r, b, out, e) != RESTORE_DONE)
        return RESTORE_REFUSED;
    out->existed = qdrant_names_have(&names, r->target);
    if (out->existed && qdrant_count(r->qdrant, r->target, &out->points_before, &why) == 0)
        return would_lose(r, b, out->points_before, e);
    if (out->existed && (r->force || r->recreate) && why.code == QDRANT_ANSWERED)
        return RESTORE_DONE; /* after a death in the middle of a restore Qdrant answers "Dirty shard", and
                                takes it again */
    if (out->existed) {
        if (e)
            *e = why;
        return RESTORE_FAILED;
    }
    if (b && b->m.source.kind == KIND_SHARD)
        return restore_fail(e, "a shard can only be restored into a collection that is there",
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
    restore_add(out->note, sizeof out->note, note);
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
    const struct restore_target_check *check;
    struct backup_reader *stream;
    struct inside *inside;
    const struct inside_says *says; /* once all was read; belongs to `inside` */
    uint64_t sent;
    enum restore_keys keys;       /* KEYS_MAKE: and it must be sent again */
    enum restore_outcome outcome; /* RESTORE_DONE, until one of us objects */
    struct err failed;
};

static bool look_before_the_last(struct sending *s)
{
    s->says = inside_end(s->inside);
    if (s->check->looked)
        return true;
    s->outcome = restore_target_check(s->check, s->says, &s->keys, &s->failed);
    return s->outcome == RESTORE_DONE && s->keys == KEYS_THERE;
}

static ssize_t give(void *arg, void *out, size_t n)
{
    struct sending *s = arg;
    ssize_t got = backup_reader_read(s->stream, out, n, &s->failed);
    if (got < 0)
        s->outcome = s->failed.code == 0 ? RESTORE_DEFECT : RESTORE_FAILED;
    if (got <= 0)
        return got;
    inside_feed(s->inside, out, (size_t)got);
    if (s->sent + (uint64_t)got == s->check->b->m.content.size && !look_before_the_last(s))
        return -1; /* the connection ends, and Qdrant drops what it has */
    s->sent += (uint64_t)got;
    return got;
}

/* Qdrant did not restore it, though it was sent. */
static enum restore_outcome explain(const struct sending *s, const struct qdrant_answer *answer,
                                    struct err *e)
{
    bool content = answer->status > 0 && refusal_of(answer->status, answer->said) == REFUSAL_CONTENT;
    if (e && s->sent == s->check->b->m.content.size && e->code < QDRANT_REFUSED)
        restore_add(e->text, sizeof e->text,
                    "Qdrant got all of it and may go on by itself: look at the collection");
    if (e && strstr(e->text, "not compatible"))
        restore_add(e->text, sizeof e->text, "delete the collection, or restore beside it with --rename");
    return content ? RESTORE_DEFECT : RESTORE_FAILED;
}

static enum restore_outcome upload(const struct restore_target_check *g, struct sending *s,
                                   struct restore_report *out, struct err *e)
{
    char name[64];
    struct err why = {0};
    struct qdrant_answer answer = {0};
    const struct restore *r = g->r;
    bool shard = g->b->m.source.kind == KIND_SHARD;
    upload_name(g->b, name);
    struct qdrant_upload u = {.collection = r->target,
                              .shard = shard ? g->b->m.source.shard : NULL,
                              .name = name,
                              .sha256 = g->b->m.content.sha256,
                              .size = g->b->m.content.size,
                              .placed = r->placed,
                              .read = give,
                              .arg = s,
                              .answer = &answer};
    int rc = qdrant_upload(r->qdrant, &u, r->timeout_ms ? r->timeout_ms : RESTORE_WEEK_MS, &why);
    /* Not while Qdrant may still work with it; a shard's is not kept. */
    if (!shard && s->sent == g->b->m.content.size && (rc == 0 || why.code >= QDRANT_REFUSED))
        tidy(r, name, out);
    if (rc == 0)
        return RESTORE_DONE;
    if (s->keys == KEYS_MAKE && s->outcome == RESTORE_DONE)
        return RESTORE_DONE; /* not sent, and to be sent again */
    if (e)
        *e = s->outcome != RESTORE_DONE ? s->failed : why;
    return s->outcome != RESTORE_DONE ? s->outcome : explain(s, &answer, e);
}

enum restore_outcome restore_pass(const struct restore_target_check *g, struct inside **inside,
                                  struct restore_passed *passed, struct restore_report *out, struct err *e)
{
    const struct restore *r = g->r;
    struct err why = {0};
    cleanup_reader struct backup_reader *stream =
        backup_reader_open_from(r->origin, g->b, &r->watch, r->stop, &why);
    *inside = stream ? inside_new(&why) : NULL;
    if (!*inside && e)
        *e = why;
    if (!*inside)
        return why.code == 0 ? RESTORE_DEFECT : RESTORE_FAILED;
    struct sending s = {.check = g, .stream = stream, .inside = *inside};
    enum restore_outcome outcome = upload(g, &s, out, e);
    *passed = (struct restore_passed){s.keys, s.sent == g->b->m.content.size};
    return outcome;
}

/* Onto nothing Qdrant makes the collection first, and leaves it when it does not like the shards (1.18.2,
 * _do_recover_from_snapshot). Nobody had it before, and it is empty: it is taken away again, so that an older
 * backup finds the place as this one did. */
static void take_away(const struct restore *r, struct err *e)
{
    cleanup_names struct qdrant_names names = {0};
    struct qdrant_ask ask = {.method = "DELETE", .collection = r->target, .path = "", .total_ms = DELETE_MS};
    int64_t points = 0;
    struct err why = {0};
    if (qdrant_collections(r->qdrant, &names, &why) == 0 && !qdrant_names_have(&names, r->target))
        return;
    bool empty =
        qdrant_count(r->qdrant, r->target, &points, &why) == 0 ? points == 0 : why.code == QDRANT_ANSWERED;
    cleanup_json cJSON *gone = empty ? qdrant_ask(r->qdrant, &ask, &why) : NULL;
    if (!gone && e)
        restore_add(e->text, sizeof e->text,
                    "Qdrant has made the collection all the same: look at it, and delete it");
}

/* What is there that was not before is ours alone when Qdrant had all of it and refused it, or when we have
 * made it for its shard keys and sent nothing whole. */
static bool is_ours(enum restore_outcome outcome, bool made, bool all)
{
    return outcome == RESTORE_DEFECT ? made || all : outcome != RESTORE_DONE && made && !all;
}

static enum restore_outcome into_one(struct restore_target_check *g, struct inside **inside,
                                     struct restore_passed *passed, struct restore_report *out, struct err *e)
{
    enum restore_outcome outcome = restore_pass(g, inside, passed, out, e);
    if (outcome != RESTORE_DONE || passed->keys != KEYS_MAKE)
        return outcome;
    if (shard_keys_make(g->r->qdrant, g->r->target, inside_end(*inside), e) != 0)
        return RESTORE_FAILED;
    inside_free(*inside);
    *inside = NULL;
    g->made = true;
    return restore_pass(g, inside, passed, out, e);
}

static enum restore_outcome send_all(const struct restore *r, const struct backup *b, struct inside **inside,
                                     struct restore_report *out, struct err *e)
{
    struct restore_target_check g = {.r = r, .b = b, .seen = out};
    struct restore_passed passed = {0};
    enum restore_outcome outcome = (r->spread ? restore_spread : into_one)(&g, inside, &passed, out, e);
    const struct inside_says *says = *inside ? inside_end(*inside) : NULL;
    out->at_start_alone = passed.keys == KEYS_IMPOSSIBLE;
    out->some_shards = says && says->config && says->local < says->shards;
    if (!out->existed && b->m.source.kind != KIND_SHARD && is_ours(outcome, g.made, passed.all))
        take_away(r, e);
    return outcome;
}

/* --- a proof without a change */

enum restore_outcome restore_survey(const struct restore *r, const struct backup *b, struct inside **inside,
                                    struct err *e)
{
    struct err why = {0};
    ssize_t n = -1;
    cleanup_free char *buf = malloc(PIECE);
    cleanup_reader struct backup_reader *s =
        buf ? backup_reader_open_from(r->origin, b, &r->watch, r->stop, &why) : NULL;
    *inside = s ? inside_new(&why) : NULL;
    while (*inside && (n = backup_reader_read(s, buf, PIECE, &why)) > 0)
        inside_feed(*inside, buf, (size_t)n);
    if (*inside && n == 0)
        return RESTORE_DONE;
    if (!buf)
        (void)err_set(&why, ENOMEM, "cannot read", b->data, NULL);
    if (e)
        *e = why;
    return why.code == 0 ? RESTORE_DEFECT : RESTORE_FAILED;
}

static enum restore_outcome prove_and_compare(const struct restore *r, const struct backup *b,
                                              const struct restore_report *seen, struct err *e)
{
    cleanup_inside struct inside *inside = NULL;
    struct restore_target_check g = {.r = r, .b = b, .seen = seen};
    cleanup_plan struct key_plan plan = {0};
    enum restore_keys keys = KEYS_THERE;
    enum restore_outcome outcome = restore_survey(r, b, &inside, e);
    if (outcome == RESTORE_DONE)
        outcome = restore_target_check(&g, inside_end(inside), &keys, e);
    if (outcome == RESTORE_DONE && keys == KEYS_MAKE &&
        key_plan_make(inside_end(inside)->keys, &plan, e) != 0)
        return RESTORE_REFUSED;
    return outcome == RESTORE_DONE && (r->recreate || r->whole) ? restore_deep(r, b, e) : outcome;
}

enum restore_outcome restore_deep(const struct restore *r, const struct backup *b, struct err *e)
{
    char why[400], what[500];
    struct err bad = {0};
    if (b->m.source.kind != KIND_COLLECTION)
        return RESTORE_DONE;
    int rc = archive_prove(b, r->origin, r->stop, why, sizeof why, &bad);
    if (rc == 0)
        return RESTORE_DONE;
    (void)snprintf(what, sizeof what, "its bytes are what the manifest says, and no snapshot: %s", why);
    if (rc > 0)
        (void)err_set(&bad, 0, what, NULL, NULL);
    if (e)
        *e = bad;
    return rc > 0 ? RESTORE_DEFECT : RESTORE_FAILED;
}

enum restore_outcome restore_rehearse(const struct restore *r, const struct backup *b,
                                      struct restore_report *out, struct err *e)
{
    struct err why = {0}, bad = {0};
    enum restore_outcome outcome = restore_look(r, b, out, &why), good = prove_and_compare(r, b, out, &bad);
    bool first = outcome != RESTORE_DONE && good != RESTORE_DEFECT;
    if (e)
        *e = first ? why : bad;
    return first ? outcome : good;
}

/* --- all of it */

/* Deleting a collection deletes its aliases, also those that are younger than the backup. */
static enum restore_outcome delete_proven(const struct restore *r, const struct backup *b,
                                          struct restore_report *out, struct aliases *had, struct err *e)
{
    struct qdrant_ask ask = {.method = "DELETE", .collection = r->target, .path = "", .total_ms = DELETE_MS};
    struct err why = {0};
    enum restore_outcome outcome = prove_and_compare(r, b, out, e);
    if (outcome != RESTORE_DONE)
        return outcome;
    if (aliases_take(r->qdrant, r->target, had, &why) != 0 && why.code != QDRANT_ANSWERED) {
        if (e)
            *e = why;
        return RESTORE_FAILED;
    }
    cleanup_json cJSON *gone = qdrant_ask(r->qdrant, &ask, e);
    if (!gone)
        return RESTORE_FAILED;
    restore_add(out->note, sizeof out->note, "the collection that was there was deleted");
    return RESTORE_DONE;
}

static enum restore_outcome anew(const struct restore *r, const struct backup *b, struct inside **inside,
                                 struct restore_report *out, struct err *e)
{
    struct aliases had = {0};
    struct restore_report gone = *out;
    char note[300];
    enum restore_outcome outcome = delete_proven(r, b, out, &had, e);
    if (outcome != RESTORE_DONE)
        return outcome;
    gone.existed = false;
    gone.note[0] = 0; /* it is in `out` */
    outcome = send_all(r, b, inside, &gone, e);
    restore_add(out->note, sizeof out->note, gone.note);
    if (outcome != RESTORE_DONE && e)
        restore_add(e->text, sizeof e->text,
                    "the collection was deleted for it (--recreate): restore it again");
    struct err ignored;
    if (outcome == RESTORE_DONE &&
        restore_aliases(r->qdrant, r->target, &had, note, sizeof note, &ignored) != 0)
        restore_add(out->note, sizeof out->note, "its younger aliases did not come back");
    return outcome;
}

static enum restore_outcome run(const struct restore *r, const struct backup *b, struct restore_report *out,
                                struct err *e)
{
    cleanup_inside struct inside *inside = NULL;
    enum restore_outcome outcome = restore_look(r, b, out, e);
    if (outcome != RESTORE_DONE)
        return outcome;
    if (out->existed && !r->recreate)
        sweep(r, out);
    if (out->existed)
        restore_remember(r, r->target, out);
    bool whole = b->m.source.kind == KIND_COLLECTION;
    outcome =
        out->existed && r->recreate && whole ? anew(r, b, &inside, out, e) : send_all(r, b, &inside, out, e);
    return outcome == RESTORE_DONE ? restore_judge(r, b, inside_end(inside), out, e) : outcome;
}

enum restore_outcome restore_run(const struct restore *r, const struct backup *b, struct restore_report *out,
                                 struct err *e)
{
    static const enum verdict none[] = {[RESTORE_DEFECT] = VERDICT_DEFECT,
                                        [RESTORE_REFUSED] = VERDICT_REFUSED,
                                        [RESTORE_FAILED] = VERDICT_FAILED};
    struct err why = {0};
    enum restore_outcome outcome = run(r, b, out, &why);
    if (outcome != RESTORE_DONE && out->verdict == VERDICT_UNKNOWN) {
        out->verdict = none[outcome];
        (void)snprintf(out->why, sizeof out->why, "%s", why.text);
    }
    if (outcome != RESTORE_DONE && e)
        *e = why;
    return outcome;
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
    if (qdrant_recover(r->qdrant, r->target, location, sha256,
                       r->timeout_ms ? r->timeout_ms : RESTORE_WEEK_MS, e) != 0) {
        if (e)
            hide_query(e->text, location);
        return RESTORE_FAILED;
    }
    if (out->existed)
        restore_add(out->note, sizeof out->note, "the collection keeps the configuration that it had");
    return restore_judge(r, NULL, NULL, out, e);
}
