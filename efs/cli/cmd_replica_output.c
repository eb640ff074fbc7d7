#include "common/base/text.h"
#include "efs/cli/cmd_page.h"
#include "efs/cli/cmd_replica.h"
#include "efs/cli/cmd_table.h"
#include "common/base/utc.h"
#include <stdio.h>
#include <string.h>

/* --- for a person */

/* "7m", "3h05m", "2d04h" */
static const char *age_text(time_t seconds, char out[32])
{
    long s = (long)seconds;
    if (s < 3600)
        (void)snprintf(out, 32, s < 60 ? "%lds" : "%ldm", s < 60 ? s : s / 60);
    else if (s < 86400)
        (void)snprintf(out, 32, "%ldh%02ldm", s / 3600, s % 3600 / 60);
    else
        (void)snprintf(out, 32, "%ldd%02ldh", s / 86400, s % 86400 / 3600);
    return out;
}

static unsigned not_here(const struct replica_row *row)
{
    unsigned n = 0;
    for (int w = REPLICA_ABSENT; w < REPLICA_WHATS; w++)
        n += row->count[w];
    return n;
}

static void say_beats(const struct replica_report *r, const struct replica_tree *tree)
{
    char when[32], age[32], safe[1200];
    (void)printf("%s\n", text_printable(tree->name, safe, sizeof safe));
    for (size_t i = 0; !r->o->replica.primary && i < tree->beats.n; i++) {
        const struct replica_beat *b = &tree->beats.v[i];
        const char *node = *b->node ? text_printable(b->node, safe, sizeof safe) : "(no NODE_NAME)";
        utc_text(b->h.written, when);
        if (b->read)
            (void)printf("  %s: heartbeat of %s, %s ago: what was published since is not known here%s\n",
                         node, when, age_text(replica_age(b->h.written, r->now), age),
                         replica_beat_gone(&tree->beats, b)
                             ? "; silent beside others: delete its folder in heartbeat/ if it is no more"
                             : "");
        else
            (void)printf("  %s: no heartbeat that can be read: nothing tells what is missing\n", node);
        if (b->h.left_out > 0)
            (void)printf("    %u collections are not in it: it had no room, or could not look at them\n",
                         b->h.left_out);
        for (size_t k = 0; k < b->n_passed; k++)
            (void)printf("    passed over: %s\n", text_printable(b->passed[k], safe, sizeof safe));
    }
    if (!tree->told)
        (void)puts("  no heartbeat: only what is complete here is known, nothing tells what is missing");
}

static void say_row(const struct replica_report *r, const struct replica_row *row, size_t wide, size_t nodes,
                    bool colour)
{
    char safe[1200], when[32] = "-", age[32] = "-";
    static const char *const paint[] = {"\033[32m", "\033[33m", "\033[33m", "\033[31m",
                                        "\033[31m", "\033[33m", ""};
    if (row->path[0]) {
        utc_text(row->taken, when);
        (void)age_text(replica_age(row->taken, r->now), age);
    }
    table_cell(table_source(&row->source, safe, sizeof safe), wide, false);
    table_cell(*row->node ? text_printable(row->node, safe, sizeof safe) : "-", nodes, false);
    (void)printf("%-20s  %7s  %s%-8s%s  %7u  %-8s  %s\n", when, age, colour ? paint[row->state] : "",
                 replica_state_text(row->state), colour ? "\033[0m" : "", not_here(row),
                 !row->path[0]   ? "-"
                 : row->verified ? "verified"
                                 : "not read",
                 row->path[0] ? text_printable(row->snapshot, safe, sizeof safe) : "-");
}

static void say_problems(const struct replica_row *row)
{
    char safe[1200], raw[1200], name[600];
    for (size_t i = 0; i < row->problems; i++) {
        const struct replica_problem *p = &row->problem[i];
        (void)snprintf(raw, sizeof raw, "%s: %.400s%s", p->snapshot, p->why ? p->why : "",
                       p->promised ? "; AWS says that it is here" : "");
        (void)printf("  %s: %s, %s, %s\n", replica_what_text(p->what),
                     table_source(&row->source, name, sizeof name), frequency_text(p->frequency),
                     text_printable(raw, safe, sizeof safe));
    }
}

