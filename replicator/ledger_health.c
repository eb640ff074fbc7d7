/* What is wrong, as a pure function over what the ledger holds. "failing" is what endangers the recovery
 * point or the restore; /health is 503 then. The rest is a warning. */
#include "replicator/ledger_state.h"
#include <cjson/cJSON.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { EACH_MAX = 20, HOUR = 3600, DAY = 86400 }; /* EACH_MAX: of one code, with 200 collections */

time_t ledger_objective(const struct ledger_state *s, enum tier t)
{
    static const time_t period[TIER_COUNT] = {0, HOUR, DAY, 31 * DAY};
    static const time_t slack[TIER_COUNT] = {0, HOUR, 2 * HOUR, 2 * DAY};
    time_t rpo = (time_t)s->rpo_seconds;
    return period[t] + (rpo > slack[t] ? rpo : slack[t]);
}

time_t ledger_ages_since(const struct ledger_state *s, const struct ledger_folder *f, time_t now)
{
    struct ledger_backup newest;
    bool any = ledger_newest_of(f, TIER_15MIN, now, &newest);
    if (!any || (f->wanted_since > s->first_listed && f->wanted_since > newest.taken))
        return f->wanted_since;
    return newest.taken;
}

bool ledger_late(const struct ledger_state *s, const struct ledger_folder *f, time_t now)
{
    return f->wanted && now - ledger_ages_since(s, f, now) > (time_t)s->rpo_seconds;
}

time_t ledger_silence(const struct ledger_job *j, time_t now)
{
    return j->what[0] && now > j->last_signed ? now - j->last_signed : 0;
}

bool ledger_job_hangs(const struct ledger_state *s, const struct ledger_job *j, time_t now)
{
    uint64_t largest = 0;
    time_t silence = ledger_silence(j, now);
    if (silence < LEDGER_SILENT_SECONDS || j->signs)
        return silence >= LEDGER_SILENT_SECONDS;
    for (size_t i = 0; i < s->folders; i++)
        largest = s->folder[i]->newest.size > largest ? s->folder[i]->newest.size : largest;
    return silence - LEDGER_SILENT_SECONDS >= (time_t)(largest / LEDGER_SLOW_BYTES);
}

bool ledger_hangs(const struct ledger_state *s, time_t now)
{
    for (int i = 0; i < LEDGER_WORKERS; i++)
        if (ledger_job_hangs(s, &s->job[i], now))
            return true;
    return false;
}

struct judge {
    const struct ledger_state *s;
    time_t now;
    cJSON *reasons;
    bool ok, failing;
};

static bool add_reason(cJSON *list, const char *code, bool failing, const char *collection,
                       const char *message)
{
    cJSON *o = cJSON_CreateObject();
    if (!o || !cJSON_AddItemToArray(list, o))
        return cJSON_Delete(o), false;
    return cJSON_AddStringToObject(o, "code", code) &&
           cJSON_AddStringToObject(o, "severity", failing ? "failing" : "warning") &&
           (!collection || cJSON_AddStringToObject(o, "collection", collection)) &&
           cJSON_AddStringToObject(o, "message", message);
}

