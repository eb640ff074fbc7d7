/* compact: deltas become wholes, where that lets go of more than it takes, or where one or all are asked for.
 */
#include "common/base/cleanup.h"
#include "common/base/string_list.h"
#include "common/base/text.h"
#include "efs/cli/cmd_policy.h"
#include "efs/repo/compact.h"
#include "efs/repo/compact_plan.h"
#include "efs/repo/ruler.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct compacting {
    const struct options *o;
    struct policy policy;
    struct compact how;
    cJSON *made;            /* with --json */
    size_t n, deltas, left; /* made whole; bases that can go; deltas that stay, since it does not pay */
    uint64_t takes, frees;
    bool failed;
};

/* --- one of them */

static void say_made(struct compacting *c, const struct backup *b, uint64_t before, uint64_t now)
{
    char safe[NAME_STORED * 4], was[16], is[16];
    c->n++;
    c->takes += now > before ? now - before : 0;
    if (c->made) {
        if (!cJSON_AddItemToArray(c->made, cmd_json(b)))
            c->failed = true;
        return;
    }
    (void)printf("%s: %s, %s in place of %s\n", text_printable(b->m.source.stem, safe, sizeof safe),
                 c->o->dry_run ? "would be made whole" : "made whole", cmd_human(now, is),
                 cmd_human(before, was));
    (void)fflush(stdout);
}

/* False: it stays a delta. */
static bool make_whole(struct compacting *c, struct backup *b, uint64_t about)
{
    struct err e = {0};
    uint64_t before = b->m.content.stored_size;
    if (c->o->dry_run)
        return say_made(c, b, before, about), true;
    struct progress *bar = progress_new(backup_work(&b->m));
    const struct copy_watch watch = {progress_bytes, bar};
    progress_name(bar, b->stem);
    c->how.watch = &watch;
    enum compact_outcome outcome = backup_compact(&c->how, b, &e);
    progress_end(bar);
    c->how.watch = NULL;
    if (outcome == COMPACT_DONE)
        return say_made(c, b, before, b->m.content.stored_size), true;
    c->failed = true;
    if (outcome == COMPACT_GONE)
        cmd_complain("%s was deleted meanwhile, and nothing is left of it", b->m.source.stem);
    else if (outcome == COMPACT_HALF)
        cmd_complain("%s is a whole, but not all is done, and the next run does the rest: %s",
                     b->m.source.stem, e.text);
    else
        cmd_complain("%s stays a delta: %s", b->m.source.stem, e.text);
    return outcome != COMPACT_FAILED;
}

static bool is_stopped(const struct compacting *c) { return c->how.stop && atomic_load(c->how.stop); }

/* --- the one that is named */

static int compact_named(struct compacting *c)
{
    cleanup_backup_list struct backup_list list = {0}, folder = {0};
    struct err e = {0};
    char tree[PATH_MAX];
    size_t n;
    struct options o = *c->o;
    o.operand = o.restore.snapshot; /* as the others have theirs */
    if (cmd_gather(&o, &list) != 0)
        return EXIT_DEFECT;
    if (list.n > 1)
        cmd_complain("%zu backups are called %.255s; choose one with --tier, --cpu-arch or --collection",
                     list.n, o.operand);
    if (list.n != 1)
        return EXIT_DEFECT;
    struct backup *b = &list.v[0];
    (void)snprintf(tree, sizeof tree, "%s", b->dir);
    const char *name = cmd_folder_of(b, &n);
    tree[n] = 0;
    c->how.base = tree;
    if (b->state != ENTRY_COMPLETE && b->state != ENTRY_UNSIGNED) {
        cmd_complain("%s is %s%s%s", b->m.source.stem, entry_state_text(b->state), b->reason ? ": " : "",
                     b->reason ? b->reason : "");
        return EXIT_DEFECT;
    }
    if (b->m.bases.n == 0) {
        if (!c->made)
            (void)printf("%s was a whole already\n", b->m.source.stem);
        return !c->o->dry_run && backup_compact_finish(&c->how, b, &e) < 0
                   ? (cmd_complain("%s", e.text), EXIT_DEFECT)
                   : 0;
    }
    if (backup_list_folder(tree, name, &folder, &e) != 0) {
        cmd_complain("%s", e.text);
        return EXIT_DEFECT;
    }
    for (size_t i = 0; i < folder.n; i++) {
        struct backup *other = &folder.v[i];
        if (!other->has_manifest || !ruler_may_need(other, b))
            continue;
        if (backup_load(other, &e) != 0 || ruler_needs(other, b)) {
            cmd_complain("%s stays a delta: %s is made of it, and would need it all the same",
                         b->m.source.stem, other->m.source.stem);
            return EXIT_DEFECT;
        }
    }
    (void)make_whole(c, b, b->m.content.size);
    return 0;
}