static void say_tree(const struct replica_report *r, const struct replica_tree *tree)
{
    char safe[1200];
    size_t wide = strlen("COLLECTION"), nodes = strlen("NODE"), n = 0;
    for (size_t i = 0; i < r->rows.n; i++)
        if (strcmp(r->rows.v[i].tree, tree->name) == 0) {
            n++;
            wide = table_wider(wide, table_source(&r->rows.v[i].source, safe, sizeof safe));
            nodes = table_wider(nodes, text_printable(r->rows.v[i].node, safe, sizeof safe));
        }
    if (n == 0 && tree->beats.n == 0)
        return;
    say_beats(r, tree);
    if (n == 0)
        return;
    table_cell("COLLECTION", wide, false);
    table_cell("NODE", nodes, false);
    (void)printf("%-20s  %7s  %-8s  %7s  %-8s  %s\n", "RECOVERY POINT", "AGE", "STATE", "MISSING", "BYTES",
                 "SNAPSHOT");
    for (size_t i = 0; i < r->rows.n; i++)
        if (strcmp(r->rows.v[i].tree, tree->name) == 0)
            say_row(r, &r->rows.v[i], wide, nodes, cmd_colour());
    for (size_t i = 0; i < r->rows.n; i++)
        if (strcmp(r->rows.v[i].tree, tree->name) == 0)
            say_problems(&r->rows.v[i]);
}

static void say_aws(const struct replica_report *r)
{
    const struct efs_replication *a = &r->aws;
    char when[32], age[32];
    if (!r->answered)
        return;
    (void)printf("AWS: %s (%s) to %s (%s): %s%s%s; ", a->source, a->source_region, a->destination, a->region,
                 a->status, *a->message ? ", " : "", a->message);
    utc_text(a->synced, when);
    if (a->synced)
        (void)printf("last synced %s, %s ago: every backup published before that is there%s\n", when,
                     age_text(replica_age(a->synced, r->now), age), r->broken_promise ? ", it says" : "");
    else
        (void)puts("the first sync goes on");
}

static void say_sum(const struct replica_report *r)
{
    size_t count[REPLICA_STATES] = {0};
    const char *comma = "";
    for (size_t i = 0; i < r->rows.n; i++)
        count[r->rows.v[i].state]++;
    for (int s = 0; s < REPLICA_STATES; s++)
        if (count[s] > 0) {
            (void)printf("%s%zu %s", comma, count[s], replica_state_text((enum replica_state)s));
            comma = ", ";
        }
    if (*comma)
        (void)putchar('\n');
}

static void complain(const struct replica_report *r)
{
    if (r->rows.n == 0 && r->o->n_collections == 0)
        cmd_complain("no backup below %s", r->o->root);
    if (r->broken_promise)
        cmd_complain("AWS says that all from before its last sync is here, and it is NOT: see above");
}

int replica_say(const struct replica_report *r)
{
    for (size_t i = 0; i < r->trees; i++)
        say_tree(r, &r->tree[i]);
    say_aws(r);
    say_sum(r);
    complain(r);
    return fflush(stdout) == 0 ? 0 : EXIT_DEFECT;
}

/* --- as JSON */

static void put_problem(struct page *p, cJSON *list, const struct replica_problem *from)
{
    cJSON *o = page_element(p, list);
    page_text(p, o, "what", replica_what_text(from->what));
    page_text(p, o, "frequency", frequency_text(from->frequency));
    page_text(p, o, "snapshot", from->snapshot);
    page_text(p, o, "why", from->why ? from->why : "");
    page_flag(p, o, "promised", from->promised);
}

