/* diff: what changed between two backups. The manifests tell the most; --files reads the bytes of both. */
#include "efs/cli/cmd_diff.h"
#include "common/json.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- the manifests */

/* The look after the snapshot tells what was there at its end. */
static enum diff_answer configuration(const struct backup *a, const struct backup *b)
{
    const struct fingerprint *x = &a->m.fingerprint, *y = &b->m.fingerprint;
    if (!x->known || !y->known)
        return DIFF_UNKNOWN;
    return strcmp(x->after.config, y->after.config) == 0 ? DIFF_SAME : DIFF_CHANGED;
}

/* Samples are of other points each time: only looks at all points can be compared. */
static enum diff_answer content(const struct backup *a, const struct backup *b)
{
    const struct fingerprint *x = &a->m.fingerprint, *y = &b->m.fingerprint;
    if (strcmp(a->m.content.sha256, b->m.content.sha256) == 0)
        return DIFF_SAME;
    if (!x->known || !y->known || !x->exact || !y->exact)
        return DIFF_UNKNOWN;
    if (x->after.counted && y->after.counted && x->after.points != y->after.points)
        return DIFF_CHANGED;
    if (!x->after.all || !y->after.all)
        return DIFF_UNKNOWN;
    return strcmp(x->after.content, y->after.content) == 0 ? DIFF_SAME : DIFF_CHANGED;
}

/* --- settings, one by one */

static bool add_setting(struct diff *d, const char *name, const cJSON *a, const cJSON *b)
{
    struct diff_setting *v = realloc(d->setting, (d->settings + 1) * sizeof *v);
    if (!v)
        return false;
    d->setting = v;
    v[d->settings++] = (struct diff_setting){.name = strdup(name),
                                             .a = a ? cJSON_PrintUnformatted(a) : NULL,
                                             .b = b ? cJSON_PrintUnformatted(b) : NULL};
    const struct diff_setting *s = &v[d->settings - 1];
    return s->name && (!a || s->a) && (!b || s->b);
}

/* NOLINTNEXTLINE(misc-no-recursion): cJSON parses nothing that is deeper than 1000 */
static bool compare_json(struct diff *d, const char *name, const cJSON *a, const cJSON *b)
{
    if (a && b && cJSON_Compare(a, b, true))
        return true;
    if (!cJSON_IsObject(a) || !cJSON_IsObject(b))
        return add_setting(d, name, a, b);
    for (int side = 0; side < 2; side++)
        for (const cJSON *m = side ? b->child : a->child; m; m = m->next) {
            char below[512];
            const cJSON *other = json_member(side ? a : b, m->string);
            if (side && other)
                continue; /* seen from the other side */
            (void)snprintf(below, sizeof below, "%s%s%s", name, *name ? "." : "", m->string);
            if (!compare_json(d, below, side ? NULL : m, side ? m : other))
                return false;
        }
    return true;
}

/* --- files */

static struct diff_part *part_of(struct diff *d, const char *path)
{
    size_t n = contents_part(path);
    for (size_t i = d->parts; i > 0; i--) /* they come sorted by path */
        if (strncmp(d->part[i - 1].name, path, n) == 0 && !d->part[i - 1].name[n])
            return &d->part[i - 1];
    struct diff_part *v = realloc(d->part, (d->parts + 1) * sizeof *v);
    if (!v)
        return NULL;
    d->part = v;
    v[d->parts] = (struct diff_part){.name = strndup(path, n)};
    return v[d->parts].name ? &v[d->parts++] : NULL;
}

struct adding {
    struct diff *d;
    bool ok;
};

static void add_file(enum contents_change change, const struct contents_file *a,
                     const struct contents_file *b, void *arg)
{
    struct adding *s = arg;
    struct diff_part *p = part_of(s->d, a ? a->path : b->path);
    s->ok = s->ok && p;
    if (!p)
        return;
    p->a += a ? a->size : 0;
    p->b += b ? b->size : 0;
    p->same += change == CONTENTS_SAME;
    p->changed += change == CONTENTS_CHANGED;
    p->fresh += change == CONTENTS_NEW;
    p->gone += change == CONTENTS_GONE;
}

static int read_files(struct diff *d)
{
    struct progress *bar = progress_new(backup_work(&d->a->m) + backup_work(&d->b->m));
    struct copy_watch watch = {progress_bytes, bar};
    struct adding s = {d, true};
    struct err e = {0};
    progress_name(bar, d->a->stem);
    int rc = contents_read(d->a, &watch, &d->in_a, &e);
    const char *of = d->a->stem;
    if (rc == 0) {
        of = d->b->stem;
        progress_name(bar, of);
        rc = contents_read(d->b, &watch, &d->in_b, &e);
    }
    progress_end(bar);
    if (rc != 0)
        return cmd_complain("%s: %s", of, e.text), -1;
    contents_compare(&d->in_a, &d->in_b, add_file, &s);
    d->files = true;
    bool indexes = d->in_a.indexes || d->in_b.indexes, known = d->in_a.config && d->in_b.config;
    if (!s.ok || (known && !compare_json(d, "", d->in_a.config, d->in_b.config)) ||
        (indexes && !compare_json(d, "payload_index", d->in_a.indexes, d->in_b.indexes)))
        return cmd_complain("no memory"), -1;
    if (known)
        d->configuration = d->settings > 0 ? DIFF_CHANGED : DIFF_SAME;
    return 0;
}

static void diff_free(struct diff *d)
{
    for (size_t i = 0; i < d->parts; i++)
        free(d->part[i].name);
    for (size_t i = 0; i < d->settings; i++) {
        free(d->setting[i].name);
        cJSON_free(d->setting[i].a);
        cJSON_free(d->setting[i].b);
    }
    free(d->part);
    free(d->setting);
    contents_free(&d->in_a);
    contents_free(&d->in_b);
}

/* --- the two */

static const struct backup *find(const struct options *o, const char *name, struct backup_list *list)
{
    struct options one = *o;
    one.operand = name;
    if (cmd_gather(&one, list) != 0)
        return NULL;
    cmd_keep_node(&one, list);
    if (list->n > 1)
        cmd_complain("%zu backups are called %.255s; choose one with --tier, --cpu-arch, --collection, "
                     "--frequency or --node",
                     list->n, name);
    if (list->n != 1)
        return NULL;
    const struct backup *b = &list->v[0];
    if (b->m.content.sha256[0] && (!o->files || b->state == ENTRY_COMPLETE || b->state == ENTRY_UNSIGNED))
        return b;
    cmd_complain("%s is %s%s%s", name, entry_state_text(b->state), b->reason ? ": " : "",
                 b->reason ? b->reason : "");
    return NULL;
}

int cmd_diff(const struct options *o)
{
    cleanup_backup_list struct backup_list first = {0}, second = {0};
    struct diff d = {.a = find(o, o->operand, &first)};
    d.b = d.a ? find(o, o->second, &second) : NULL;
    if (!d.b)
        return EXIT_DEFECT;
    d.configuration = configuration(d.a, d.b);
    d.content = content(d.a, d.b);
    int rc = o->files && read_files(&d) != 0 ? EXIT_DEFECT : o->json ? diff_print_json(&d) : diff_print(&d);
    diff_free(&d);
    return rc;
}