/* --- those of a folder for whose sake others stay */

struct seen {
    char **go, **kept; /* "{frequency folder}/{stem}" */
    size_t n_go, n_kept;
    bool ok;
};

static void see(const struct backup *b, char ***names, size_t *n, bool *ok)
{
    char path[PATH_MAX + NAME_MAX + 2];
    (void)snprintf(path, sizeof path, "%s/%s", b->dir, b->stem);
    *ok = string_list_add(names, n, path) && *ok;
}
static void see_gone(const struct backup *b, void *arg)
{
    struct seen *s = arg;
    see(b, &s->go, &s->n_go, &s->ok);
}
static void see_kept(const struct backup *b, void *arg)
{
    struct seen *s = arg;
    see(b, &s->kept, &s->n_kept, &s->ok);
}

static bool has(char *const *names, size_t n, const struct backup *b)
{
    char path[PATH_MAX + NAME_MAX + 2];
    (void)snprintf(path, sizeof path, "%s/%s", b->dir, b->stem);
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], path) == 0)
            return true;
    return false;
}

/* What one of a group still needs, none of its others lets go. */
static void compact_planned(struct compacting *c, struct backup_list *list, struct compact_plan *plan)
{
    for (size_t i = list->n; i > 0 && !is_stopped(c); i--) { /* newest first: none is made of it then */
        struct compact_group *g = plan->of[i - 1] ? &plan->group[plan->of[i - 1] - 1] : NULL;
        if (!g || g->stuck || !compact_pays(g))
            continue;
        g->stuck =
            !make_whole(c, &list->v[i - 1], list->v[i - 1].m.content.stored_size + g->costs / g->deltas);
        g->made += !g->stuck;
    }
    for (size_t i = 0; i < plan->n_groups; i++) {
        const struct compact_group *g = &plan->group[i];
        c->deltas += g->made == g->deltas ? g->bases : 0;
        c->frees += g->made == g->deltas ? g->frees : 0;
    }
}

/* All of them, whatever it takes. */
static void compact_all(struct compacting *c, struct backup_list *list)
{
    for (size_t i = list->n; i > 0 && !is_stopped(c); i--) {
        struct backup *b = &list->v[i - 1];
        if (b->state == ENTRY_COMPLETE && b->m.bases.n > 0)
            (void)make_whole(c, b, b->m.content.size);
        else if (b->state != ENTRY_COMPLETE && b->has_manifest && ruler_is_delta(b)) {
            c->failed = true;
            cmd_complain("%s stays a delta: it is %s%s%s", b->m.source.stem, entry_state_text(b->state),
                         b->reason ? ": " : "", b->reason ? b->reason : "");
        }
    }
}

static void say_groups(struct compacting *c, const char *folder, const struct compact_plan *plan)
{
    char safe[NAME_MAX * 8], costs[16], frees[16];
    for (size_t i = 0; i < plan->n_groups; i++) {
        const struct compact_group *g = &plan->group[i];
        if (compact_pays(g))
            continue;
        c->left += g->deltas;
        if (!c->made)
            (void)printf("%s: not worth it: %zu %s would take about %s more, and let go %s\n",
                         text_printable(folder, safe, sizeof safe), g->deltas,
                         g->deltas == 1 ? "delta as a whole" : "deltas as wholes", cmd_human(g->costs, costs),
                         cmd_human(g->frees, frees));
    }
}

static int compact_list(struct compacting *c, const char *folder, struct backup_list *list,
                        const struct seen *seen, struct err *e)
{
    cleanup_compact_plan struct compact_plan plan = {0};
    cleanup_free enum compact_role *role = calloc(list->n + 1, sizeof *role);
    int rc = 0;
    if (!role)
        return err_set(e, ENOMEM, "cannot plan", folder, NULL);
    for (size_t i = 0; rc == 0 && i < list->n; i++) {
        rc = backup_load(&list->v[i], e);
        role[i] = has(seen->go, seen->n_go, &list->v[i])       ? COMPACT_GOES
                  : has(seen->kept, seen->n_kept, &list->v[i]) ? COMPACT_KEPT
                                                               : COMPACT_STAYS;
        if (rc == 0 && !c->o->dry_run && backup_compact_finish(&c->how, &list->v[i], e) < 0)
            rc = -1;
    }
    if (rc == 0 && compact_plan_make(list, role, &plan) != 0)
        rc = err_set(e, ENOMEM, "cannot plan", folder, NULL);
    if (rc == 0 && c->o->every) {
        compact_all(c, list);
    } else if (rc == 0) {
        say_groups(c, folder, &plan);
        compact_planned(c, list, &plan);
    }
    return rc;
}

