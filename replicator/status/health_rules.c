/* What is wrong, as a pure function over what the status holds. "failing" is what endangers the recovery
 * point or the restore; /health is 503 then. The rest is a warning, and some of these make it "degraded". */
#include "replicator/status/state_internal.h"
#include "common/json.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* EACH_MAX: of one code, with 200 collections. RESTORE_SILENT: a restore gives a sign of life with each
 * chunk. */
enum { EACH_MAX = 20, HOUR = 3600, DAY = 86400, RESTORE_SILENT = 300 };

time_t status_objective(const struct status_state *s, enum frequency t)
{
    static const time_t period[FREQUENCY_COUNT] = {0, HOUR, DAY, 31 * DAY};
    static const time_t slack[FREQUENCY_COUNT] = {0, HOUR, 2 * HOUR, 2 * DAY};
    time_t rpo = (time_t)s->rpo_seconds;
    return period[t] + (rpo > slack[t] ? rpo : slack[t]);
}

time_t status_ages_since(const struct status_state *s, const struct status_folder *f, time_t now)
{
    struct status_backup newest;
    bool any = status_newest_of(f, FREQUENCY_15MIN, now, &newest);
    if (!any || (f->wanted_since > s->first_listed && f->wanted_since > newest.taken))
        return f->wanted_since;
    return newest.taken;
}

bool status_late(const struct status_state *s, const struct status_folder *f, time_t now)
{
    return f->wanted && now - status_ages_since(s, f, now) > (time_t)s->rpo_seconds;
}

time_t status_silence(const struct status_job *j, time_t now)
{
    return j->what[0] && now > j->last_signed ? now - j->last_signed : 0;
}

bool status_job_hangs(const struct status_state *s, const struct status_job *j, time_t now)
{
    uint64_t largest = 0;
    time_t silence = status_silence(j, now);
    if (silence < STATUS_SILENT_SECONDS || j->signs)
        return silence >= STATUS_SILENT_SECONDS;
    for (size_t i = 0; i < s->folders; i++)
        largest = s->folder[i]->newest.size > largest ? s->folder[i]->newest.size : largest;
    return silence - STATUS_SILENT_SECONDS >= (time_t)(largest / STATUS_SLOW_BYTES);
}

bool status_hangs(const struct status_state *s, time_t now)
{
    for (int i = 0; i < STATUS_WORKERS; i++)
        if (status_job_hangs(s, &s->job[i], now))
            return true;
    return false;
}

struct judge {
    const struct status_state *s;
    time_t now;
    cJSON *reasons;
    bool ok, failing, degraded;
};

static bool add_reason(cJSON *list, const char *code, bool failing, const char *collection,
                       const char *message)
{
    cJSON *o = json_append_object(list);
    return o && cJSON_AddStringToObject(o, "code", code) &&
           cJSON_AddStringToObject(o, "severity", failing ? "failing" : "warning") &&
           (!collection || cJSON_AddStringToObject(o, "collection", collection)) &&
           cJSON_AddStringToObject(o, "message", message);
}

static void say(struct judge *j, bool failing, const char *code, const char *collection, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
static void say(struct judge *j, bool failing, const char *code, const char *collection, const char *fmt, ...)
{
    char text[STATUS_TEXT * 3];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap); /* the largest part is STATUS_TEXT: nothing is cut */
    va_end(ap);
    j->failing |= failing;
    j->ok = j->ok && add_reason(j->reasons, code, failing, collection, text);
}

/* "2 min", "3 h 5 min", "12 d" */
static const char *span(time_t seconds, char out[32])
{
    static const struct {
        time_t large, small;
        const char *name, *small_name;
    } units[] = {{DAY, HOUR, "d", "h"}, {HOUR, 60, "h", "min"}, {60, 60, "min", ""}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        long long n = (long long)(seconds / units[i].large);
        long long rest = (long long)(seconds % units[i].large / units[i].small);
        if (n == 0)
            continue;
        if (rest > 0)
            (void)snprintf(out, 32, "%lld %s %lld %s", n, units[i].name, rest, units[i].small_name);
        else
            (void)snprintf(out, 32, "%lld %s", n, units[i].name);
        return out;
    }
    (void)snprintf(out, 32, "%lld s", (long long)seconds);
    return out;
}