static void put_row(struct page *p, cJSON *list, const struct replica_row *row)
{
    cJSON *o = page_element(p, list);
    bool found = row->path[0];
    page_text(p, o, "tree", row->tree);
    page_text(p, o, "kind", kind_text(row->source.kind));
    page_text(p, o, "collection", row->source.collection);
    page_text(p, o, "shard", row->source.shard);
    page_text(p, o, "node", row->node);
    page_text(p, o, "state", replica_state_text(row->state));
    page_time(p, o, "recovery_point", "age_seconds", found ? row->taken : 0);
    page_number(p, o, "rpo_seconds", (double)row->rpo);
    page_text(p, o, "snapshot", row->snapshot);
    page_text(p, o, "frequency", found ? frequency_text(row->frequency) : "");
    page_text(p, o, "path", row->path);
    page_flag(p, o, "verified", row->verified);
    page_time(p, o, "newest", NULL, row->newest);
    page_text(p, o, "newest_snapshot", row->newest_snapshot);
    if (found && row->newest)
        page_number(p, o, "lag_seconds", (double)replica_age(row->taken, row->newest));
    else
        page_null(p, o, "lag_seconds");
    page_number(p, o, "expected", row->expected);
    page_number(p, o, "complete_here", row->here);
    for (int w = REPLICA_ONLY_HERE; w < REPLICA_WHATS; w++)
        page_number(p, o, replica_what_text((enum replica_what)w), row->count[w]);
    cJSON *problems = page_array(p, o, "problems");
    for (size_t i = 0; i < row->problems; i++)
        put_problem(p, problems, &row->problem[i]);
}

static void put_beats(struct page *p, cJSON *list, const struct replica_tree *tree)
{
    for (size_t i = 0; i < tree->beats.n; i++) {
        const struct replica_beat *b = &tree->beats.v[i];
        cJSON *o = page_element(p, list);
        page_text(p, o, "tree", tree->name);
        page_text(p, o, "node", b->node);
        page_time(p, o, "written_at", "age_seconds", b->h.written);
        page_text(p, o, "path", b->read ? b->path : "");
        page_text(p, o, "qdrant_version", b->h.qdrant_version);
        page_flag(p, o, "gone", replica_beat_gone(&tree->beats, b));
        page_number(p, o, "left_out", b->h.left_out);
        cJSON *passed = page_array(p, o, "passed_over");
        for (size_t k = 0; k < b->n_passed; k++)
            page_text(p, page_element(p, passed), "why", b->passed[k]);
    }
}

static void put_aws(struct page *p, cJSON *o, const struct replica_report *r)
{
    const struct efs_replication *a = &r->aws;
    if (!r->answered) {
        page_null(p, o, "aws");
        return;
    }
    cJSON *aws = page_object(p, o, "aws");
    page_text(p, aws, "status", a->status);
    page_text(p, aws, "message", a->message);
    page_text(p, aws, "source", a->source);
    page_text(p, aws, "destination", a->destination);
    page_text(p, aws, "region", a->region);
    page_time(p, aws, "last_synced", "age_seconds", a->synced);
    page_flag(p, aws, "promise_broken", r->broken_promise);
}

int replica_say_json(const struct replica_report *r)
{
    cJSON *o = cJSON_CreateObject();
    struct page p = {.now = r->now, .ok = o != NULL};
    bool told = false;
    for (size_t i = 0; i < r->trees; i++)
        told = told || r->tree[i].told;
    page_text(&p, o, "by", r->o->replica.primary ? "primary" : told ? "heartbeat" : "nothing");
    page_flag(&p, o, "good", r->good);
    page_time(&p, o, "now", NULL, r->now);
    cJSON *beats = page_array(&p, o, "heartbeats");
    for (size_t i = 0; i < r->trees; i++)
        put_beats(&p, beats, &r->tree[i]);
    put_aws(&p, o, r);
    cJSON *rows = page_array(&p, o, "collections");
    for (size_t i = 0; i < r->rows.n; i++)
        put_row(&p, rows, &r->rows.v[i]);
    complain(r);
    return page_print(&p, o);
}
