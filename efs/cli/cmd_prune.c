/* prune: retention by hand, or shown with --dry-run. */
#include "common/base/text.h"
#include "common/base/utc.h"
#include "efs/cli/cmd_policy.h"
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_WRONG_USE = 64 };
struct state {
    const struct options *o;
    struct policy policy;
    cJSON *array; /* with --json */
    size_t n, pinned, needed;
    int failed;
};

static bool may(const struct backup *b, void *arg) { return cmd_wanted(((struct state *)arg)->o, b); }

static void pruned(const struct backup *b, void *arg)
{
    struct state *s = arg;
    char slot[32], safe[PATH_MAX + NAME_MAX + 2], raw[sizeof safe];
    s->n++;
    if (s->array) {
        if (!cJSON_AddItemToArray(s->array, cmd_json(b)))
            s->failed = EXIT_DEFECT;
        return;
    }
    utc_text(b->m.slot, slot);
    (void)snprintf(raw, sizeof raw, "%s/%s", b->dir, b->stem);
    (void)printf("%s %s %s\n", s->o->dry_run ? "would prune" : "pruned", slot,
                 text_printable(raw, safe, sizeof safe));
}

static void stays(const struct backup *b, void *arg)
{
    struct state *s = arg;
    char safe[NAME_STORED * 4];
    s->pinned++;
    if (s->array)
        return;
    (void)printf("stays: %s", text_printable(b->m.source.stem, safe, sizeof safe));
    cmd_print_pin(b);
    (void)putchar('\n');
}

static void is_needed(const struct backup *b, void *arg)
{
    struct state *s = arg;
    char safe[NAME_STORED * 4];
    s->needed++;
    if (!s->array)
        (void)printf("stays: %s (newer ones that stay are made of it)\n",
                     text_printable(b->m.source.stem, safe, sizeof safe));
}

static int folder(const struct options *o, const char *base, const char *name, void *arg, struct err *e)
{
    struct state *s = arg;
    struct err why = {0};
    const struct retention *policy = policy_of(&s->policy, base);
    if (!policy)
        return 0;
    struct prune what = {.retention = policy,
                         .dry_run = o->dry_run,
                         .may = may,
                         .gone = pruned,
                         .pinned = stays,
                         .needed = is_needed,
                         .arg = s};
    (void)e;
    if (backup_prune(base, name, &what, &why) != 0) {
        cmd_complain("%s", why.text); /* the other folders go on */
        s->failed = s->failed ? s->failed : EXIT_DEFECT;
    }
    return 0;
}

int cmd_prune(const struct options *o)
{
    struct state s = {.o = o,
                      .policy = {.o = o, .nothing = "nothing is pruned"},
                      .array = o->json ? cJSON_CreateArray() : NULL};
    struct err e = {0};
    if (cmd_each_folder(o, folder, &s, &e) != 0) {
        cmd_complain("%s", e.text);
        s.failed = EXIT_DEFECT;
    }
    if (s.policy.failed)
        s.failed = EXIT_WRONG_USE;
    if (s.policy.failed && !s.array && s.n + s.needed + s.pinned == 0)
        return s.failed; /* nothing was looked at, and why was told */
    if (s.array) {
        int rc = cmd_print_json(s.array);
        return s.failed ? s.failed : rc;
    }
    (void)printf("%zu %s", s.n, o->dry_run ? "would be pruned" : "pruned");
    if (s.pinned > 0)
        (void)printf(", %zu %s for %s pinned", s.pinned, s.pinned == 1 ? "stays," : "stay,",
                     s.pinned == 1 ? "it is" : "they are");
    if (s.needed > 0)
        (void)printf(", %zu %s: newer ones are made of %s", s.needed, s.needed == 1 ? "stays" : "stay",
                     s.needed == 1 ? "it" : "them");
    (void)putchar('\n');
    return s.failed ? s.failed : fflush(stdout) == 0 ? 0 : EXIT_DEFECT;
}