bool status_restore_pending(const struct status_state *s)
{
    return s->restore.state == STATUS_RESTORE_WAITING || s->restore.state == STATUS_RESTORING ||
           s->restore.state == STATUS_RESTORE_FAILED;
}

bool status_restore_works_on(const struct status_state *s, time_t now)
{
    return s->restore.state == STATUS_RESTORING && now - s->restore.works < RESTORE_SILENT;
}

static void judge_restore(struct judge *j)
{
    const struct status_state *s = j->s;
    if (s->restore.state == STATUS_RESTORE_DONE && s->restore.reason[0])
        say(j, true, "restore_incomplete", NULL,
            "this disk was restored, and not all of it came back as it was: %s", s->restore.reason);
    if (!status_restore_pending(s))
        return;
    if (s->restore.state == STATUS_RESTORE_FAILED)
        say(j, true, "restore_failed", NULL, "the restore of this empty disk failed: %s", s->restore.reason);
    else
        say(j, true, "restoring", NULL, "the disk came up empty, and %u of %u collections are back%s%s",
            s->restore.done, s->restore.total, s->restore.reason[0] ? ": " : "", s->restore.reason);
}

/* What was tried to be written there last, and was not. */
static void judge_writes(struct judge *j)
{
    const struct status_state *s = j->s;
    char since[32];
    if (s->queue.failing > 0)
        say(j, true, "publish_failing", NULL,
            "%u finished snapshots could not be put on EFS at their last try, the oldest is %s old: %s; they "
            "are "
            "tried again",
            s->queue.failing, span((time_t)s->queue.oldest, since), s->queue.why);
    if (s->heartbeat_failed)
        say(j, true, "heartbeat_failing", NULL,
            "EFS has taken no heartbeat for %s, so that the second Region cannot tell what it lacks: %s; it "
            "is "
            "tried again every minute",
            span(j->now - s->heartbeat_failed, since), s->heartbeat_why);
}

static void judge_efs(struct judge *j)
{
    const struct status_state *s = j->s;
    char silent[32];
    if (s->efs_checked && !s->usable)
        say(j, true, "efs_unusable", NULL,
            "EFS cannot be used, nothing is backed up: %s; check the task's EFS volume, its access point and "
            "the security group of its mount targets",
            s->efs_why[0] ? s->efs_why : "no reason given");
    if (s->local)
        say(j, true, "efs_is_local", NULL,
            "EFS is not mounted: EFS_ROOT is on this task's own disk, and the backups there go with the "
            "task; "
            "check the task's EFS volume and its mount point, or allow it by EFS_ALLOW_LOCAL=1 (a laptop, a "
            "test)");
    judge_writes(j);
    for (int i = 0; i < STATUS_WORKERS; i++) {
        if (!status_job_hangs(s, &s->job[i], j->now))
            continue;
        say(j, true, "efs_hangs", NULL,
            "EFS does not answer: \"%s\" has made no progress for %s; Qdrant is not affected. Check the "
            "mount targets and their security group (port 2049). Do not replace the task: its disk goes with "
            "it (RUNBOOK, \"EFS hangs\")",
            s->job[i].what, span(status_silence(&s->job[i], j->now), silent));
        return; /* one says it */
    }
}

static void judge_qdrant(struct judge *j)
{
    const struct status_state *s = j->s;
    if (s->qdrant_checked && !s->reachable)
        say(j, true, "qdrant_unreachable", NULL,
            "Qdrant does not answer at %s, so no snapshots are made; see Qdrant's own log, QDRANT_URL and "
            "the "
            "API key",
            s->qdrant_url);
    else if (s->first_listed == 0 && j->now - s->started > (time_t)s->rpo_seconds)
        say(j, true, "collections_unknown", NULL,
            "Qdrant has not told which collections there are since the start, so nobody knows what is to be "
            "backed up; see the errors in the log, and the API key");
}

/* 0 of N is no success. */
static void judge_chosen(struct judge *j)
{
    const struct status_state *s = j->s;
    if (s->chosen.total > 0 && s->chosen.wanted == 0)
        say(j, true, "collections_none", NULL,
            "COLLECTIONS=%s means none of Qdrant's %zu collections, so nothing is backed up; correct it, or "
            "unset it "
            "for all of them",
            s->chosen.patterns, s->chosen.total);
    if (s->chosen.missing[0])
        say(j, false, "collection_not_there", s->chosen.missing,
            "COLLECTIONS names %s, and Qdrant has no such collection; is it mistyped?", s->chosen.missing);
}

