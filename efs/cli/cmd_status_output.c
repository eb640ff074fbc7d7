#include "common/base/text.h"
#include "common/json.h"
#include "efs/cli/cmd_page.h"
#include "efs/cli/cmd_status.h"
#include "efs/cli/cmd_table.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- sums */

struct sum {
    size_t bad, measured; /* rows that are not as promised; whose way back was measured */
    size_t deleted;       /* rows that nobody would restore */
    int64_t points, loss; /* loss: the most that one would lose, in seconds */
    uint64_t size, stored;
    double back;                    /* seconds, one after the other */
    const struct status_row *worst; /* that would lose all; NULL: none */
};

static bool counts(const struct status_row *row) { return !row->deleted && !row->gone; }

static struct sum sum_up(const struct status *s)
{
    struct sum sum = {0};
    for (size_t i = 0; i < s->rows; i++) {
        const struct status_row *row = &s->row[i];
        int64_t loss = status_loss(s, row);
        sum.bad += row->problems != 0;
        sum.deleted += !counts(row);
        sum.size += row->good ? row->good->m.content.size : 0;
        sum.stored += row->good ? row->good->m.content.stored_size : 0;
        sum.points += row->good && row->good->m.points > 0 && row->source.kind == KIND_COLLECTION
                          ? row->good->m.points
                          : 0;
        if (!counts(row) || row->source.kind != KIND_COLLECTION)
            continue;
        sum.measured += row->proven.when != 0;
        sum.back += row->proven.seconds;
        if (loss < 0)
            sum.worst = row;
        else if (row->held && loss > sum.loss)
            sum.loss = loss;
    }
    return sum;
}

static size_t collections(const struct status *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->rows; i++)
        n += s->row[i].source.kind == KIND_COLLECTION && counts(&s->row[i]);
    return n;
}

/* --- cells */

enum { COLLECTION, TREE, NODE, AGE, POINTS, SIZE, GROWTH, PROVEN, RTO, CELLS };
static const char *const heading[CELLS] = {"COLLECTION", "TREE",   "NODE",   "AGE/RPO", "POINTS",
                                           "SIZE",       "GROWTH", "PROVEN", "RTO"};
enum { CELL = 600 };
struct cells {
    char text[CELLS][CELL];
};

static const char *seconds_text(double seconds, char out[32])
{
    if (seconds < 1)
        return "<1 s";
    if (seconds >= 120)
        return table_age((time_t)seconds, out);
    (void)snprintf(out, 32, "%.0f s", seconds);
    return out;
}

/* "14/30 min", "3 h/30 min"; what is held to nothing has its age alone. */
static void age_cell(const struct status *s, const struct status_row *row, char out[CELL])
{
    char age[32], rpo[32];
    int64_t loss = status_loss(s, row);
    if (loss < 0) {
        (void)snprintf(out, CELL, "-");
        return;
    }
    (void)table_age((time_t)loss, age);
    (void)table_age(row->rpo, rpo);
    const char *unit = strchr(age, ' ');
    bool same = row->held && unit && strchr(rpo, ' ') && strcmp(unit, strchr(rpo, ' ')) == 0;
    if (same)
        age[unit - age] = 0;
    (void)snprintf(out, CELL, "%s%s%s", age, row->held ? "/" : "", row->held ? rpo : "");
}

static const char *number_text(int64_t n, char out[32])
{
    static const char unit[] = " kMGT";
    double v = (double)n;
    size_t u = 0;
    if (n < 1000000)
        return (void)snprintf(out, 32, "%" PRId64, n), out;
    for (; v >= 1000 && u < sizeof unit - 2; u++)
        v /= 1000;
    (void)snprintf(out, 32, "%.1f %c", v, unit[u]);
    return out;
}

static void growth_cell(const struct status_row *row, char out[CELL])
{
    const struct backup *b = row->good, *day = row->day;
    if (!b || !day || day->m.content.size == 0) {
        (void)snprintf(out, CELL, "-");
        return;
    }
    double was = (double)day->m.content.size, is = (double)b->m.content.size,
           percent = (is - was) / was * 100;
    if (is >= was * 10)
        (void)snprintf(out, CELL, "x%.0f", is / was);
    else if (percent > -0.05 && percent < 0.05)
        (void)snprintf(out, CELL, "0 %%");
    else
        (void)snprintf(out, CELL, percent < 10 && percent > -10 ? "%+.1f %%" : "%+.0f %%", percent);
}

