#include "replicator/restore/restore_on_empty.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/log.h"
#include "common/base/storage_state.h"
#include "replicator/core/worker.h"
#include "common/base/utc.h"
#include "replicator/restore/batch.h"
#include "replicator/restore/plan.h"
#include "replicator/restore/record.h"
#include "replicator/status/state.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    PAUSE_FIRST_MS = 1000,
    PAUSE_MAX_MS = 30000,
    QDRANT_PAUSE_MS = 1000,
    SAY_AGAIN_MS = 300000,
    TRIES = 8,          /* to read one backup, a minute and a half, while EFS is there */
    KILLS_OF_ONE = 2,   /* a backup that has killed Qdrant so often is passed over */
    KILLS = 6,          /* a collection that has killed it so often has failed: memory, most likely */
    AGAIN_MS = 300000,  /* a restore that has failed looks for what a person has mended meanwhile */
    SEEN_MS = 30000,    /* for Qdrant to show what was restored, once it answers */
    DISK_PERCENT = 300, /* of a snapshot's size: the file, what is unpacked of it, and its collection */
    COLLECTION_BYTES =
        64 << 20,         /* what Qdrant allocates for a collection, however few points it has: its WAL */
    LOST_SECONDS = 86400, /* so long health tells what did not come back */
    SAID_ALIKE = 80,
    BUSY = STATUS_WORKERS - 1,
};
enum step {
    STEP_ON,
    STEP_WAIT, /* what is missing may come */
    STEP_OVER,
};
typedef enum step task(struct restore_on_empty *b);

struct restore_on_empty {
    struct context *x;
    task *next;
    struct stage stage;
    struct marker marker;
    struct restore_roots trees;
    struct restore_history history;
    struct tombstones deleted;
    char own[PATH_MAX];    /* EFS_ROOT's tree */
    unsigned were_deleted; /* collections that were deleted on purpose */
    unsigned other_nodes;  /* collections that only other nodes have backups of */
    bool starting;         /* it was told that Qdrant starts */
    bool noted;            /* that there is only one tree, was said */
    int64_t pause, said_at, seen_until;
    char said[sizeof((struct err *)0)->text];
    struct worker_thread worker;
};

/* --- what is told */

static unsigned dealt_with(const struct restore_on_empty *b)
{
    return (unsigned)(marker_count(&b->marker, PART_STAGED) + marker_count(&b->marker, PART_SKIPPED));
}

static void tell(const struct restore_on_empty *b, enum status_restoring state, const char *reason)
{
    status_restore(b->x->status, state, reason, dealt_with(b), (unsigned)b->marker.n, time(NULL));
}

/* Something is not there. Said when it is news, and again from time to time. */
static enum step wait_for(struct restore_on_empty *b, enum log_level level, const struct err *why,
                          int64_t pause_max)
{
    int64_t now = clock_ms();
    tell(b, STATUS_RESTORE_WAITING, why->text);
    /* Only the beginning: Qdrant's replies end with the time that they took. */
    if (strncmp(b->said, why->text, SAID_ALIKE) != 0 || now - b->said_at >= SAY_AGAIN_MS) {
        log_line(level, "boot_restore_waiting",
                 "the restore of this empty disk waits, and the node is not healthy: %s", why->text);
        (void)snprintf(b->said, sizeof b->said, "%s", why->text);
        b->said_at = now;
        b->pause = 0;
    }
    b->pause = b->pause ? b->pause * 2 : PAUSE_FIRST_MS;
    if (b->pause > pause_max)
        b->pause = pause_max;
    return STEP_WAIT;
}

static enum step wait_efs(struct restore_on_empty *b, const struct err *why)
{
    return atomic_load(&b->x->stop) ? STEP_WAIT : wait_for(b, LOG_ERROR, why, PAUSE_MAX_MS);
}

static int save(struct restore_on_empty *b, struct err *e)
{
    return marker_save(b->stage.storage, &b->marker, e);
}

static cJSON *about(const struct marker_part *p, const char *snapshot)
{
    cJSON *f = cJSON_CreateObject();
    if (!f)
        return NULL;
    (void)cJSON_AddStringToObject(f, "collection", p->collection); /* what finds no memory is left out */
    if (snapshot)
        (void)cJSON_AddStringToObject(f, "snapshot", snapshot);
    if (p->points >= 0)
        (void)cJSON_AddNumberToObject(f, "points", (double)p->points);
    if (p->from)
        (void)cJSON_AddStringToObject(f, "from", p->from);
    return f;
}

/* What did not come back as it should, for a person; empty: all did. */
static void what_is_lost(const struct marker *m, char *out, size_t size)
{
    size_t n = 0;
    *out = 0;
    for (size_t i = 0; i < m->n; i++)
        if (m->v[i].why && m->v[i].state != PART_SKIPPED && n < size)
            n += (size_t)snprintf(out + n, size - n, "%s%s: %s", n ? "; " : "", m->v[i].collection,
                                  m->v[i].why);
}

/* --- the end */

static task decide, plan, restore, recorded, seen;