static void say(struct judge *j, bool failing, const char *code, const char *collection, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
static void say(struct judge *j, bool failing, const char *code, const char *collection, const char *fmt, ...)
{
    char text[LEDGER_TEXT * 3];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap); /* the largest part is LEDGER_TEXT: nothing is cut */
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

bool ledger_restore_pending(const struct ledger_state *s)
{
    return s->restore.state == LEDGER_RESTORE_WAITING || s->restore.state == LEDGER_RESTORING ||
           s->restore.state == LEDGER_RESTORE_FAILED;
}

static void judge_restore(struct judge *j)
{
    const struct ledger_state *s = j->s;
    if (!ledger_restore_pending(s))
        return;
    if (s->restore.state == LEDGER_RESTORE_FAILED)
        say(j, true, "restore_failed", NULL,
            "the restore of this empty disk failed, and no snapshots are made or pruned: %s",
            s->restore.reason);
    else
        say(j, true, "restoring", NULL, "the disk came up empty, and %u of %u collections are back%s%s",
            s->restore.done, s->restore.total, s->restore.reason[0] ? ": " : "", s->restore.reason);
}

static void judge_efs(struct judge *j)
{
    const struct ledger_state *s = j->s;
    char silent[32];
    if (s->efs_checked && !s->usable)
        say(j, true, "efs_unusable", NULL,
            "EFS cannot be used, nothing is backed up: %s; check the task's EFS volume, its access point and "
            "the security group of its mount targets",
            s->efs_why[0] ? s->efs_why : "no reason given");
    for (int i = 0; i < LEDGER_WORKERS; i++) {
        if (!ledger_job_hangs(s, &s->job[i], j->now))
            continue;
        say(j, true, "efs_hangs", NULL,
            "EFS does not answer: \"%s\" has made no progress for %s; Qdrant is not affected. Check the "
            "mount "
            "targets and their security group (port 2049); if EFS is well, replace the task",
            s->job[i].what, span(ledger_silence(&s->job[i], j->now), silent));
        return; /* one says it */
    }
}

static void judge_qdrant(struct judge *j)
{
    const struct ledger_state *s = j->s;
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

static void warn_recovery(struct judge *j)
{
    if (j->s->qdrant_checked && j->s->reachable && j->s->recovery_mode)
        say(j, false, "recovery_mode", NULL,
            "Qdrant runs in recovery mode and makes no snapshots; give the task more memory, or delete what "
            "it cannot load, and start it without QDRANT__STORAGE__RECOVERY_MODE");
}

static void say_late(struct judge *j, const struct ledger_folder *f)
{
    char age[32], rpo[32];
    struct ledger_backup newest;
    (void)span((time_t)j->s->rpo_seconds, rpo);
    if (ledger_newest_of(f, TIER_15MIN, j->now, &newest))
        say(j, true, "backup_late", f->collection,
            "the newest backup of %s was taken %s ago, RPO_SECONDS allows %s; %s%s", f->collection,
            span(j->now - newest.taken, age), rpo,
            f->failed > newest.taken ? "its last snapshot failed: " : "",
            f->failed > newest.taken ? f->failure : "see the errors in the log");
    else
        say(j, true, "backup_missing", f->collection,
            "%s has no backup after %s, RPO_SECONDS allows %s; %s%s", f->collection,
            span(j->now - ledger_ages_since(j->s, f, j->now), age), rpo,
            f->failed ? "its last snapshot failed: " : "",
            f->failed ? f->failure : "see the errors in the log");
}

static void judge_late(struct judge *j)
{
    unsigned late = 0;
    for (size_t i = 0; i < j->s->folders; i++) {
        const struct ledger_folder *f = j->s->folder[i];
        if (ledger_late(j->s, f, j->now) && ++late <= EACH_MAX)
            say_late(j, f);
    }
    if (late > EACH_MAX)
        say(j, true, "backup_late", NULL, "%u more collections have no backup within RPO_SECONDS",
            late - EACH_MAX);
}

static bool is_wanted(const struct ledger_state *s, const char *collection)
{
    for (size_t i = 0; i < s->folders; i++)
        if (s->folder[i]->wanted && strcmp(s->folder[i]->collection, collection) == 0)
            return true;
    return s->first_listed == 0; /* nobody knows yet */
}

/* The last one, and each collection's own: its failure is not undone by another's success. */
static void judge_drills(struct judge *j, bool failing)
{
    const struct ledger_state *s = j->s;
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
        const struct ledger_folder *f = s->folder[i];
        if (!f->wanted || !f->drill_failed || (failed && strcmp(f->collection, s->drill.collection) == 0))
            continue;
        if (++others <= EACH_MAX)
            say(j, true, "drill_failed", f->collection,
                "the last restore drill of %s failed; verify its backups (qdrant-efs verify)", f->collection);
    }
}

static bool snapshot_failed(const struct ledger_folder *f, time_t now)
{
    struct ledger_backup newest;
    return f->failed && (!ledger_newest_of(f, TIER_15MIN, now, &newest) || f->failed > newest.taken);
}

static void warn_snapshots(struct judge *j)
{
    const struct ledger_run *r = &j->s->last;
    unsigned failed = 0;
    if (r->failed > 0)
        say(j, false, "run_failed", NULL,
            "the last scheduled run made %u snapshots, %u failed; the next run tries again, and the log says "
            "why",
            r->made, r->failed);
    for (size_t i = 0; i < j->s->folders; i++) {
        const struct ledger_folder *f = j->s->folder[i];
        if (f->kind == KIND_COLLECTION && !f->wanted)
            continue; /* deleted, or excluded */
        if (snapshot_failed(f, j->now) && !ledger_late(j->s, f, j->now) && ++failed <= EACH_MAX)
            say(j, false, "snapshot_failed", f->kind == KIND_STORAGE ? NULL : f->collection,
                "the last snapshot of %s failed: %s",
                f->kind == KIND_STORAGE ? "the whole storage" : f->collection, f->failure);
    }
}

static bool tier_late(const struct judge *j, const struct ledger_folder *f, enum tier t)
{
    struct ledger_backup newest;
    return f->wanted && f->wanted_since <= j->s->first_listed && ledger_newest_of(f, t, j->now, &newest) &&
           j->now - newest.taken > ledger_objective(j->s, t);
}

/* Newer backups took no higher tier's place: someone deleted there, or the rule has a fault. */
static void warn_tiers(struct judge *j)
{
    unsigned late = 0;
    for (size_t i = 0; i < j->s->folders; i++) {
        const struct ledger_folder *f = j->s->folder[i];
        for (int t = TIER_HOURLY; t < TIER_COUNT && !ledger_late(j->s, f, j->now); t++)
            if (tier_late(j, f, (enum tier)t) && ++late <= EACH_MAX)
                say(j, false, "tier_late", f->collection,
                    "%s has newer backups, but no %s one in time; the next snapshot becomes it",
                    f->collection, tier_text((enum tier)t));
    }
}

static void warn_rest(struct judge *j)
{
    const struct ledger_state *s = j->s;
    if (s->has_s3 && s->s3_failing)
        say(j, false, "s3_failing", NULL,
            "the last upload to S3 failed: %s; it is tried again, the backup on EFS is good", s->s3_bad.why);
    if (s->untracked)
        say(j, false, "ledger_full", NULL,
            "more than %d collections and shards, or no memory: not all of them are watched here",
            LEDGER_FOLDERS);
}

cJSON *ledger_judge(const struct ledger_state *s, time_t now)
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
    judge_late(&j);
    judge_drills(&j, true);
    judge_drills(&j, false);
    warn_recovery(&j);
    warn_snapshots(&j);
    warn_tiers(&j);
    warn_rest(&j);
    if (!cJSON_AddStringToObject(o, "status", j.failing ? "failing" : "ok") ||
        !cJSON_AddItemToObject(o, "reasons", j.reasons)) {
        cJSON_Delete(j.reasons);
        j.ok = false;
    }
    if (!j.ok)
        cJSON_Delete(o);
    return j.ok ? o : NULL;
}

cJSON *ledger_health(struct ledger *l, time_t now)
{
    cleanup_ledger_copy struct ledger_state *s = ledger_copy(l);
    return s ? ledger_judge(s, now) : NULL;
}
