/* prune: retention by hand, or shown with --dry-run. */
#include "common/base/text.h"
#include "common/base/utc.h"
#include "efs/cli/cli.h"
#include "efs/replica/replica.h"
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_WRONG_USE = 64 };
struct state {
    const struct options *o;
    bool given;          /* RETENTION is */
    char tree[PATH_MAX]; /* the one that `policy` is of */
    const char *refused; /* why nothing is pruned there, or NULL */
    struct retention policy;
    cJSON *array; /* with --json */
    size_t n, pinned;
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

/* What the replicators of a tree keep, as their heartbeats say. NULL, or why that cannot be told. Those of
 * nodes that are gone do not count. */
static const char *ask_heartbeats(const char *base, struct retention *out)
{
    struct replica_beats beats = {0};
    struct err e = {0};
    const char *why = NULL;
    bool any = false;
    if (replica_beats_read(base, &beats, &e) != 0)
        why = "its heartbeats cannot be read";
    for (size_t i = 0; !why && i < beats.n; i++) {
        const struct heartbeat *h = &beats.v[i].h;
        struct retention one;
        char wrong[256];
        if (!beats.v[i].read || replica_beat_gone(&beats, &beats.v[i]))
            continue;
        if (!h->retention[0] || !retention_parse(h->retention, &one, wrong, sizeof wrong))
            why = "a heartbeat of its replicators does not say it";
        else if (any && !retention_same(out, &one))
            why = "its replicators do not agree";
        *out = any || why ? *out : one;
        any = true;
    }
    replica_beats_free(&beats);
    return why ? why : any ? NULL : "no heartbeat of a replicator says it";
}

/* The policy of that tree: a wrong one deletes for ever what its tasks would keep. */
static bool policy_known(struct state *s, const char *base)
{
    char text[RETENTION_TEXT];
    const char *tree = strrchr(base, '/') + 1;
    if (s->given || strcmp(s->tree, base) == 0)
        return !s->refused;
    (void)snprintf(s->tree, sizeof s->tree, "%s", base);
    s->refused = s->o->settings.require_signature ? "heartbeats, which say it, are not signed"
                                                  : ask_heartbeats(base, &s->policy);
    if (s->refused) {
        cmd_complain("%s: nothing is pruned, for RETENTION is not set, and %s; set it as the tasks have it "
                     "(--retention " RETENTION_STANDARD " where they do not set it)",
                     tree, s->refused);
        s->failed = EXIT_WRONG_USE;
        return false;
    }
    retention_text(&s->policy, text);
    cmd_complain("%s: RETENTION is not set; as its replicators keep: %s", tree, text);
    return true;
}

static int folder(const struct options *o, const char *base, const char *name, void *arg, struct err *e)
{
    struct state *s = arg;
    struct err why = {0};
    if (!policy_known(s, base))
        return 0;
    struct prune what = {.retention = s->given ? &o->settings.retention : &s->policy,
                         .dry_run = o->dry_run,
                         .may = may,
                         .gone = pruned,
                         .pinned = stays,
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
    const char *policy = getenv("RETENTION");
    struct state s = {.o = o, .given = policy && *policy, .array = o->json ? cJSON_CreateArray() : NULL};
    struct err e = {0};
    if (cmd_each_folder(o, folder, &s, &e) != 0) {
        cmd_complain("%s", e.text);
        s.failed = EXIT_DEFECT;
    }
    if (s.array) {
        int rc = cmd_print_json(s.array);
        return s.failed ? s.failed : rc;
    }
    (void)printf("%zu %s", s.n, o->dry_run ? "would be pruned" : "pruned");
    if (s.pinned > 0)
        (void)printf(", %zu %s for %s pinned", s.pinned, s.pinned == 1 ? "stays," : "stay,",
                     s.pinned == 1 ? "it is" : "they are");
    (void)putchar('\n');
    return s.failed ? s.failed : fflush(stdout) == 0 ? 0 : EXIT_DEFECT;
}