static void warn_recovery(struct judge *j)
{
    if (j->s->qdrant_checked && j->s->reachable && j->s->recovery_mode)
        say(j, false, "recovery_mode", NULL,
            "Qdrant runs in recovery mode and makes no snapshots; give the task more memory, or delete what "
            "it cannot load, and start it without QDRANT__STORAGE__RECOVERY_MODE");
}

static void say_late(struct judge *j, const struct status_folder *f)
{
    char age[32], rpo[32];
    struct status_backup newest;
    (void)span((time_t)j->s->rpo_seconds, rpo);
    if (status_newest_of(f, FREQUENCY_15MIN, j->now, &newest))
        say(j, true, "backup_late", f->collection,
            "the newest backup of %s was taken %s ago, RPO_SECONDS allows %s; %s%s", f->collection,
            span(j->now - newest.taken, age), rpo,
            f->failed > newest.taken ? "its last snapshot failed: " : "",
            f->failed > newest.taken ? f->failure : "see the errors in the log");
    else
        say(j, true, "backup_missing", f->collection,
            "%s has no backup after %s, RPO_SECONDS allows %s; %s%s", f->collection,
            span(j->now - status_ages_since(j->s, f, j->now), age), rpo,
            f->failed ? "its last snapshot failed: " : "",
            f->failed ? f->failure : "see the errors in the log");
}

static void degrade(struct judge *j, const char *code, const char *collection, const char *message)
{
    say(j, false, code, collection, "%s", message);
    j->degraded = true;
}

/* Whoever has them made by FULL_SNAPSHOT; others nobody promised. */
static void judge_full(struct judge *j)
{
    const struct status_state *s = j->s;
    struct status_backup newest;
    char age[32], text[300];
    time_t since = s->first_listed;
    for (size_t i = 0; i < s->folders; i++)
        if (s->folder[i]->kind == KIND_STORAGE &&
            status_newest_of(s->folder[i], FREQUENCY_15MIN, j->now, &newest))
            since = newest.taken;
    if (!s->full || s->first_listed == 0 || j->now - since <= status_objective(s, s->full_tier))
        return;
    (void)snprintf(
        text, sizeof text,
        "there is no snapshot of the whole storage of the last %s, and FULL_SNAPSHOT is %s; see the errors "
        "in the log. Each collection's own backups are not affected",
        span(j->now - since, age), frequency_text(s->full_tier));
    degrade(j, "full_late", NULL, text);
}

static void judge_late(struct judge *j)
{
    unsigned late = 0;
    for (size_t i = 0; i < j->s->folders; i++) {
        const struct status_folder *f = j->s->folder[i];
        if (status_late(j->s, f, j->now) && ++late <= EACH_MAX)
            say_late(j, f);
    }
    if (late > EACH_MAX)
        say(j, true, "backup_late", NULL, "%u more collections have no backup within RPO_SECONDS",
            late - EACH_MAX);
}

static bool is_wanted(const struct status_state *s, const char *collection)
{
    for (size_t i = 0; i < s->folders; i++)
        if (s->folder[i]->wanted && strcmp(s->folder[i]->collection, collection) == 0)
            return true;
    return s->first_listed == 0; /* nobody knows yet */
}

/* The last one, and each collection's own: its failure is not undone by another's success. */
static void judge_drills(struct judge *j, bool failing)
{
    const struct status_state *s = j->s;
    bool failed = s->drill.when && !s->drill.ok;
    unsigned others = 0;
    if (failed && failing && !*s->drill.collection)
        say(j, true, "drill_failed", NULL,
            "a restore drill%s%s failed: %s; run one by hand (qdrant-efs drill)",
            *s->drill.snapshot ? " of " : "", s->drill.snapshot, s->drill.why);
    else if (failed && *s->drill.collection && is_wanted(s, s->drill.collection) == failing)
        say(j, failing, "drill_failed", s->drill.collection,
            "restoring %s of %s as a drill failed: %s; verify it (qdrant-efs verify) and have a new backup "
            "made",
            s->drill.snapshot, s->drill.collection, s->drill.why);
    for (size_t i = 0; failing && i < s->folders; i++) {
        const struct status_folder *f = s->folder[i];
        if (!f->wanted || !f->drill_failed || (failed && strcmp(f->collection, s->drill.collection) == 0))
            continue;
        if (++others <= EACH_MAX)
            say(j, true, "drill_failed", f->collection,
                "the last restore drill of %s failed; verify its backups (qdrant-efs verify)", f->collection);
    }
}