/* Also when the marker cannot be written: a node that has all its data must not be held back for that. */
static enum step finish(struct restore_on_empty *b, const char *event, const char *text)
{
    struct err e = {0};
    char lost[600] = "";
    struct marker *m = &b->marker;
    bool noted = m->state == MARKER_DONE && m->recorded;
    m->state = MARKER_DONE;
    m->recorded = true;
    m->ended = m->ended ? m->ended : time(NULL);
    if (!noted && save(b, &e) != 0)
        log_line(LOG_WARN, "boot_restore_not_noted", "%s; after a restart it is looked at anew", e.text);
    if (time(NULL) - m->ended < LOST_SECONDS)
        what_is_lost(m, lost, sizeof lost);
    tell(b, m->restored ? STATUS_RESTORE_DONE : STATUS_RESTORE_NOT_NEEDED, lost);
    if (event)
        log_line(LOG_INFO, event, "%s", text);
    atomic_store(&b->x->restore_pending, false);
    return STEP_OVER;
}

static int open_gate(struct restore_on_empty *b, struct err *e)
{
    static const char line[] = "open\n";
    struct context *x = b->x;
    if (x->gate == GATE_CLOSED && write(x->gate_fd, line, sizeof line - 1) != (ssize_t)sizeof line - 1)
        return err_set(e, errno, "cannot tell qdrant-entrypoint to start Qdrant", NULL, NULL);
    x->gate = GATE_OPEN;
    return 0;
}

/* There is nothing to restore, or it is not for us to restore. */
static enum step let_in(struct restore_on_empty *b, const char *text)
{
    struct err e = {0};
    marker_free(&b->marker);
    b->marker.state = MARKER_DONE;
    b->marker.recorded = true;
    (void)snprintf(b->marker.setting, sizeof b->marker.setting, "%s", b->x->options.restore_setting);
    if (mkdir(b->stage.storage, 0755) != 0 && errno != EEXIST) /* Qdrant will say why it cannot be */
        (void)err_set(&e, errno, "cannot make", b->stage.storage, NULL);
    if (save(b, &e) != 0)
        log_line(LOG_WARN, "boot_restore_not_noted", "%s; after a restart it is looked at anew", e.text);
    (void)stage_remove(&b->stage, &e); /* nobody minds */
    if (open_gate(b, &e) != 0)
        return wait_efs(b, &e);
    return finish(b, "boot_restore_not_needed", text);
}

static enum step give_up(struct restore_on_empty *b, const struct err *why)
{
    tell(b, STATUS_RESTORE_FAILED, why->text);
    if (strncmp(b->said, why->text, SAID_ALIKE) != 0)
        log_line(LOG_ERROR, "boot_restore_failed",
                 "%s. Qdrant is not started, no snapshots are made and none pruned. It is tried again every "
                 "five minutes",
                 why->text);
    (void)snprintf(b->said, sizeof b->said, "%s", why->text);
    b->pause = AGAIN_MS;
    b->next = plan;
    return STEP_WAIT;
}

/* --- what this disk is */

static enum step was_let_in(struct restore_on_empty *b)
{
    struct err e = {0};
    if (marker_load(b->stage.storage, &b->marker, &e) != 0)
        log_line(LOG_WARN, "boot_restore_not_noted", "%s", e.text);
    if (b->marker.state != MARKER_DONE)
        return let_in(b, "Qdrant's storage has collections: nothing is restored");
    if (b->marker.restored && !b->marker.recorded) {
        b->next = recorded;
        return STEP_ON;
    }
    return finish(b, "boot_restore_not_needed", "this disk was dealt with before");
}

static enum step held_back(struct restore_on_empty *b)
{
    struct err e = {0};
    int has = storage_has_collections(b->stage.storage);
    if (has < 0) {
        (void)err_set(&e, errno, "cannot look into Qdrant's storage:", b->stage.storage, "check who owns it");
        return wait_efs(b, &e);
    }
    if (restore_plan_on_efs(&b->x->settings, b->stage.storage)) {
        (void)err_set(&e, 0, "Qdrant's storage is on EFS or another NFS, which Qdrant does not support:",
                      b->stage.storage, "put it on the task's own disk, and mount EFS beside it");
        return give_up(b, &e);
    }
    if (marker_load(b->stage.storage, &b->marker, &e) != 0) {
        log_line(LOG_WARN, "boot_restore_not_noted", "%s: the restore begins anew", e.text);
        marker_free(&b->marker);
    }
    if (b->marker.state == MARKER_DONE)
        marker_free(&b->marker); /* of a storage that is gone */
    bool moved = b->marker.state == MARKER_COMMITTING && stage_is_moved(&b->stage);
    if (has && !moved)
        return let_in(
            b, "Qdrant's storage has collections that are not of this restore: they are left as they are");
    b->next = b->marker.state == MARKER_COMMITTING ? seen : plan;
    return STEP_ON;
}

