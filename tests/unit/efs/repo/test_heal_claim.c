/* Who heals: one at a time, and whoever leaves off is followed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "efs/repo/heal_claim.h"
#include "scratch.h"

static struct scratch s;

static int begin(void **state)
{
    (void)state;
    scratch_make(&s, "heal_claim");
    return 0;
}

static int end(void **state)
{
    (void)state;
    scratch_delete(&s);
    return 0;
}

static struct heal_claim of(const char *node)
{
    return (struct heal_claim){.root = s.root, .tier = "test", .node = node};
}

static void grow_old(unsigned n, time_t seconds)
{
    char path[200];
    struct timespec then[2] = {{time(NULL) - seconds, 0}, {time(NULL) - seconds, 0}};
    (void)snprintf(path, sizeof path, "%s/clusters/test/heals/%u.json", s.root, n);
    assert_int_equal(utimensat(AT_FDCWD, path, then, 0), 0);
}

static void one_has_it_until_it_ends(void **state)
{
    (void)state;
    struct err e;
    struct heal_claim a = of("a"), b = of("b");
    assert_int_equal(heal_claim_take(&a, &e), 1);
    assert_int_equal(heal_claim_take(&b, &e), 0);
    assert_string_equal(b.other, "a");
    assert_int_equal(heal_claim_renew(&a, &e), 1);
    assert_int_equal(heal_claim_end(&a, &e), 0);
    assert_int_equal(heal_claim_take(&b, &e), 1);
    assert_int_equal(b.n, 2);
}

static void one_that_is_renewed_no_more_is_taken_over_and_learns_it(void **state)
{
    (void)state;
    struct err e;
    struct heal_claim a = of("a"), b = of("b");
    assert_int_equal(heal_claim_take(&a, &e), 1);
    grow_old(1, HEAL_CLAIM_STALE - 20);
    assert_int_equal(heal_claim_take(&b, &e), 0);
    assert_int_equal(heal_claim_renew(&a, &e), 1);
    assert_int_equal(heal_claim_take(&b, &e), 0);
    grow_old(1, HEAL_CLAIM_STALE + 20);
    assert_int_equal(heal_claim_take(&b, &e), 1);
    assert_int_equal(heal_claim_renew(&a, &e), 0);
    assert_int_equal(heal_claim_renew(&b, &e), 1);
}

static void of_many_that_take_it_at_once_one_has_it(void **state)
{
    enum { MANY = 16 };
    (void)state;
    for (unsigned round = 1; round <= 20; round++) {
        unsigned have = 0;
        pid_t pids[MANY];
        for (int i = 0; i < MANY; i++) {
            pids[i] = fork();
            if (pids[i] == 0) {
                struct err e;
                struct heal_claim c = of("x");
                _exit(heal_claim_take(&c, &e) == 1 ? 7 : 0);
            }
        }
        for (int i = 0; i < MANY; i++) {
            int status;
            assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
            have += WEXITSTATUS(status) == 7;
        }
        assert_int_equal(have, 1);
        grow_old(round, HEAL_CLAIM_STALE + 20);
    }
}

static void old_ones_go(void **state)
{
    (void)state;
    struct err e;
    for (unsigned n = 1; n <= 40; n++) {
        struct heal_claim c = of("a");
        assert_int_equal(heal_claim_take(&c, &e), 1);
        assert_int_equal(c.n, n);
        assert_int_equal(heal_claim_end(&c, &e), 0);
    }
    char path[200];
    (void)snprintf(path, sizeof path, "%s/clusters/test/heals/5.json", s.root);
    assert_int_not_equal(access(path, F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_has_it_until_it_ends, begin, end),
        cmocka_unit_test_setup_teardown(one_that_is_renewed_no_more_is_taken_over_and_learns_it, begin, end),
        cmocka_unit_test_setup_teardown(of_many_that_take_it_at_once_one_has_it, begin, end),
        cmocka_unit_test_setup_teardown(old_ones_go, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