static void proven_cell(const struct status *s, const struct status_row *row, char out[CELL])
{
    char age[32];
    const struct status_drill *d = &row->last;
    if (!d->when)
        (void)snprintf(out, CELL, "never");
    else
        (void)snprintf(out, CELL, "%s%s%s",
                       d->failed   ? "FAILED "
                       : d->partly ? "partly "
                                   : "",
                       table_age(replica_age(d->when, s->now), age), d->failed || d->partly ? "" : " ago");
}

static void fill(const struct status *s, const struct status_row *row, struct cells *c)
{
    char text[32];
    const struct backup *b = row->good;
    (void)snprintf(c->text[COLLECTION], CELL, "%s", table_source(&row->source, (char[CELL]){0}, CELL));
    (void)text_printable(row->tree->name, c->text[TREE], CELL);
    (void)text_printable(*row->node ? row->node : "-", c->text[NODE], CELL);
    age_cell(s, row, c->text[AGE]);
    (void)snprintf(c->text[POINTS], CELL, "%s", b && b->m.points >= 0 ? number_text(b->m.points, text) : "-");
    (void)snprintf(c->text[SIZE], CELL, "%s", b ? cmd_human(b->m.content.size, (char[16]){0}) : "-");
    growth_cell(row, c->text[GROWTH]);
    proven_cell(s, row, c->text[PROVEN]);
    (void)snprintf(c->text[RTO], CELL, "%s",
                   row->proven.when ? seconds_text(row->proven.seconds, text) : "-");
}

/* --- words */

static const char *const word[STATUS_PROBLEMS] = {"no good backup", "too old",           "newest incomplete",
                                                  "newest corrupt", "newest unreadable", "newest unsigned",
                                                  "drill failed"};

/* "ok", or what is wrong. */
static void words(const struct status_row *row, char out[200])
{
    size_t n = 0;
    *out = 0;
    for (int p = 0; p < STATUS_PROBLEMS; p++)
        if (row->problems & 1U << p)
            n += (size_t)snprintf(out + n, 200 - n, "%s%s", n ? ", " : "", word[p]);
    if (n == 0)
        (void)snprintf(out, 200, "%s",
                       row->deleted    ? "deleted"
                       : row->gone     ? "node gone"
                       : row->arriving ? "ok, next arrives"
                       : row->held     ? "ok"
                                       : "kept");
}

static const char *paint(const struct status_row *row)
{
    return row->problems ? "\033[31m" : row->held ? "\033[32m" : "";
}

static void say_row(const struct status_row *row, const struct cells *c, const size_t *width)
{
    char said[200];
    bool colour = cmd_colour();
    for (int i = 0; i < CELLS; i++)
        if (width[i] > 0)
            table_cell(c->text[i], width[i], i >= AGE && i != PROVEN);
    words(row, said);
    (void)printf("%s%s%s\n", colour ? paint(row) : "", said, colour && *paint(row) ? "\033[0m" : "");
}

/* Why, where the line's words do not tell it. */
static void explain(const struct status_row *row)
{
    char raw[2000], safe[2000], name[CELL], when[UTC_TEXT];
    const char *of = table_source(&row->source, name, sizeof name);
    if (row->first && (row->problems & (1U << STATUS_INCOMPLETE | 1U << STATUS_CORRUPT |
                                        1U << STATUS_UNREADABLE | 1U << STATUS_UNSIGNED))) {
        (void)snprintf(raw, sizeof raw, "%s is %s: %.900s", row->first->m.source.stem,
                       entry_state_text(row->first->state), row->first->reason ? row->first->reason : "");
        (void)printf("%s: %s\n", of, text_printable(raw, safe, sizeof safe));
    }
    if (row->problems & 1U << STATUS_UNPROVEN) {
        utc_text(row->last.when, when);
        (void)snprintf(raw, sizeof raw, "%s%s%s", row->last.snapshot, *row->last.snapshot ? ": " : "",
                       row->last.why);
        (void)printf("%s: the drill of %s failed: %s\n", of, when, text_printable(raw, safe, sizeof safe));
    }
}

static void explain_tree(const struct status_tree *t)
{
    char name[CELL], safe[600], when[UTC_TEXT];
    utc_text(t->crashed, when);
    if (t->crashed)
        (void)printf("%s: the drill of %s failed: %s\n", text_printable(t->name, name, sizeof name), when,
                     text_printable(t->why, safe, sizeof safe));
}