static enum step decide(struct restore_on_empty *b)
{
    struct err e = {0};
    marker_free(&b->marker);
    switch (b->x->gate) {
    case GATE_OPEN: return was_let_in(b);
    case GATE_CLOSED: return held_back(b);
    default:
        (void)err_set(&e, 0,
                      "RESTORE_ON_EMPTY works below qdrant-entrypoint alone, which holds Qdrant back until "
                      "all is there",
                      NULL, "start qdrant-entrypoint instead of qdrant-replicator, or unset it");
        tell(b, STATUS_RESTORE_FAILED, e.text);
        log_line(LOG_ERROR, "boot_restore_failed", "%s. Backups are made all the same", e.text);
        atomic_store(&b->x->restore_pending, false);
        return STEP_OVER;
    }
}

/* --- the plan */

/* Takes those of `some`. */
static bool add_tombstones(struct tombstones *to, struct tombstones *some)
{
    struct tombstone *grown = some->n > 0 ? realloc(to->v, (to->n + some->n) * sizeof *grown) : to->v;
    bool good = grown || some->n == 0;
    if (good && some->n > 0) {
        memcpy(grown + to->n, some->v, some->n * sizeof *grown);
        to->v = grown;
        to->n += some->n;
    }
    tombstones_free(some);
    return good;
}

/* Of this node, in its own tree: what the other Region's node has deleted arrives there with its tree. One
 * that cannot be made out hides none of the others, and what it may say of is brought back. */
static int read_tombstones_of(struct restore_on_empty *b, const char *tree, struct err *e)
{
    struct tombstones some = {0};
    if (tombstones_load(tree, b->x->settings.node, &some, e) != 0)
        return -1;
    if (some.unreadable > 0)
        log_line(LOG_WARN, "boot_restore_folder",
                 "%zu tombstones cannot be made out, and their collections come back: %s", some.unreadable,
                 some.why);
    return add_tombstones(&b->deleted, &some)
               ? 0
               : err_set(e, ENOMEM, "cannot read the tombstones in", tree, NULL);
}

static int read_past_of(struct restore_on_empty *b, const char *tree, struct err *e)
{
    bool own = strcmp(tree, b->own) == 0;
    return restore_history_read(&b->history, tree, own, b->x->settings.node, e) == 0
               ? read_tombstones_of(b, tree, e)
               : -1;
}

/* Of the own tree also when it has no backup any more: what was forgotten there must not come back from the
 * other. */
static int read_past(struct restore_on_empty *b, struct err *e)
{
    bool own = false;
    restore_history_free(&b->history);
    tombstones_free(&b->deleted);
    b->deleted = (struct tombstones){0};
    for (size_t i = 0; i < b->trees.n; i++) {
        own = own || strcmp(b->trees.base[i], b->own) == 0;
        if (read_past_of(b, b->trees.base[i], e) != 0)
            return -1;
    }
    return own ? 0 : read_past_of(b, b->own, e);
}

static enum plan_outcome look_for_trees(struct restore_on_empty *b, struct marker *out, struct err *e)
{
    const struct context *x = b->x;
    status_busy(x->status, BUSY, "look for backups to restore", time(NULL));
    enum plan_outcome outcome = restore_plan(&x->settings, x->options.restore_from, &b->trees, out, e);
    if (outcome == PLAN_FOUND && read_past(b, e) != 0)
        outcome = PLAN_LATER;
    status_busy(x->status, BUSY, NULL, time(NULL));
    if (outcome == PLAN_FOUND && *b->trees.note && !b->noted)
        log_line(LOG_WARN, "boot_restore_source", "%s", b->trees.note);
    b->noted = outcome == PLAN_FOUND;
    return outcome;
}

static struct marker_part *part_of(struct marker *m, const char *collection)
{
    for (size_t i = 0; i < m->n; i++)
        if (strcmp(m->v[i].collection, collection) == 0)
            return &m->v[i];
    return NULL;
}

/* What an earlier try knows goes on: what is staged, and what must not be tried again. A part that failed
 * gets a new chance. */
static void take_over(struct marker *fresh, struct marker *before)
{
    for (size_t i = 0; i < before->n; i++) {
        struct marker_part *was = &before->v[i], *now = part_of(fresh, was->collection), empty = *was;
        bool chance = was->state == PART_FAILED;
        if (!now || chance)
            continue;
        *was = *now;
        *now = empty;
        if (now->state != PART_STAGED)
            now->state = PART_WAITING;
    }
    fresh->alone = before->alone;
}

static void set_wish(struct restore_on_empty *b, struct marker *m)
{
    const struct options *o = &b->x->options;
    bool obeyed = o->restore_at && restore_history_obeyed(&b->history, o->restore_setting);
    m->state = MARKER_RESTORING;
    m->at = obeyed ? 0 : o->restore_at;
    (void)snprintf(m->setting, sizeof m->setting, "%s", o->restore_setting);
    if (obeyed)
        log_line(LOG_WARN, "boot_restore_time_obeyed",
                 "RESTORE_ON_EMPTY=%s was obeyed by this node before (%s/%s/): the newest backups count; set "
                 "it to latest",
                 o->restore_setting, b->own, history_restores.name);
}

static void say_started(const struct restore_on_empty *b)
{
    const struct restore_roots *t = &b->trees;
    char when[32] = "";
    size_t staged = marker_count(&b->marker, PART_STAGED);
    if (b->marker.at)
        utc_text(b->marker.at, when);
    log_line(LOG_INFO, "boot_restore_started",
             "the disk is empty: %zu collections come back from %s%s%s%s%s; %zu of them are staged already, "
             "and Qdrant "
             "is held back until all are",
             b->marker.n, t->base[0], t->n > 1 ? " and " : "", t->n > 1 ? t->base[1] : "",
             *when ? " as of " : "", when, staged);
}

