/* Which job is next. */
#include "replicator/publish/job_order.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { NOW = 1000000000, JOBS = 4 };

static bool busy(const char *folder, const void *arg) { return *folder && strcmp(folder, arg) == 0; }

struct row {
    const char *what;
    struct job_order o;
    const char *busy;
    int next; /* -1: none */
    struct {
        enum job_kind kind;
        const char *folder;
        long long size;
        int64_t waited;
    } job[JOBS];
    int n;
};

#define LARGE ((long long)JOB_ORDER_LARGE)
static const struct row table[] = {
    {"nothing", {0}, "x", -1, {{0}}, 0},
    {"the oldest", {0}, "x", 0, {{JOB_PUBLISH, "a", 1, 0}, {JOB_PUBLISH, "b", 1, 0}}, 2},
    {"not in a folder where somebody works",
     {0},
     "a",
     1,
     {{JOB_PUBLISH, "a", 1, 0}, {JOB_PUBLISH, "b", 1, 0}},
     2},
    {"publishing before housekeeping",
     {0},
     "x",
     2,
     {{JOB_SCAN_EFS, "", 0, 5}, {JOB_REFRESH_FOLDER, "a", 0, 5}, {JOB_PUBLISH, "b", 1, 0}},
     3},
    {"not before housekeeping that has waited for long",
     {0},
     "x",
     0,
     {{JOB_REFRESH_FOLDER, "a", 0, JOB_ORDER_PATIENCE_MS}, {JOB_PUBLISH, "b", 1, 0}},
     2},
    {"housekeeping when nothing else can begin",
     {0},
     "b",
     0,
     {{JOB_REFRESH_FOLDER, "a", 0, 0}, {JOB_PUBLISH, "b", 1, 0}, {JOB_REFRESH_FOLDER, "c", 0, 0}},
     3},
    {"a tombstone is not overtaken", {0}, "x", 0, {{JOB_TOMBSTONE, "", 0, 0}, {JOB_PUBLISH, "b", 1, 0}}, 2},
    {"nor does it or a heartbeat overtake",
     {0},
     "x",
     0,
     {{JOB_REFRESH_FOLDER, "a", 0, 0}, {JOB_TOMBSTONE, "", 0, 0}, {JOB_HEARTBEAT, "", 0, 0}},
     3},
    {"a third large copy waits",
     {.large = 2},
     "x",
     1,
     {{JOB_PUBLISH, "a", LARGE, 0}, {JOB_PUBLISH, "b", LARGE - 1, 0}},
     2},
    {"a second one does not", {.large = 1}, "x", 0, {{JOB_PUBLISH, "a", LARGE, 0}}, 1},
    {"in a hurry publishing alone",
     {.hurry = true},
     "x",
     -1,
     {{JOB_REFRESH_FOLDER, "a", 0, 0}, {JOB_HEARTBEAT, "", 0, 0}, {JOB_TOMBSTONE, "", 0, 0}},
     3},
    {"the local disk has a thread of its own",
     {.local = true},
     "a",
     1,
     {{JOB_PUBLISH, "a", 1, 0}, {JOB_DELETE_LOCAL, "a", 1, 0}},
     2},
    {"which alone frees it", {0}, "x", -1, {{JOB_DELETE_LOCAL, "a", 1, 0}}, 1},
};

static void the_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const struct row *r = &table[i];
        struct job job[JOBS] = {0}, *head = NULL, **at = &head;
        char folder[JOBS][8];
        for (int k = 0; k < r->n; k++) {
            (void)snprintf(folder[k], sizeof folder[k], "%s", r->job[k].folder);
            job[k].kind = r->job[k].kind;
            job[k].folder = folder[k];
            job[k].stamp.size = r->job[k].size;
            job[k].pushed = NOW - r->job[k].waited;
            *at = &job[k];
            at = &job[k].next;
        }
        struct job_order o = r->o;
        o.now = NOW;
        o.busy = busy;
        o.arg = r->busy;
        struct job **next = job_order_next(&head, &o);
        if ((next ? *next - job : -1) != r->next)
            fail_msg("%s", r->what);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_table)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