static void say_loss(const struct sum *sum, size_t n)
{
    char age[32], back[32], name[CELL];
    if (sum->worst)
        (void)printf("a loss now costs all of %s", table_source(&sum->worst->source, name, sizeof name));
    else if (sum->loss < 60)
        (void)printf("a loss now costs less than a minute of writes");
    else
        (void)printf("a loss now costs the last %s of writes", table_age((time_t)sum->loss, age));
    if (sum->measured == 0)
        (void)puts("; no drill has measured the way back");
    else if (sum->measured < n)
        (void)printf("; the way back takes %s for %zu of them\n", seconds_text(sum->back, back),
                     sum->measured);
    else
        (void)printf("; the way back takes %s\n", seconds_text(sum->back, back));
}

static void say_sum(const struct status *s)
{
    char points[64] = "", number[32], size[16];
    struct sum sum = sum_up(s);
    size_t n = collections(s);
    if (sum.points > 0)
        (void)snprintf(points, sizeof points, "%s point%s, ", number_text(sum.points, number),
                       sum.points == 1 ? "" : "s");
    (void)printf("%zu collection%s, %s%s: ", n, n == 1 ? "" : "s", points, cmd_human(sum.size, size));
    if (sum.bad > 0)
        (void)printf("%zu of %zu not as promised\n", sum.bad, s->rows - sum.deleted);
    else
        (void)puts(status_good(s) ? "all as promised" : "not all is known, or as promised");
    if (n > 0)
        say_loss(&sum, n);
}

/* A column that is the same for all is none. */
static void measure(const struct status *s, const struct cells *c, size_t width[CELLS])
{
    bool several = false;
    for (int i = 0; i < CELLS; i++) {
        width[i] = strlen(heading[i]);
        for (size_t k = 0; k < s->rows; k++)
            width[i] = table_wider(width[i], c[k].text[i]);
    }
    for (size_t k = 0; k < s->rows; k++)
        several = several || s->row[k].several;
    width[NODE] = several ? width[NODE] : 0;
    width[TREE] = s->rows > 0 && s->row[0].tree != s->row[s->rows - 1].tree ? width[TREE] : 0;
}

int status_say(const struct status *s)
{
    size_t width[CELLS] = {0};
    if (s->rows == 0 && cmd_unknown() == 0)
        cmd_complain("nothing is backed up below %s", s->o->root);
    struct cells *c = calloc(s->rows + 1, sizeof *c);
    if (!c)
        return cmd_complain("no memory"), EXIT_DEFECT;
    for (size_t i = 0; i < s->rows; i++)
        fill(s, &s->row[i], &c[i]);
    measure(s, c, width);
    for (int i = 0; s->rows > 0 && i < CELLS; i++)
        if (width[i] > 0)
            table_cell(heading[i], width[i], i >= AGE && i != PROVEN);
    if (s->rows > 0)
        (void)puts("STATE");
    for (size_t i = 0; i < s->rows; i++)
        say_row(&s->row[i], &c[i], width);
    for (size_t i = 0; i < s->rows; i++)
        explain(&s->row[i]);
    for (size_t i = 0; i < s->trees; i++)
        explain_tree(&s->tree[i]);
    if (s->rows > 0)
        say_sum(s);
    free(c);
    return fflush(stdout) == 0 ? 0 : EXIT_DEFECT;
}

/* --- as JSON */

static void put_drill(struct page *p, cJSON *o, const char *key, const struct status_drill *d)
{
    if (!d->when) {
        page_null(p, o, key);
        return;
    }
    cJSON *drill = page_object(p, o, key);
    page_time(p, drill, "time", "age_seconds", d->when);
    page_text(p, drill, "verdict", d->failed ? "failed" : d->partly ? "partly_proven" : "proven");
    page_text(p, drill, "snapshot", d->snapshot);
    page_text(p, drill, "why", d->why);
    page_number(p, drill, "restore_seconds", d->seconds);
}

static void put_number(struct page *p, cJSON *o, const char *key, bool known, double n)
{
    if (known)
        page_number(p, o, key, n);
    else
        page_null(p, o, key);
}

/* What grew since about a day before. */
static void put_growth(struct page *p, cJSON *o, const struct manifest *is, const struct manifest *was)
{
    bool counted = is && was && is->points >= 0 && was->points >= 0;
    page_text(p, o, "compared_with", was ? was->source.stem : "");
    if (is && was)
        page_number(p, o, "growth", (double)is->content.size - (double)was->content.size);
    else
        page_null(p, o, "growth");
    if (counted)
        page_number(p, o, "points_growth", (double)(is->points - was->points));
    else
        page_null(p, o, "points_growth");
}