static enum step start_anew(struct restore_on_empty *b, struct marker *fresh)
{
    struct err e = {0};
    bool same = strcmp(b->marker.setting, b->x->options.restore_setting) == 0;
    set_wish(b, fresh);
    if (same)
        take_over(fresh, &b->marker);
    marker_free(&b->marker);
    b->marker = *fresh;
    *fresh = (struct marker){0};
    b->other_nodes = b->were_deleted = 0;
    if (stage_open(&b->stage, &b->marker, &e) != 0 || save(b, &e) != 0)
        return wait_efs(b, &e);
    tell(b, STATUS_RESTORING, "");
    say_started(b);
    b->next = restore;
    return STEP_ON;
}

static enum step start_empty(struct restore_on_empty *b)
{
    if (!*b->trees.note)
        return let_in(
            b, "the disk is empty, and so is EFS: there are no backups yet, and the node starts empty");
    log_line(LOG_WARN, "boot_restore_not_needed", "%s", b->trees.note);
    return let_in(b, "there is nothing to restore from");
}

static enum step plan(struct restore_on_empty *b)
{
    cleanup_marker struct marker fresh = {0};
    struct err e = {0};
    switch (look_for_trees(b, &fresh, &e)) {
    case PLAN_FOUND: return start_anew(b, &fresh);
    case PLAN_EMPTY: return start_empty(b);
    case PLAN_NEVER: return give_up(b, &e);
    default: return wait_efs(b, &e);
    }
}

/* --- what goes into the next start of the staging Qdrant */

static void part_is(struct marker_part *p, enum part_state state, const char *why)
{
    p->state = state;
    if (!marker_set(&p->why, why && *why ? why : NULL))
        log_line(LOG_ERROR, "internal", "no memory to note why %s is not restored", p->collection);
}

static void failed(struct marker_part *p, const char *why)
{
    part_is(p, PART_FAILED, why);
    log_fields(LOG_ERROR, "boot_restore_failed", about(p, NULL), "%s is not restored: %s", p->collection,
               why);
}

static void skipped(struct marker_part *p, const char *why)
{
    part_is(p, PART_SKIPPED, why);
    log_fields(LOG_INFO, "boot_restore_skipped", about(p, NULL), "%s is not restored: %s", p->collection,
               why);
}

static void pass_over(struct marker_part *p, const char *key, const char *snapshot, const char *why)
{
    char text[1400];
    if (!marker_pass(p, key))
        log_line(LOG_ERROR, "internal", "no memory to note that %s is passed over", snapshot);
    (void)snprintf(text, sizeof text, "%s was passed over (%s)", snapshot, why);
    (void)(!p->why && marker_set(&p->why, text)); /* the first one says how much is lost */
    log_fields(LOG_ERROR, "boot_restore_passed_over", about(p, snapshot),
               "%s is passed over (%s); the next older backup is taken", snapshot, why);
}

/* Of a collection that is staged, or that is in this batch by a backup with that alias. */
static bool is_alias(const struct restore_on_empty *b, const struct batch *batch, const char *collection)
{
    for (size_t i = 0; i < b->marker.n; i++)
        for (size_t k = 0; b->marker.v[i].state == PART_STAGED && k < b->marker.v[i].n_aliases; k++)
            if (strcmp(b->marker.v[i].aliases[k], collection) == 0)
                return true;
    for (size_t i = 0; i < batch->n; i++) {
        const struct aliases *a = &batch->v[i].choice.list.v[batch->v[i].chosen].m.aliases;
        for (const char *name = NULL; (name = aliases_next(a, name));)
            if (strcmp(name, collection) == 0)
                return true;
    }
    return false;
}

static void works(void *arg)
{
    struct restore_on_empty *b = arg;
    status_restore_works(b->x->status, time(NULL));
}
static void read_on(size_t n, void *arg)
{
    (void)n;
    works(arg);
}

/* Would Qdrant have room for it beside what is in this batch? */
static bool has_room(const struct restore_on_empty *b, const struct batch *batch, uint64_t size, char *why,
                     size_t n)
{
    uint64_t need = size / 100 * DISK_PERCENT + COLLECTION_BYTES + b->x->options.min_free,
             room = stage_room(&b->stage);
    for (size_t i = 0; i + 1 < batch->n; i++) /* their files are written, what comes of them is not */
        need += batch->v[i].choice.list.v[batch->v[i].chosen].m.content.size / 100 * (DISK_PERCENT - 100) +
                COLLECTION_BYTES;
    if (need <= room)
        return true;
    (void)snprintf(why, n,
                   "the local disk has no room for it: it needs %" PRIu64 " MiB, and has %" PRIu64 " MiB",
                   need >> 20, room >> 20);
    return false;
}

enum fill { FILL_ON, FILL_FULL, FILL_WAIT };

