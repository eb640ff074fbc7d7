/* What is told of a restore. With --json all goes into the array; else results to standard output, and what
 * went wrong or was passed over to standard error. */
#include "common/base/text.h"
#include "common/json.h"
#include "efs/cli/cmd_restore.h"
#include "efs/cli/cmd_table.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Empty for an object of S3 whose key says none. */
static const char *frequency(const struct backup *b) { return b->m.slot ? frequency_text(b->frequency) : ""; }

/* "docs-1-2026-11-24-08-00-00 (daily, 2026-11-24T08:00:00Z, 3 h old, 12.3 MiB, 5000 points)" */
static void describe(const struct backup *b, time_t now, char *out, size_t size)
{
    char when[32], age[32], old[48] = "of an unknown age", bytes[16], points[40] = "";
    time_t moment = restore_moment(b, now);
    utc_text(backup_time(b), when);
    if (moment)
        (void)snprintf(old, sizeof old, "%s old", table_age(now - moment, age));
    if (b->m.points >= 0)
        (void)snprintf(points, sizeof points, ", %" PRId64 " point%s", b->m.points,
                       b->m.points == 1 ? "" : "s");
    (void)snprintf(out, size, "%s (%s%s%s, %s, %s%s)", b->m.source.stem, frequency(b), b->m.slot ? ", " : "",
                   when, old, cmd_human(b->m.content.size, bytes), points);
}

static const char *subject(const struct job *j)
{
    return j->wish.kind == KIND_STORAGE ? "whole storage" : j->wish.collection;
}

static bool add_number(cJSON *o, const char *key, int64_t n)
{
    return n >= 0 ? cJSON_AddNumberToObject(o, key, (double)n) != NULL
                  : cJSON_AddNullToObject(o, key) != NULL;
}

void say_begin(struct job *j)
{
    j->report = (struct restore_report){.points_before = -1, .points = -1, .found.points = -1};
    if (!j->array)
        return;
    j->json = cJSON_CreateObject();
    if (!cJSON_AddItemToArray(j->array, j->json))
        j->json = NULL; /* without memory: cmd_print_json will fail, too */
    (void)cmd_json_text(j->json, "collection", j->wish.collection);
    (void)cmd_json_text(j->json, "kind", kind_text(j->wish.kind));
    (void)cmd_json_text(j->json, "target", j->qdrant ? j->target : "");
    (void)cJSON_AddArrayToObject(j->json, "skipped");
}

void say_skipped(struct backup *b, const char *why, void *job)
{
    struct job *j = job;
    char path[PATH_MAX + NAME_MAX + 2], reason[2048];
    (void)snprintf(path, sizeof path, "%s/%s", b->dir, *b->data ? b->data : b->stem);
    cmd_complain("%s: passed over %s: %s", subject(j), path,
                 cmd_without_path(why, path, reason, sizeof reason));
    cJSON *o = j->json ? cJSON_CreateObject() : NULL;
    if (!o)
        return;
    (void)cmd_json_text(o, "snapshot", b->m.source.stem);
    (void)cmd_json_text(o, "path", path);
    (void)cmd_json_text(o, "reason", why);
    if (!cJSON_AddItemToArray(json_member(j->json, "skipped"), o))
        cJSON_Delete(o);
}

void say_left_out(struct job *j, const char *why)
{
    char raw[1400], safe[sizeof raw];
    j->target = j->wish.collection;
    j->file[0] = 0;
    say_begin(j);
    (void)cmd_json_text(j->json, "result", "left_out");
    (void)cmd_json_text(j->json, "note", why);
    (void)cmd_json_text(j->json, "error", "");
    (void)snprintf(raw, sizeof raw, "%s: left out: %s; --collection restores it all the same", subject(j),
                   why);
    if (!j->array)
        (void)puts(text_printable(raw, safe, sizeof safe));
}