static void put_backup(struct page *p, cJSON *o, const struct status_row *row)
{
    static const struct backup none = {.m.points = -1};
    const struct backup *b = row->good ? row->good : &none;
    bool any = b != &none;
    char path[PATH_MAX + NAME_MAX + 2] = "";
    if (any)
        (void)snprintf(path, sizeof path, "%s/%s", b->dir, b->data);
    page_text(p, o, "snapshot", b->m.source.stem);
    page_text(p, o, "frequency", any ? frequency_text(b->frequency) : "");
    page_text(p, o, "path", path);
    put_number(p, o, "points", b->m.points >= 0, (double)b->m.points);
    put_number(p, o, "size", any, (double)b->m.content.size);
    put_number(p, o, "stored_size", any, (double)b->m.content.stored_size);
    put_growth(p, o, any ? &b->m : NULL, row->day ? &row->day->m : NULL);
}

static void put_newer(struct page *p, cJSON *o, const struct backup *b)
{
    if (!b) {
        page_null(p, o, "newest_passed_over");
        return;
    }
    cJSON *newer = page_object(p, o, "newest_passed_over");
    page_text(p, newer, "snapshot", b->m.source.stem);
    page_text(p, newer, "state", entry_state_text(b->state));
    page_text(p, newer, "reason", b->reason ? b->reason : "");
}

static void put_row(struct page *p, cJSON *list, const struct status_row *row)
{
    static const char *const name[STATUS_PROBLEMS] = {
        "no_good_backup",    "too_old",         "newest_incomplete", "newest_corrupt",
        "newest_unreadable", "newest_unsigned", "drill_failed"};
    cJSON *o = page_element(p, list);
    page_text(p, o, "tree", row->tree->name);
    page_text(p, o, "kind", kind_text(row->source.kind));
    page_text(p, o, "collection", row->source.collection);
    page_text(p, o, "shard", row->source.shard);
    page_text(p, o, "node", row->node);
    page_flag(p, o, "good", row->problems == 0);
    cJSON *problems = page_array(p, o, "problems");
    for (int i = 0; p->ok && i < STATUS_PROBLEMS; i++)
        if (row->problems & 1U << i)
            p->ok = json_append_text(problems, name[i]);
    page_time(p, o, "taken", "age_seconds", row->good ? row->taken : 0);
    page_number(p, o, "rpo_seconds", (double)row->rpo);
    page_flag(p, o, "held", row->held);
    page_flag(p, o, "node_gone", row->gone);
    page_time(p, o, "deleted", NULL, row->deleted);
    put_backup(p, o, row);
    page_number(p, o, "backups", (double)row->n);
    page_number(p, o, "passed_over", (double)row->passed);
    put_newer(p, o, row->first);
    put_drill(p, o, "last_drill", &row->last);
    put_drill(p, o, "last_proof", &row->proven);
    put_number(p, o, "rto_seconds", row->proven.when, row->proven.seconds);
}

static void put_sum(struct page *p, cJSON *o, const struct status *s)
{
    struct sum sum = sum_up(s);
    cJSON *total = page_object(p, o, "total");
    page_number(p, total, "collections", (double)collections(s));
    page_number(p, total, "not_as_promised", (double)sum.bad);
    page_number(p, total, "unread_folders", (double)cmd_unread());
    page_number(p, total, "points", (double)sum.points);
    page_number(p, total, "size", (double)sum.size);
    page_number(p, total, "stored_size", (double)sum.stored);
    put_number(p, total, "loss_seconds", !sum.worst && s->rows > 0, (double)sum.loss);
    put_number(p, total, "rto_seconds", sum.measured > 0, sum.back);
    page_number(p, total, "rto_measured", (double)sum.measured);
}

int status_say_json(const struct status *s)
{
    cJSON *o = cJSON_CreateObject();
    struct page p = {.now = s->now, .ok = o != NULL};
    page_time(&p, o, "now", NULL, s->now);
    page_flag(&p, o, "good", status_good(s) && cmd_unknown() == 0);
    cJSON *rows = page_array(&p, o, "collections");
    for (size_t i = 0; i < s->rows; i++)
        put_row(&p, rows, &s->row[i]);
    cJSON *crashed = page_array(&p, o, "failed_drills");
    for (size_t i = 0; i < s->trees; i++)
        if (s->tree[i].crashed) {
            cJSON *one = page_element(&p, crashed);
            page_text(&p, one, "tree", s->tree[i].name);
            page_time(&p, one, "time", "age_seconds", s->tree[i].crashed);
            page_text(&p, one, "why", s->tree[i].why);
        }
    put_sum(&p, o, s);
    return page_print(&p, o);
}