static void note_upload(struct marker_part *p, const struct backup *one)
{
    char text[500];
    (void)snprintf(
        text, sizeof text,
        "%.255s is an upload, not a snapshot that Qdrant made here, and nothing tells how old what is in "
        "it is",
        one->m.source.stem);
    if (one->m.upload && !p->why)
        (void)marker_set(&p->why, text);
}

/* The first of its backups that can be read. */
static enum fill fetch(struct restore_on_empty *b, struct batch *batch, struct batch_item *item,
                       struct err *e)
{
    struct marker_part *p = item->part;
    char why[300];
    size_t i = 0;
    int rc;
    const struct restore_reading how = {.watch = {.bytes = read_on, .arg = b}, .stop = &b->x->stop};
    while ((rc = boot_choice_next(&item->choice, &i, e)) == 0) {
        struct backup *one = &item->choice.list.v[i];
        struct err reading = {0};
        char copy[PATH_MAX + NAME_MAX]; /* the other tree may have the same one, and whole */
        (void)snprintf(copy, sizeof copy, "%s/%s", boot_choice_tree(&item->choice, i), one->m.source.stem);
        if (marker_passed(p, one->m.source.stem) || marker_passed(p, copy))
            continue;
        if (one->state == ENTRY_UNREADABLE && ++p->tries < TRIES) { /* EFS may give it yet */
            (void)err_set(e, 0, one->reason ? one->reason : "cannot be read", NULL, NULL);
            return FILL_WAIT;
        }
        if (restore_choice_refuses(item->choice.choice, one, reading.text, sizeof reading.text)) {
            pass_over(p, copy, one->m.source.stem, reading.text);
            continue;
        }
        if (restore_inherit_aliases(&item->choice.list, one, item->choice.now, &restore_look_files, e) != 0)
            return FILL_WAIT;
        if (!has_room(b, batch, one->m.content.size, why, sizeof why)) {
            (void)err_set(e, ENOSPC, why, NULL, "give the task more ephemeral storage");
            return batch->n > 1 ? FILL_FULL : FILL_WAIT;
        }
        switch (boot_choice_fetch(one, item->file, &how, &reading)) {
        case RESTORE_DONE:
            item->chosen = i;
            p->tries = 0;
            return FILL_ON;
        case RESTORE_DEFECT: pass_over(p, copy, one->m.source.stem, reading.text); break;
        default:
            *e = reading;
            if (atomic_load(&b->x->stop) || reading.code == ENOSPC || ++p->tries < TRIES)
                return FILL_WAIT;
            p->tries = 0;
            pass_over(p, copy, one->m.source.stem, reading.text);
        }
    }
    if (rc < 0)
        return FILL_WAIT;
    failed(p, "no good backup is left to take");
    return FILL_ON;
}

static enum fill choose(struct restore_on_empty *b, struct batch *batch, struct marker_part *p, struct err *e)
{
    struct batch_item *item = batch_add(batch);
    if (!item)
        return (void)err_set(e, ENOMEM, "cannot plan the restore", NULL, NULL), FILL_WAIT;
    item->part = p;
    item->choice = (struct boot_choice){.trees = &b->trees,
                                        .history = &b->history,
                                        .deleted = b->x->options.restore_deleted ? NULL : &b->deleted,
                                        .own = b->own,
                                        .collection = p->collection,
                                        .node = b->x->settings.node,
                                        .at = b->marker.at,
                                        .now = time(NULL)};
    stage_file(&b->stage, batch->n, item->file);
    enum boot_choice_outcome outcome = boot_choice_make(&item->choice, e);
    b->other_nodes += outcome == BOOT_CHOICE_OTHER_NODE;
    b->were_deleted += outcome == BOOT_CHOICE_DELETED;
    if (item->choice.unreadable && !p->why)
        (void)marker_set(&p->why,
                         "a folder of its backups cannot be listed (boot_restore_folder in the log): newer "
                         "ones may be there");
    switch (outcome) {
    case BOOT_CHOICE_MADE: return fetch(b, batch, item, e);
    case BOOT_CHOICE_NONE:
    case BOOT_CHOICE_DELETED:
    case BOOT_CHOICE_OTHER_NODE: return skipped(p, e->text), FILL_ON;
    case BOOT_CHOICE_BAD: return failed(p, e->text), FILL_ON;
    default: /* a person's slip, such as rights, does not pass by itself */
        if (!restore_plan_is_slip(e) && ++p->tries < TRIES)
            return FILL_WAIT;
        return failed(p, e->text), FILL_ON;
    }
}

/* Those that never killed Qdrant first. Newer collections come before older ones, and their aliases with
 * them: where an alias has the name of a collection, that had been deleted before the alias was made. */
static struct marker_part *next_part(struct restore_on_empty *b, const struct batch *batch)
{
    struct marker_part *best = NULL;
    for (size_t i = 0; i < b->marker.n; i++) {
        struct marker_part *p = &b->marker.v[i];
        bool taken = false;
        for (size_t k = 0; k < batch->n; k++)
            taken = taken || batch->v[k].part == p;
        if (p->state == PART_WAITING && !taken && (!best || p->kills < best->kills))
            best = p;
    }
    return best;
}