static const char *result_text(const struct job *j, enum restore_outcome outcome)
{
    bool file = j->o->restore.to || j->o->restore.to_stdout;
    switch (outcome) {
    case RESTORE_DONE:
        return j->o->dry_run ? (file ? "would write" : "would restore") : file ? "wrote" : "restored";
    case RESTORE_DEFECT: return "defect";
    case RESTORE_REFUSED: return "refused";
    default: return "failed";
    }
}

/* The same for machines: written, would_restore. */
static void add_result(const struct job *j, enum restore_outcome outcome)
{
    char word[32];
    (void)snprintf(word, sizeof word, "%s", result_text(j, outcome));
    for (char *p = word; *p; p++)
        *p = *p == ' ' ? '_' : *p;
    (void)cmd_json_text(j->json, "result", word);
}

static void add_backup(cJSON *o, const struct backup *b, time_t now)
{
    time_t moment = restore_moment(b, now);
    char taken[32], path[PATH_MAX + NAME_MAX + 2];
    utc_text(backup_time(b), taken);
    (void)snprintf(path, sizeof path, "%s/%s", b->dir, *b->data ? b->data : b->stem);
    (void)cmd_json_text(o, "snapshot", b->m.source.stem);
    (void)cmd_json_text(o, "shard", b->m.source.shard);
    (void)cmd_json_text(o, "frequency", frequency(b));
    (void)cmd_json_text(o, "node", b->m.node);
    (void)cmd_json_text(o, "taken", taken);
    (void)add_number(o, "age_seconds", moment ? (now > moment ? now - moment : 0) : -1);
    (void)cJSON_AddBoolToObject(o, "clock_ahead", restore_ahead(b, now));
    (void)add_number(o, "size", (int64_t)b->m.content.size);
    (void)add_number(o, "stored_size", (int64_t)b->m.content.stored_size);
    (void)add_number(o, "points_in_manifest", b->m.points);
    (void)cmd_json_text(o, "path", path);
}

static void end_json(struct job *j, const struct backup *b, enum restore_outcome outcome, const struct err *e,
                     double seconds)
{
    cJSON *o = j->json;
    add_result(j, outcome);
    if (b)
        add_backup(o, b, j->wish.now);
    if (j->file[0])
        (void)cmd_json_text(o, "file", j->file);
    if (j->qdrant) {
        (void)cJSON_AddBoolToObject(o, "existed", j->report.existed);
        (void)add_number(o, "points_before", j->report.points_before);
        (void)add_number(o, "points", j->report.points);
        (void)cmd_json_text(o, "status", j->report.status);
        (void)cmd_json_text(o, "into", *j->into ? j->into : j->target);
        (void)cmd_json_text(o, "verdict", verdict_row(j->report.verdict)->token);
        (void)cmd_json_text(o, "why", j->report.why);
    }
    if (restores_points(j->o)) {
        (void)cJSON_AddNumberToObject(o, "points_found", (double)j->points.found);
        (void)cJSON_AddNumberToObject(o, "points_written", (double)j->points.written);
        (void)cJSON_AddNumberToObject(o, "points_replaced", (double)j->points.replaced);
        (void)cJSON_AddNumberToObject(o, "points_kept", (double)j->points.kept);
        (void)cJSON_AddNumberToObject(o, "points_missing", (double)j->points.missing);
    }
    (void)cmd_json_text(o, "note", j->report.note);
    (void)cmd_json_text(o, "error", outcome == RESTORE_DONE ? "" : e->text);
    (void)cJSON_AddNumberToObject(o, "seconds", seconds);
}

/* "; in Qdrant now: 5 points, which would be replaced" */
static void present(const struct job *j, char *out, size_t size)
{
    if (!j->report.existed)
        (void)snprintf(out, size, " as %s, which is not there yet", j->target);
    else
        (void)snprintf(out, size, " as %s, which is there with %" PRId64 " point%s%s", j->target,
                       j->report.points_before, j->report.points_before == 1 ? "" : "s",
                       j->report.points_before > 0 ? " that would be lost" : "");
}