static bool snapshot_failed(const struct status_folder *f, time_t now)
{
    struct status_backup newest;
    return f->failed && (!status_newest_of(f, FREQUENCY_15MIN, now, &newest) || f->failed > newest.taken);
}

static void warn_snapshots(struct judge *j)
{
    const struct status_run *r = &j->s->last;
    unsigned failed = 0;
    if (r->failed > 0)
        say(j, false, "run_failed", NULL,
            "the last scheduled run made %u snapshots, %u failed; the next run tries again, and the log says "
            "why",
            r->made, r->failed);
    for (size_t i = 0; i < j->s->folders; i++) {
        const struct status_folder *f = j->s->folder[i];
        if (f->kind == KIND_COLLECTION && !f->wanted)
            continue; /* deleted, or excluded */
        if (snapshot_failed(f, j->now) && !status_late(j->s, f, j->now) && ++failed <= EACH_MAX)
            say(j, false, "snapshot_failed", f->kind == KIND_STORAGE ? NULL : f->collection,
                "the last snapshot of %s failed: %s",
                f->kind == KIND_STORAGE ? "the whole storage" : f->collection, f->failure);
    }
}

static bool frequency_late(const struct judge *j, const struct status_folder *f, enum frequency t)
{
    struct status_backup newest;
    return f->wanted && f->wanted_since <= j->s->first_listed && status_newest_of(f, t, j->now, &newest) &&
           j->now - newest.taken > status_objective(j->s, t);
}

/* Newer backups took no higher tier's place: someone deleted there, or the rule has a fault. */
static void warn_frequencies(struct judge *j)
{
    unsigned late = 0;
    for (size_t i = 0; i < j->s->folders; i++) {
        const struct status_folder *f = j->s->folder[i];
        for (int t = FREQUENCY_HOURLY; t < FREQUENCY_COUNT && !status_late(j->s, f, j->now); t++)
            if (frequency_late(j, f, (enum frequency)t) && ++late <= EACH_MAX)
                say(j, false, "tier_late", f->collection,
                    "%s has newer backups, but no %s one in time; the next snapshot becomes it",
                    f->collection, frequency_text((enum frequency)t));
    }
}

static void judge_doubts(struct judge *j)
{
    static const struct {
        const char *code, *of, *advice;
    } words[] = {
        {"upload_refused", "is no backup",
         "have Qdrant make a snapshot of the collection, and delete this file"},
        {"upload_waits", "is not published yet", "it is tried again"},
        {"replica_not_active", "no backup is made",
         "it is tried again in the next slot; see GET /collections/{collection}/cluster"},
        {"snapshot_not_here", "has no new backup",
         "see SNAPSHOTS_DIR, and Qdrant's storage.snapshots_config: snapshots that Qdrant itself keeps in S3 "
         "are "
         "never seen here"},
        {"tombstone_failed", "was deleted in Qdrant, and EFS does not take note of that",
         "it is tried again; until then a restore of an empty disk would bring the collection back"}};
    for (unsigned i = 0; i < j->s->doubts; i++) {
        const struct status_doubt_of *d = &j->s->doubt[i];
        char text[STATUS_TEXT * 3];
        (void)snprintf(text, sizeof text, "%s %s: %s; %s", d->key[0] ? d->key : d->collection,
                       words[d->what].of, d->why, words[d->what].advice);
        if (d->what == STATUS_NOT_HERE)
            say(j, true, words[d->what].code, d->collection, "%s", text);
        else
            degrade(j, words[d->what].code, d->collection[0] ? d->collection : NULL, text);
    }
}