static enum fill fill_batch(struct restore_on_empty *b, struct batch *batch, struct err *e)
{
    for (struct marker_part *p; !atomic_load(&b->x->stop) && (p = next_part(b, batch));) {
        char reason[400];
        if (batch->n > 0 && (b->marker.alone || p->kills > 0 || batch->v[0].part->kills > 0))
            return FILL_FULL;
        if (is_alias(b, batch, p->collection)) {
            skipped(p, "an alias of a newer collection has its name: it had been deleted");
            p->is_alias = true;
            continue;
        }
        (void)snprintf(reason, sizeof reason, "reading %.300s", p->collection);
        tell(b, STATUS_RESTORING, reason);
        enum fill outcome = choose(b, batch, p, e);
        if (p->state != PART_WAITING || outcome != FILL_ON)
            batch_drop_last(batch);
        if (outcome != FILL_ON)
            return outcome;
    }
    return atomic_load(&b->x->stop) ? FILL_WAIT : FILL_FULL;
}

/* --- what came of it */

static void staged(struct restore_on_empty *b, struct batch_item *i)
{
    const struct backup *one = &i->choice.list.v[i->chosen];
    struct marker_part *p = i->part;
    note_upload(p, one);
    bool lost = p->why != NULL;
    p->state = PART_STAGED;
    p->points = i->points;
    p->taken = restore_moment(one, time(NULL));
    if (!marker_set(&p->snapshot, one->m.source.stem) ||
        !marker_set(&p->from, boot_choice_tree(&i->choice, i->chosen)))
        log_line(LOG_ERROR, "internal", "no memory to note what %s came back from", p->collection);
    boot_choice_tell_source(&i->choice, i->chosen);
    log_fields(lost || *i->why ? LOG_WARN : LOG_INFO, "boot_restored", about(p, one->m.source.stem),
               "%s: %" PRId64 " points from %s%s%s%s%s", p->collection, p->points, one->m.source.stem,
               *i->why ? "; note: " : "", i->why, lost ? "; " : "", lost ? p->why : "");
    for (const char *name = NULL; (name = aliases_next(&one->m.aliases, name));)
        (void)marker_alias(p, name); /* without memory Qdrant refuses what has its name */
    b->marker.restored = true;
}

/* A backup with an alias was passed over: the older one may not have it, and a collection of that name comes
 * back. */
static void reopen_aliases(struct restore_on_empty *b)
{
    for (size_t i = 0; i < b->marker.n; i++)
        if (b->marker.v[i].state == PART_SKIPPED && b->marker.v[i].is_alias) {
            part_is(&b->marker.v[i], PART_WAITING, NULL);
            b->marker.v[i].is_alias = false;
        }
}

static void killed(struct batch_item *i)
{
    const char *snapshot = i->choice.list.v[i->chosen].m.source.stem;
    struct marker_part *p = i->part;
    p->kills++;
    if (p->kills >= KILLS)
        failed(p, "Qdrant was killed each time: give the task more memory");
    else if (p->kills % KILLS_OF_ONE == 0)
        pass_over(p, snapshot, snapshot, i->why);
    else
        log_fields(LOG_WARN, "boot_restore_killed", about(p, snapshot),
                   "%s: %s; it is tried once more, after the others", p->collection, i->why);
}

static void conclude(struct restore_on_empty *b, struct batch *batch)
{
    for (size_t i = 0; i < batch->n; i++) {
        struct batch_item *item = &batch->v[i];
        switch (item->verdict) {
        case BATCH_STAGED: staged(b, item); break;
        case BATCH_REFUSED:
            pass_over(item->part, item->choice.list.v[item->chosen].m.source.stem,
                      item->choice.list.v[item->chosen].m.source.stem, item->why);
            break;
        case BATCH_KILLED: killed(item); break;
        case BATCH_OPEN: break;
        }
        if (item->verdict == BATCH_REFUSED || item->verdict == BATCH_KILLED)
            reopen_aliases(b);
    }
}

/* What is still open is tried again in the next start, with the files that are there. */
static void keep_open(struct batch *batch)
{
    size_t kept = 0;
    for (size_t i = 0; i < batch->n; i++) {
        if (batch->v[i].verdict != BATCH_OPEN) {
            boot_choice_free(&batch->v[i].choice);
            continue;
        }
        batch->v[kept] = batch->v[i];
        batch->v[kept++].why[0] = 0;
    }
    batch->n = kept;
}

/* What was staged is not what it was: begin anew with all of it. */
static enum step distrust(struct restore_on_empty *b, const struct err *why)
{
    log_line(LOG_ERROR, "boot_restore_anew", "%s: the restore begins anew", why->text);
    for (size_t i = 0; i < b->marker.n; i++)
        if (b->marker.v[i].state == PART_STAGED)
            b->marker.v[i].state = PART_WAITING;
    b->next = plan;
    return STEP_ON;
}

/* A full disk ends Qdrant as a bad backup or too little memory does: with SIGBUS, or refusing all that it is
 * given. */