static void points_text(const struct job *j, double seconds, char *out, size_t size)
{
    const struct points_told *p = &j->points;
    int n = snprintf(out, size, ": %" PRIu64 " point%s %sput back into %s", p->written,
                     p->written == 1 ? "" : "s", j->o->dry_run ? "would be " : "", j->target);
    if (p->replaced > 0 && n > 0 && (size_t)n < size)
        n += snprintf(out + n, size - (size_t)n, ", %" PRIu64 " of them in place of what was there",
                      p->replaced);
    if (p->kept > 0 && n > 0 && (size_t)n < size)
        n += snprintf(out + n, size - (size_t)n,
                      "; %" PRIu64 " are there already and %s left as they are (--force replaces them)",
                      p->kept, j->o->dry_run ? "would be" : "were");
    if (n > 0 && (size_t)n < size)
        (void)snprintf(out + n, size - (size_t)n, ", %.1f s", seconds);
}

static void done_text(const struct job *j, double seconds, char *out, size_t size)
{
    if (restores_points(j->o)) {
        points_text(j, seconds, out, size);
        return;
    }
    if (j->file[0])
        (void)snprintf(out, size, " to %s", j->file);
    else if (!j->qdrant)
        (void)snprintf(out, size, " to standard output");
    else if (j->o->dry_run)
        present(j, out, size);
    else
        (void)snprintf(out, size, " as %s: %" PRId64 " point%s, %s, %.1f s; %s%s%.600s", j->target,
                       j->report.points, j->report.points == 1 ? "" : "s", j->report.status, seconds,
                       verdict_row(j->report.verdict)->word, *j->report.why ? ": " : "", j->report.why);
}

static void how_to_start(const struct job *j)
{
    char quoted[PATH_MAX * 4 + 3];
    (void)printf(
        "To restore it, start Qdrant once with the file in its reach:\n"
        "  qdrant --storage-snapshot %s\n"
        "With --force-snapshot it replaces collections that are there. In the container: as its command, "
        "with\nRESTORE_ON_EMPTY=never, for one start; then take the command out.\n",
        text_shell(j->file, quoted, sizeof quoted));
}

static void end_text(const struct job *j, const struct backup *b, double seconds)
{
    char what[700] = "", how[PATH_MAX + 1100] = "", raw[PATH_MAX + 2800], safe[sizeof raw];
    if (b)
        describe(b, j->wish.now, what, sizeof what);
    else
        (void)snprintf(what, sizeof what, "what it was told to fetch");
    done_text(j, seconds, how, sizeof how);
    (void)snprintf(raw, sizeof raw, "%s: %s %s%s%s%s", subject(j), result_text(j, RESTORE_DONE), what, how,
                   j->report.note[0] ? "; note: " : "", j->report.note);
    (void)fprintf(j->o->restore.to_stdout ? stderr : stdout, "%s\n", text_printable(raw, safe, sizeof safe));
    if ((j->wish.kind == KIND_STORAGE || j->o->restore.as_storage) && j->file[0] && !j->o->dry_run)
        how_to_start(j);
    if (j->o->restore.rename && j->qdrant && !j->o->dry_run)
        (void)printf("It is backed up from now on like any other collection. Once it is not needed any more, "
                     "delete it in Qdrant,\nand its backups, the newest of which stay for ever else:\n"
                     "  qdrant-efs forget %s\n",
                     text_shell(j->target, raw, sizeof raw));
}

bool say_end(struct job *j, const struct backup *b, enum restore_outcome outcome, const struct err *e,
             double seconds)
{
    bool good = outcome == RESTORE_DONE;
    if (j->json)
        end_json(j, b, outcome, e, seconds);
    const char *stem = b ? b->m.source.stem : "";
    if (!good)
        cmd_complain("%s: %s%s%s%s: %s", subject(j), j->o->dry_run ? "would have " : "",
                     outcome == RESTORE_DEFECT ? "found a defect" : result_text(j, outcome),
                     *stem ? " at " : "", stem, e->text);
    else if (!j->array)
        end_text(j, b, seconds);
    return good && (j->array || fflush(stdout) == 0);
}
