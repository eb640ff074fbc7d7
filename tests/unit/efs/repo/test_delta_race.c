/* A task that prunes beside one that makes a delta of what is pruned: the delta is taken back, or its base
 * stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <openssl/sha.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "common/base/files.h"
#include "efs/repo/backup.h"
#include "efs/repo/ruler.h"
#include "tests/unit/efs/repo/scratch.h"

enum { SIZE = 2 << 20, DAY = 1795507200 /* 2026-11-24T08:00:00Z */ };

struct place {
    struct scratch in;
    struct retention retention;
    char *data;
};

static int set_up(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    char wrong[64];
    scratch_make(&p->in, "delta-race");
    assert_true(retention_parse("15min=24h", &p->retention, wrong, sizeof wrong));
    p->data = malloc(SIZE);
    for (uint32_t i = 0, x = 1; i < SIZE; i++, x = x * 1664525 + 1013904223)
        p->data[i] = (char)(x >> 24);
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct place *p = *state;
    scratch_delete(&p->in);
    free(p->data);
    free(p);
    return 0;
}

static void know_version(struct manifest *m, void *arg)
{
    (void)arg;
    (void)strcpy(m->qdrant_version, "1.18.2");
}

static enum publish_outcome publish(struct place *p, int slot, const struct copy_watch *watch,
                                    struct manifest *m, struct err *e)
{
    time_t taken = DAY + 900 * (time_t)slot;
    unsigned char raw[SHA256_DIGEST_LENGTH];
    char checksum[65];
    struct publish what = {.base = p->in.base,
                           .path = p->in.local,
                           .checksum = checksum,
                           .node = "n1",
                           .written_by = "test",
                           .about = know_version,
                           .retention = &p->retention,
                           .copy = {.level = 1, .watch = watch},
                           .delta = true};
    struct tm tm;
    char name[128], when[32];
    assert_non_null(gmtime_r(&taken, &tm));
    (void)strftime(when, sizeof when, "%Y-%m-%d-%H-%M-%S", &tm);
    (void)snprintf(name, sizeof name, "docs/docs-1-%s.snapshot", when);
    assert_int_equal(name_source(name, &what.source), NAME_SOURCE);
    p->data[slot * 1000] ^= 1;
    FILE *f = fopen(p->in.local, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(p->data, 1, SIZE, f), SIZE);
    assert_int_equal(fclose(f), 0);
    (void)SHA256((unsigned char *)p->data, SIZE, raw);
    for (int i = 0; i < 32; i++)
        (void)snprintf(checksum + i * 2, 3, "%02x", raw[i]);
    return backup_publish(&what, m, e);
}

static size_t count(struct place *p, enum entry_state state)
{
    struct backup_list list = {0};
    struct err e = {0};
    size_t n = 0;
    assert_int_equal(backup_list_folder(p->in.base, "docs", &list, &e), 0);
    for (size_t i = 0; i < list.n; i++) {
        assert_int_equal(backup_load(&list.v[i], &e), 0);
        backup_verify(&list.v[i], NULL);
        n += list.v[i].state == state;
    }
    backup_list_free(&list);
    return n;
}

static void lose_manifest(size_t n, void *arg)
{
    (void)n;
    (void)unlink(arg);
}

static void a_delta_whose_base_is_let_go_meanwhile_is_taken_back(void **state)
{
    struct place *p = *state;
    struct manifest m;
    struct err e = {0};
    char path[PATH_MAX];
    assert_int_equal(publish(p, 0, NULL, &m, &e), PUBLISHED);
    (void)snprintf(path, sizeof path, "%s/%s/docs/%s.json", p->in.base, frequency_text(m.frequency),
                   m.source.stem);
    struct copy_watch watch = {lose_manifest, path};
    assert_int_equal(publish(p, 1, &watch, &m, &e), PUBLISH_FAILED);
    assert_non_null(strstr(e.text, "let go meanwhile"));
    assert_int_equal(count(p, ENTRY_COMPLETE), 0);
    assert_int_equal(count(p, ENTRY_INCOMPLETE), 1); /* what is left of the base; nothing of the delta */
    /* The next try finds no base. */
    assert_int_equal(publish(p, 1, NULL, &m, &e), PUBLISHED);
    assert_int_equal(m.bases.n, 0);
    assert_int_equal(count(p, ENTRY_COMPLETE), 1);
}

struct racing {
    struct place *p;
    bool done;
};

/* While it is decided what goes, the other task publishes a delta of it. */
static bool publish_meanwhile(const struct backup *b, void *arg)
{
    struct racing *r = arg;
    struct manifest m;
    struct err e = {0};
    (void)b;
    if (!r->done) {
        assert_int_equal(publish(r->p, 3, NULL, &m, &e), PUBLISHED);
        assert_int_equal(m.bases.n, 2); /* 0 and 2 */
    }
    return r->done = true;
}

static void a_base_stays_for_a_delta_that_was_made_meanwhile(void **state)
{
    struct place *p = *state;
    struct manifest m;
    struct err e = {0};
    struct retention few;
    char wrong[64];
    for (int slot = 0; slot <= 2; slot++)
        assert_int_equal(publish(p, slot, NULL, &m, &e), PUBLISHED);
    /* Newer ones, so that 2 may go. */
    for (int slot = 4; slot <= 6; slot++)
        assert_int_equal(publish(p, slot, NULL, &m, &e), PUBLISHED);
    assert_true(retention_parse("15min=1", &few, wrong, sizeof wrong));
    struct racing racing = {.p = p};
    struct prune prune = {.retention = &few, .may = publish_meanwhile, .arg = &racing};
    assert_int_equal(backup_prune(p->in.base, "docs", &prune, &e), 0);
    assert_true(racing.done);
    struct backup_list list = {0};
    assert_int_equal(backup_list_folder(p->in.base, "docs", &list, &e), 0);
    size_t deltas_of_two = 0;
    for (size_t i = 0; i < list.n; i++) {
        assert_int_equal(backup_load(&list.v[i], &e), 0);
        if (list.v[i].has_manifest) {
            backup_verify(&list.v[i], NULL);
            assert_int_equal(list.v[i].state, ENTRY_COMPLETE);
            deltas_of_two += list.v[i].m.bases.n == 2;
        }
    }
    assert_true(deltas_of_two > 0);
    backup_list_free(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_delta_whose_base_is_let_go_meanwhile_is_taken_back, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_base_stays_for_a_delta_that_was_made_meanwhile, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