static bool ran_out_of_room(const struct restore_on_empty *b, const struct batch *batch, struct err *e)
{
    char why[200];
    bool bad = false;
    uint64_t room = stage_room(&b->stage);
    for (size_t i = 0; i < batch->n; i++)
        bad = bad || batch->v[i].verdict == BATCH_REFUSED || batch->v[i].verdict == BATCH_KILLED;
    if (!bad || room >= COLLECTION_BYTES)
        return false;
    (void)snprintf(why, sizeof why,
                   "Qdrant ended while it restored, with %" PRIu64 " MiB left on the local disk", room >> 20);
    return err_set(e, ENOSPC, why, NULL, "give the task more ephemeral storage") != 0;
}

static enum step run(struct restore_on_empty *b, struct batch *batch)
{
    const struct batch_options o = {.stage = &b->stage,
                                    .marker = &b->marker,
                                    .program = b->x->options.qdrant_bin,
                                    .unconfined = !b->x->options.confine,
                                    .stop = &b->x->stop,
                                    .works = works,
                                    .arg = b};
    while (batch->n > 0) {
        struct err e = {0};
        char reason[100];
        bool unclear;
        (void)snprintf(reason, sizeof reason, "Qdrant restores %zu collections", batch->n);
        tell(b, STATUS_RESTORING, reason);
        if (batch_run(batch, &o, &unclear, &e) != 0)
            return atomic_load(&b->x->stop) ? STEP_WAIT : e.code == 0 ? distrust(b, &e) : wait_efs(b, &e);
        if (ran_out_of_room(b, batch, &e))
            return stage_clear_in(&b->stage, &e), wait_efs(b, &e);
        conclude(b, batch);
        b->marker.alone = b->marker.alone || unclear;
        if (save(b, &e) != 0)
            return wait_efs(b, &e);
        keep_open(batch);
        if (b->marker.alone)
            break;
    }
    return STEP_ON;
}

static enum step all_dealt_with(struct restore_on_empty *b)
{
    char text[400];
    struct err e = {0};
    const struct marker *m = &b->marker;
    size_t bad = marker_count(m, PART_FAILED);
    if (b->were_deleted > 0 && b->were_deleted == m->n)
        return let_in(b, "all collections that have backups were deleted on purpose: the node starts empty");
    if (bad == 0 && marker_count(m, PART_STAGED) == 0) {
        (void)snprintf(text, sizeof text,
                       b->other_nodes > 0 ? "none of %zu collections has a backup of this node"
                                          : "none of %zu collections has a backup of that time or before",
                       m->n);
        (void)err_set(
            &e, 0, text, NULL,
            b->other_nodes > 0
                ? "set NODE_NAME to the name whose backups are to come back; RESTORE_ON_EMPTY=never lets the "
                  "node start empty"
                : "set RESTORE_ON_EMPTY to a later time");
        return give_up(b, &e);
    }
    if (bad > 0 && !b->x->options.restore_incomplete) {
        (void)snprintf(text, sizeof text, "%zu of %zu collections could not be restored", bad, m->n);
        (void)err_set(&e, 0, text, NULL,
                      "mend or move away what is bad, or give them up: qdrant-efs forget; "
                      "RESTORE_INCOMPLETE=serve starts Qdrant without them");
        return give_up(b, &e);
    }
    b->marker.state = MARKER_COMMITTING;
    if (save(b, &e) != 0)
        return wait_efs(b, &e);
    b->next = seen;
    return STEP_ON;
}

static enum step restore(struct restore_on_empty *b)
{
    __attribute__((cleanup(batch_free))) struct batch batch = {0};
    struct err e = {0};
    /* Once all are staged nothing is asked of EFS any more. */
    if (!next_part(b, &batch))
        return all_dealt_with(b);
    enum fill outcome = fill_batch(b, &batch, &e);
    if (outcome != FILL_WAIT || batch.n > 0) {
        enum step step = run(b, &batch);
        if (step != STEP_ON || outcome != FILL_WAIT)
            return step;
    }
    if (stage_clear_in(&b->stage, &e) != 0 || outcome == FILL_WAIT)
        return wait_efs(b, &e);
    return STEP_ON;
}

/* --- to its place, and in */

static bool shows_any(const struct marker *m, const struct qdrant_names *names)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->v[i].state == PART_STAGED && qdrant_names_have(names, m->v[i].collection))
            return true;
    return marker_count(m, PART_STAGED) == 0;
}

/* Does the Qdrant that was let in have what was restored? It may have been told of another storage, in its
 * configuration file alone, or QDRANT_URL is another Qdrant's. A client may have deleted some already. */