static int compact_folder(const struct options *o, const char *base, const char *folder, void *arg,
                          struct err *e)
{
    struct compacting *c = arg;
    struct seen seen = {.ok = true};
    cleanup_backup_list struct backup_list list = {0};
    struct err why = {0};
    const struct retention *policy = o->every ? NULL : policy_of(&c->policy, base);
    (void)e;
    if ((!policy && !o->every) || is_stopped(c))
        return 0;
    const struct prune ask = {
        .retention = policy, .dry_run = true, .gone = see_gone, .needed = see_kept, .arg = &seen};
    c->how.base = base;
    int rc = policy ? backup_prune(base, folder, &ask, &why) : 0;
    if (rc == 0 && !seen.ok)
        rc = err_set(&why, ENOMEM, "cannot plan", folder, NULL);
    if (rc == 0)
        rc = backup_list_folder(base, folder, &list, &why);
    if (rc == 0)
        rc = compact_list(c, folder, &list, &seen, &why);
    if (rc != 0) {
        cmd_complain("%s", why.text); /* the other folders go on */
        c->failed = true;
    }
    string_list_free(seen.go, seen.n_go);
    string_list_free(seen.kept, seen.n_kept);
    return 0;
}

/* --- all */

static int print(const struct compacting *c)
{
    char takes[16], frees[16];
    const char *would = c->o->dry_run ? "would be " : "";
    (void)printf("%zu %smade whole, %s more", c->n, would, cmd_human(c->takes, takes));
    if (c->deltas > 0)
        (void)printf("; %zu backup%s (%s) past RETENTION stayed for them alone, and %s when the replicator "
                     "prunes next, or by `qdrant-efs prune`",
                     c->deltas, c->deltas == 1 ? "" : "s", cmd_human(c->frees, frees),
                     c->o->dry_run ? "would go" : "go");
    else if (c->n == 0 && c->left == 0 && !c->failed && !c->o->restore.snapshot && !c->o->every)
        (void)printf("; no backup stays for newer ones alone");
    (void)putchar('\n');
    return fflush(stdout) == 0 ? 0 : EXIT_DEFECT;
}

static int print_json(struct compacting *c)
{
    cJSON *o = cJSON_CreateObject();
    if (!o || !cJSON_AddItemToObject(o, "backups", c->made) ||
        !cJSON_AddBoolToObject(o, "dry_run", c->o->dry_run) ||
        !cJSON_AddNumberToObject(o, "takes", (double)c->takes) ||
        !cJSON_AddNumberToObject(o, "frees", (double)c->frees) ||
        !cJSON_AddNumberToObject(o, "not_needed", (double)c->deltas) ||
        !cJSON_AddNumberToObject(o, "left", (double)c->left)) {
        cJSON_Delete(o);
        o = NULL;
    }
    return cmd_print_json(o);
}

int cmd_compact(const struct options *o)
{
    struct compacting c = {.o = o,
                           .policy = {.o = o, .nothing = "nothing is made whole"},
                           .how = {.key = o->settings.sign},
                           .made = o->json ? cJSON_CreateArray() : NULL};
    struct err e = {0};
    int rc = 0;
    c.how.stop = cmd_catch_signals(true, NULL);
    if (o->restore.snapshot)
        rc = compact_named(&c);
    else if (cmd_each_folder(o, compact_folder, &c, &e) != 0) {
        cmd_complain("%s", e.text);
        rc = EXIT_DEFECT;
    }
    if (c.policy.failed && !c.made && c.n == 0)
        return EXIT_SETTING; /* nothing was looked at, and why was told */
    int printed = rc == 0 || !o->restore.snapshot ? o->json ? print_json(&c) : print(&c) : 0;
    return c.policy.failed ? EXIT_SETTING : c.failed || is_stopped(&c) ? EXIT_DEFECT : rc ? rc : printed;
}
