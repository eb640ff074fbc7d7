/* prune: retention by hand, or shown with --dry-run. */
#include "common/text.h"
#include "efs/cmd.h"
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>

struct state {
    const struct options *o;
    cJSON *array; /* with --json */
    size_t n;
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
    manifest_time(b->m.slot, slot);
    (void)snprintf(raw, sizeof raw, "%s/%s", b->dir, b->stem);
    (void)printf("%s %s %s\n", s->o->dry_run ? "would prune" : "pruned", slot,
                 text_printable(raw, safe, sizeof safe));
}

static int folder(const struct options *o, const char *base, const char *name, void *arg, struct err *e)
{
    struct state *s = arg;
    struct err why = {0};
    struct prune what = {
        .retention = &o->settings.retention, .dry_run = o->dry_run, .may = may, .gone = pruned, .arg = s};
    (void)e;
    if (store_prune(base, name, &what, &why) != 0) {
        cmd_complain("%s", why.text); /* the other folders go on */
        s->failed = EXIT_DEFECT;
    }
    return 0;
}

int cmd_prune(const struct options *o)
{
    struct state s = {.o = o, .array = o->json ? cJSON_CreateArray() : NULL};
    struct err e = {0};
    const char *policy = getenv("RETENTION");
    if (!o->dry_run && !(policy && *policy))
        cmd_complain("RETENTION is not set: the default 15min=24h,hourly=7d,daily=35d,monthly=13 applies");
    if (cmd_each_folder(o, folder, &s, &e) != 0) {
        cmd_complain("%s", e.text);
        s.failed = EXIT_DEFECT;
    }
    if (s.array) {
        int rc = cmd_print_json(s.array);
        return s.failed ? s.failed : rc;
    }
    (void)printf("%zu %s\n", s.n, o->dry_run ? "would be pruned" : "pruned");
    return s.failed ? s.failed : fflush(stdout) == 0 ? 0 : EXIT_DEFECT;
}