static enum step compare_lists(struct restore_on_empty *b)
{
    cleanup_names struct qdrant_names names = {0};
    struct err e = {0};
    b->pause = QDRANT_PAUSE_MS;
    if (qdrant_ready(b->x->qdrant, &e) != 0 || qdrant_collections(b->x->qdrant, &names, &e) != 0) {
        if (!b->starting) /* once: that we look is no sign of life of Qdrant's */
            tell(b, STATUS_RESTORING, "Qdrant starts with what was restored");
        b->starting = true;
        return STEP_WAIT;
    }
    bool shown = shows_any(&b->marker, &names);
    if (!shown && clock_ms() < b->seen_until)
        return STEP_WAIT;
    if (!shown) {
        log_line(LOG_ERROR, "boot_restore_elsewhere",
                 "the Qdrant at %s has none of the collections that were restored into %s: its storage is "
                 "elsewhere "
                 "(QDRANT__STORAGE__STORAGE_PATH must say where), or it is another Qdrant",
                 b->x->qdrant_settings.url, b->stage.storage);
        for (size_t i = 0; i < b->marker.n; i++)
            (void)(b->marker.v[i].state == PART_STAGED && !b->marker.v[i].why &&
                   marker_set(&b->marker.v[i].why,
                              "Qdrant does not show it (boot_restore_elsewhere in the log)"));
    }
    b->next = recorded;
    return STEP_ON;
}

static enum step seen(struct restore_on_empty *b)
{
    struct err e = {0};
    if (b->marker.state == MARKER_COMMITTING) {
        tell(b, STATUS_RESTORING, "moving what was restored to its place");
        if (stage_move(&b->stage, &e) != 0)
            return wait_efs(b, &e);
        b->marker.state = MARKER_DONE;
        b->marker.restored = true;
        b->marker.ended = time(NULL);
        if (save(b, &e) != 0) {
            b->marker.state = MARKER_COMMITTING;
            return wait_efs(b, &e);
        }
        if (stage_remove(&b->stage, &e) != 0)
            log_line(LOG_WARN, "boot_restore_not_swept", "%s", e.text);
        b->seen_until = clock_ms() + SEEN_MS;
    }
    if (open_gate(b, &e) != 0)
        return wait_efs(b, &e);
    return compare_lists(b);
}

/* No backup is made before the record is there, so that whatever it says of the time before it is true.
 * Clients are served meanwhile. */
static enum step recorded(struct restore_on_empty *b)
{
    char text[200], lost[600];
    struct err e = {0};
    const struct settings *s = &b->x->settings;
    what_is_lost(&b->marker, lost, sizeof lost);
    tell(b, STATUS_RESTORE_DONE, lost);
    if (stage_sync(&b->stage, &e) != 0)
        log_line(LOG_WARN, "boot_restore_not_noted", "%s", e.text);
    if (restore_record_add(b->own, s->node, &b->marker, b->marker.ended, &e) != 0) {
        if (strncmp(b->said, e.text, SAID_ALIKE) != 0)
            log_line(LOG_ERROR, "boot_restore_not_recorded", "%s; no snapshots are made until it is", e.text);
        (void)snprintf(b->said, sizeof b->said, "%s", e.text);
        b->pause = PAUSE_FIRST_MS;
        return STEP_WAIT;
    }
    (void)snprintf(text, sizeof text,
                   "%zu of %zu collections are back, %zu were not to be restored, %zu failed",
                   marker_count(&b->marker, PART_STAGED), b->marker.n, marker_count(&b->marker, PART_SKIPPED),
                   marker_count(&b->marker, PART_FAILED));
    return finish(b, "boot_restore_finished", text);
}

/* --- life */

static void *loop(void *arg)
{
    struct restore_on_empty *b = arg;
    for (enum step step = STEP_ON; step != STEP_OVER && !atomic_load(&b->x->stop);) {
        step = b->next(b);
        if (step == STEP_WAIT)
            worker_rest(&b->worker, clock_ms() + b->pause);
        else
            b->said[0] = 0; /* what is missing next is news */
    }
    return NULL;
}

enum qdrant_gate qdrant_gate_read(int *fd)
{
    const char *said = getenv(RESTORE_GATE);
    char *end = NULL;
    *fd = -1;
    if (!said)
        return GATE_NONE;
    if (strcmp(said, "open") == 0)
        return GATE_OPEN;
    long n = strtol(said, &end, 10);
    if (*said < '0' || *said > '9' || *end || n < 3 || n > 1 << 20 || fcntl((int)n, F_SETFD, FD_CLOEXEC) != 0)
        return GATE_NONE;
    *fd = (int)n;
    return GATE_CLOSED;
}

bool restore_on_empty_pending(const struct context *x, bool once)
{
    if (!x->options.restore)
        return false;
    return !once || storage_look(x->options.storage) == STORAGE_RESTORING;
}

struct restore_on_empty *restore_on_empty_start(struct context *x)
{
    struct restore_on_empty *b = calloc(1, sizeof *b);
    struct err e = {0};
    if (!b)
        return NULL;
    b->x = x;
    b->next = decide;
    (void)snprintf(b->own, sizeof b->own, "%s", x->settings.base);
    tell(b, STATUS_RESTORE_WAITING, "the local disk is looked at");
    if (stage_init(&b->stage, x->options.storage, &e) == 0 &&
        worker_start(&b->worker, "restore", loop, b, &x->stop))
        return b;
    free(b);
    return NULL;
}

bool restore_on_empty_stop(struct restore_on_empty *b, int64_t end) { return worker_stop(&b->worker, end); }

void restore_on_empty_free(struct restore_on_empty *b)
{
    if (!b)
        return;
    marker_free(&b->marker);
    restore_history_free(&b->history);
    tombstones_free(&b->deleted);
    worker_free(&b->worker);
    free(b);
}