/* Degraded, not failing: a node that is killed for it makes the cluster's trouble worse. */
static void judge_cluster(struct judge *j)
{
    const struct status_state *s = j->s;
    char text[STATUS_TEXT * 3];
    (void)snprintf(
        text, sizeof text,
        "consensus has stopped on this node (%s), although Qdrant says that it is ready: collections "
        "cannot be made or changed; see Qdrant's log",
        s->cluster.consensus);
    if (s->cluster.consensus[0])
        degrade(j, "consensus_stopped", NULL, text);
    if (s->cluster.leaderless)
        degrade(
            j, "no_leader", NULL,
            "the cluster has no leader, as this node sees it: collections cannot be made or changed, and no "
            "node can join; more than half of its peers must run and reach each other");
    (void)snprintf(
        text, sizeof text,
        "%u peers of the cluster cannot be reached: %s; what shards they alone have is neither served "
        "nor backed up",
        s->cluster.unreachable, s->cluster.peers);
    if (s->cluster.unreachable > 0)
        degrade(j, "peer_unreachable", NULL, text);
    static const char *const codes[] = {[STATUS_HEAL_RUNS] = "heal_runs",
                                        [STATUS_HEAL_UNSURE] = "heal_unsure",
                                        [STATUS_HEAL_FAILED] = "heal_incomplete"};
    if (s->heal.what != STATUS_HEAL_NONE)
        degrade(j, codes[s->heal.what], NULL, s->heal.text);
}

/* Degraded: Qdrant works, and that comes first. What follows from it for the backups is told apart. */
static void judge_disk(struct judge *j)
{
    const struct status_state *s = j->s;
    char text[STATUS_TEXT * 3];
    unsigned held = 0;
    (void)snprintf(text, sizeof text,
                   "the local disk has %llu MiB free, and %llu MiB are kept for Qdrant (MIN_FREE): no "
                   "snapshots are made until there is more; give the task more ephemeral storage",
                   (unsigned long long)(s->disk.left >> 20), (unsigned long long)(s->disk.floor >> 20));
    if (s->disk.known && s->disk.left < s->disk.floor)
        degrade(j, "disk_low", NULL, text);
    for (size_t i = 0; i < s->folders; i++) {
        const struct status_folder *f = s->folder[i];
        if (!f->held || ++held > EACH_MAX)
            continue;
        (void)snprintf(text, sizeof text,
                       "no more snapshots of %s are made: %u are on the local disk alone, since EFS has not "
                       "taken them, and more would fill Qdrant's disk; see why in the log",
                       f->kind == KIND_STORAGE ? "the whole storage" : f->collection, f->held);
        degrade(j, "snapshots_held", f->kind == KIND_STORAGE ? NULL : f->collection, text);
    }
    (void)snprintf(text, sizeof text, "no more snapshots of %u more collections are made", held - EACH_MAX);
    if (held > EACH_MAX)
        degrade(j, "snapshots_held", NULL, text);
}

static void warn_rest(struct judge *j)
{
    const struct status_state *s = j->s;
    if (s->has_s3 && s->s3_failing)
        say(j, false, "s3_failing", NULL,
            "the last upload to S3 failed: %s; it is tried again, the backup on EFS is good", s->s3_bad.why);
    if (s->untracked)
        say(j, false, "ledger_full", NULL,
            "more than %d collections and shards, or no memory: not all of them are watched here, and "
            "nothing says "
            "whether the rest is late; watch it by `qdrant-efs ls --json`",
            STATUS_FOLDERS);
}

cJSON *status_judge(const struct status_state *s, time_t now)
{
    cJSON *o = cJSON_CreateObject();
    struct judge j = {.s = s, .now = now, .reasons = cJSON_CreateArray(), .ok = true};
    if (!o || !j.reasons) {
        cJSON_Delete(j.reasons);
        cJSON_Delete(o);
        return NULL;
    }
    judge_restore(&j);
    judge_efs(&j); /* what fails comes first: a health check shows the beginning */
    judge_qdrant(&j);
    judge_chosen(&j);
    judge_late(&j);
    judge_full(&j);
    judge_drills(&j, true);
    judge_drills(&j, false);
    judge_cluster(&j);
    judge_disk(&j);
    judge_doubts(&j);
    warn_recovery(&j);
    warn_snapshots(&j);
    warn_frequencies(&j);
    warn_rest(&j);
    if (!cJSON_AddStringToObject(o, "status",
                                 j.failing    ? "failing"
                                 : j.degraded ? "degraded"
                                              : "ok") ||
        !cJSON_AddItemToObject(o, "reasons", j.reasons)) {
        cJSON_Delete(j.reasons);
        j.ok = false;
    }
    if (!j.ok)
        cJSON_Delete(o);
    return j.ok ? o : NULL;
}

cJSON *status_health(struct status *l, time_t now)
{
    cleanup_status_copy struct status_state *s = status_copy(l);
    return s ? status_judge(s, now) : NULL;
}
