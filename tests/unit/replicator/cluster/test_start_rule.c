/* How a node of a cluster starts: a table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "replicator/cluster/start_rule.h"

static const struct row {
    const char *when;
    struct start_facts facts;
    enum start_what what;
} rows[] = {
    {"a disk with its part waits for nobody", {.disk = START_DISK_MEMBER}, START_RUN},
    {"also beside a cluster that answers",
     {.disk = START_DISK_MEMBER, .leader = true, .taken = true, .addressed = true},
     START_RUN},
    {"nobody could reach it", {.leader = true}, START_WAIT_ADDRESS},
    {"a cluster with a leader", {.addressed = true, .leader = true}, START_JOIN},
    {"also when EFS has the claim for us",
     {.addressed = true, .leader = true, .claim = FOUNDING_OURS, .silent_ms = 90000},
     START_JOIN},
    {"a lost node had the address", {.addressed = true, .leader = true, .taken = true}, START_WAIT_TAKEN},
    {"collections of its own, and a cluster",
     {.addressed = true, .leader = true, .disk = START_DISK_ALONE},
     START_WAIT_ALONE},
    {"who answers has no leader",
     {.addressed = true, .answers = true, .claim = FOUNDING_OURS, .silent_ms = 90000},
     START_WAIT_LEADER},
    {"silence, and EFS as well", {.addressed = true, .silent_ms = 1 << 30}, START_WAIT_EFS},
    {"EFS has not had the time to tell",
     {.addressed = true, .silent_ms = START_SETTLE_MS - 1},
     START_WAIT_SETTLE},
    {"backups are there",
     {.addressed = true, .claim = FOUNDING_EARLIER, .silent_ms = 1 << 30},
     START_WAIT_PEERS},
    {"it was founded", {.addressed = true, .claim = FOUNDING_DONE, .silent_ms = 1 << 30}, START_WAIT_PEERS},
    {"a word that was used is none",
     {.addressed = true, .claim = FOUNDING_USED, .word = true, .silent_ms = 1 << 30},
     START_WAIT_USED},
    {"one told, and nobody knows what came of it",
     {.addressed = true, .claim = FOUNDING_MAYBE, .silent_ms = 1 << 30},
     START_WAIT_MAYBE},
    {"another is at our address",
     {.addressed = true, .same = true, .answers = true, .leader = true},
     START_WAIT_SAME},
    {"a node with collections does not wait as long for a word",
     {.addressed = true,
      .disk = START_DISK_ALONE,
      .claim = FOUNDING_FREE,
      .word = true,
      .silent_ms = START_SETTLE_LONG_MS / 2},
     START_CLAIM},
    {"another has the claim",
     {.addressed = true, .claim = FOUNDING_OTHERS, .silent_ms = 1 << 30},
     START_WAIT_FOUNDER},
    {"not so fast",
     {.addressed = true, .claim = FOUNDING_FREE, .silent_ms = START_SETTLE_MS - 1},
     START_WAIT_SETTLE},
    {"nothing on record",
     {.addressed = true, .claim = FOUNDING_FREE, .silent_ms = START_SETTLE_MS},
     START_CLAIM},
    {"a word takes longer",
     {.addressed = true, .claim = FOUNDING_FREE, .word = true, .silent_ms = START_SETTLE_LONG_MS - 1},
     START_WAIT_SETTLE},
    {"a word",
     {.addressed = true, .claim = FOUNDING_FREE, .word = true, .silent_ms = START_SETTLE_LONG_MS},
     START_CLAIM},
    {"a claim that was left",
     {.addressed = true, .claim = FOUNDING_LEFT, .silent_ms = START_SETTLE_LONG_MS - 1},
     START_WAIT_SETTLE},
    {"and after a while",
     {.addressed = true, .claim = FOUNDING_LEFT, .silent_ms = START_SETTLE_LONG_MS},
     START_CLAIM},
    {"ours, and somebody has just answered",
     {.addressed = true, .claim = FOUNDING_OURS, .silent_ms = START_SETTLE_MS - 1},
     START_WAIT_SETTLE},
    {"ours", {.addressed = true, .claim = FOUNDING_OURS, .silent_ms = START_SETTLE_MS}, START_TELL},
    {"ours, and told",
     {.addressed = true, .claim = FOUNDING_TELLING, .silent_ms = START_SETTLE_MS},
     START_FOUND},
    {"ours, and told, and somebody has just answered",
     {.addressed = true, .claim = FOUNDING_TELLING, .silent_ms = START_SETTLE_MS - 1},
     START_WAIT_SETTLE},
    {"ours, with collections of a Qdrant alone",
     {.addressed = true, .disk = START_DISK_ALONE, .claim = FOUNDING_TELLING, .silent_ms = START_SETTLE_MS},
     START_FOUND},
};

static void the_table_holds(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (start_decide(&rows[i].facts) != rows[i].what)
            fail_msg("%s: %d", rows[i].when, (int)start_decide(&rows[i].facts));
}

/* Whatever else is so: a second cluster beside one that is there, or may be, is the one thing that must not
 * be. */
static void nothing_founds_without_a_claim_of_its_own_and_silence(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 1 << 7; bits++)
        for (int claim = FOUNDING_UNKNOWN; claim <= FOUNDING_USED; claim++)
            for (int disk = START_DISK_EMPTY; disk <= START_DISK_MEMBER; disk++) {
                struct start_facts f = {.disk = (enum start_disk)disk,
                                        .leader = bits & 1,
                                        .taken = bits & 2,
                                        .answers = bits & 4,
                                        .addressed = bits & 8,
                                        .silent_ms = bits & 16 ? 1 << 30 : 0,
                                        .claim = (enum founding_state)claim,
                                        .word = bits & 32,
                                        .same = bits & 64};
                enum start_what what = start_decide(&f);
                if (what == START_FOUND)
                    assert_true(claim == FOUNDING_TELLING && !f.leader && !f.answers && !f.same &&
                                f.silent_ms > 0);
                if (what == START_JOIN)
                    assert_true(f.leader && !f.taken && !f.same && f.addressed);
                if (what == START_TELL)
                    assert_true(claim == FOUNDING_OURS && !f.leader && !f.answers);
                if (what == START_CLAIM)
                    assert_true((claim == FOUNDING_FREE || claim == FOUNDING_LEFT) && !f.leader &&
                                !f.answers);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_holds),
        cmocka_unit_test(nothing_founds_without_a_claim_of_its_own_and_silence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
