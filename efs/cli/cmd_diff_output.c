/* What `diff` prints: a table of what the manifests say, then settings, segments and files. */
#include "common/base/cleanup.h"
#include "common/base/text.h"
#include "common/base/utc.h"
#include "common/json.h"
#include "efs/cli/cmd_diff.h"
#include "efs/cli/cmd_page.h"
#include "efs/cli/cmd_table.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN = 20, NAME = 15 };

static const char *answer_text(enum diff_answer a)
{
    static const char *const text[] = {"the same", "changed", "not known"};
    return text[a];
}

static const char *growth(uint64_t a, uint64_t b, char out[32])
{
    if (a == b)
        (void)snprintf(out, 32, "the same");
    else if (a == 0)
        (void)snprintf(out, 32, "new");
    else
        (void)snprintf(out, 32, "%+.1f %%", ((double)b - (double)a) * 100 / (double)a);
    return out;
}

static void print_sizes(const char *name, uint64_t a, uint64_t b)
{
    char x[16], y[16], by[32];
    (void)printf("%-*s %s -> %s, %s\n", NAME, name, cmd_human(a, x), cmd_human(b, y), growth(a, b, by));
}

/* Only what differs; of both where it is the same. */
static void print_texts(const char *name, const char *a, const char *b)
{
    char x[600], y[600];
    (void)text_printable(*a ? a : "-", x, sizeof x);
    (void)text_printable(*b ? b : "-", y, sizeof y);
    if (strcmp(a, b) == 0 && *a)
        (void)printf("%-*s %s\n", NAME, name, x);
    else if (strcmp(a, b) != 0)
        (void)printf("%-*s %s -> %s\n", NAME, name, x, y);
}

static bool has_alias(const struct aliases *all, const char *name)
{
    for (const char *n = aliases_next(all, NULL); n; n = aliases_next(all, n))
        if (strcmp(n, name) == 0)
            return true;
    return false;
}

static void print_aliases(const struct aliases *a, const struct aliases *b, const char *what)
{
    char safe[600];
    for (const char *n = aliases_next(b, NULL); n; n = aliases_next(b, n))
        if (!has_alias(a, n))
            (void)printf("%-*s %s %s\n", NAME, "alias", text_printable(n, safe, sizeof safe), what);
}

static void print_one(const char *which, const struct backup *b)
{
    char safe[1200], slot[32], source[1200];
    utc_text(b->m.created, slot);
    (void)printf("%-*s %s, %s of %s, %s", NAME, which, text_printable(b->m.source.stem, safe, sizeof safe),
                 frequency_text(b->frequency), slot, table_source(&b->m.source, source, sizeof source));
    cmd_print_pin(b);
    (void)putchar('\n');
}

static void print_points(const struct backup *a, const struct backup *b)
{
    if (a->m.points < 0 || b->m.points < 0)
        (void)printf("%-*s not known\n", NAME, "points");
    else
        (void)printf("%-*s %" PRId64 " -> %" PRId64 ", %+" PRId64 "\n", NAME, "points", a->m.points,
                     b->m.points, b->m.points - a->m.points);
}

static void print_manifests(const struct diff *d)
{
    const struct backup *a = d->a, *b = d->b;
    char age[32];
    time_t apart = b->m.created - a->m.created;
    print_one("A", a);
    print_one("B", b);
    (void)printf("%-*s %s\n", NAME, apart < 0 ? "B is older by" : "B is newer by",
                 table_age(apart < 0 ? -apart : apart, age));
    print_texts("node", a->m.node, b->m.node);
    print_texts("Qdrant", a->m.qdrant_version, b->m.qdrant_version);
    print_points(a, b);
    print_sizes("size", a->m.content.size, b->m.content.size);
    print_sizes("stored", a->m.content.stored_size, b->m.content.stored_size);
    print_texts("codec", a->m.codec, b->m.codec);
    if (a->m.aliases.known && b->m.aliases.known) {
        print_aliases(&a->m.aliases, &b->m.aliases, "is new");
        print_aliases(&b->m.aliases, &a->m.aliases, "is gone");
    }
    (void)printf("%-*s %s\n", NAME, "configuration", answer_text(d->configuration));
    (void)printf("%-*s %s%s\n", NAME, "points' content", answer_text(d->content),
                 strcmp(a->m.content.sha256, b->m.content.sha256) == 0 ? ": each byte" : "");
}

/* --- files */

static uint64_t distance(uint64_t a, uint64_t b) { return a > b ? a - b : b - a; }

/* Those that changed their size most come first. */
static int by_distance(const void *x, const void *y)
{
    const struct diff_part *p = *(const struct diff_part *const *)x, *q = *(const struct diff_part *const *)y;
    uint64_t a = distance(p->a, p->b), b = distance(q->a, q->b);
    return a != b ? (a < b ? 1 : -1) : strcmp(p->name, q->name);
}

static void print_part(const struct diff_part *p)
{
    char safe[600], x[16], y[16], by[32];
    (void)printf("  %s: %s -> %s, %s; %zu files changed, %zu new, %zu gone, %zu the same\n",
                 *p->name ? text_printable(p->name, safe, sizeof safe) : "(collection)", cmd_human(p->a, x),
                 cmd_human(p->b, y), p->b == 0 && p->gone > 0 ? "gone" : growth(p->a, p->b, by), p->changed,
                 p->fresh, p->gone, p->same);
}

static void print_parts(const struct diff *d)
{
    cleanup_free const struct diff_part **order = calloc(d->parts + 1, sizeof(struct diff_part *));
    size_t n = 0;
    for (size_t i = 0; order && i < d->parts; i++)
        if (d->part[i].changed + d->part[i].fresh + d->part[i].gone > 0)
            order[n++] = &d->part[i];
    if (n > 1)
        qsort(order, n, sizeof(struct diff_part *), by_distance);
    (void)printf("by segment, holes counted: %zu differ, %zu the same\n", n, d->parts - n);
    for (size_t i = 0; i < n && i < SHOWN; i++)
        print_part(order[i]);
    if (n > SHOWN)
        (void)printf("  and %zu more; --json has all\n", n - SHOWN);
}

struct naming {
    size_t told, count[4];
    uint64_t bytes[4];
};

static void print_file(enum contents_change change, const struct contents_file *a,
                       const struct contents_file *b, void *arg)
{
    struct naming *s = arg;
    char safe[4096], x[16] = "-", y[16] = "-";
    s->count[change]++;
    s->bytes[change] += b ? b->size : a ? a->size : 0;
    if (change == CONTENTS_SAME || s->told++ >= SHOWN)
        return;
    if (a)
        (void)cmd_human(a->size, x);
    if (b)
        (void)cmd_human(b->size, y);
    (void)printf("  %-7s %10s -> %10s  %s\n", contents_change_text(change), x, y,
                 text_printable(b   ? b->path
                                : a ? a->path
                                    : "",
                                safe, sizeof safe));
}

static void print_files(const struct diff *d)
{
    struct naming s = {0};
    char size[16];
    (void)puts("by file, holes counted:");
    contents_compare(&d->in_a, &d->in_b, print_file, &s);
    if (s.told > SHOWN)
        (void)printf("  and %zu more; --json has all\n", s.told - SHOWN);
    (void)printf("%zu files the same, %s; %zu changed, %zu new, %zu gone\n", s.count[CONTENTS_SAME],
                 cmd_human(s.bytes[CONTENTS_SAME], size), s.count[CONTENTS_CHANGED], s.count[CONTENTS_NEW],
                 s.count[CONTENTS_GONE]);
}

static void print_settings(const struct diff *d)
{
    char name[600], a[1200], b[1200];
    for (size_t i = 0; i < d->settings; i++) {
        const struct diff_setting *s = &d->setting[i];
        (void)printf("  %s: %s -> %s\n", text_printable(s->name, name, sizeof name),
                     s->a ? text_printable(s->a, a, sizeof a) : "-",
                     s->b ? text_printable(s->b, b, sizeof b) : "-");
    }
}

int diff_print(const struct diff *d)
{
    print_manifests(d);
    if (d->files) {
        print_settings(d);
        print_parts(d);
        print_files(d);
    }
    return fflush(stdout) == 0 ? 0 : EXIT_DEFECT;
}

/* --- for programs */

static const char *answer_word(enum diff_answer a)
{
    static const char *const text[] = {"same", "changed", "unknown"};
    return text[a];
}

struct paging {
    struct page page;
    cJSON *list;
};

static void add_file(enum contents_change change, const struct contents_file *a,
                     const struct contents_file *b, void *arg)
{
    struct paging *s = arg;
    cJSON *o = change == CONTENTS_SAME ? NULL : page_element(&s->page, s->list);
    if (change == CONTENTS_SAME)
        return;
    page_text(&s->page, o, "path", b ? b->path : a ? a->path : "");
    page_text(&s->page, o, "change", contents_change_text(change));
    page_number(&s->page, o, "size_a", a ? (double)a->size : 0);
    page_number(&s->page, o, "size_b", b ? (double)b->size : 0);
}

static void add_parts(struct page *p, cJSON *o, const struct diff *d)
{
    cJSON *list = page_array(p, o, "segments");
    for (size_t i = 0; i < d->parts; i++) {
        const struct diff_part *one = &d->part[i];
        cJSON *item = page_element(p, list);
        page_text(p, item, "name", one->name);
        page_number(p, item, "size_a", (double)one->a);
        page_number(p, item, "size_b", (double)one->b);
        page_number(p, item, "same", (double)one->same);
        page_number(p, item, "changed", (double)one->changed);
        page_number(p, item, "new", (double)one->fresh);
        page_number(p, item, "gone", (double)one->gone);
    }
}

static void add_value(struct page *p, cJSON *o, const char *key, const char *json)
{
    cJSON *value = json ? cJSON_Parse(json) : cJSON_CreateNull();
    if (!value || !cJSON_AddItemToObject(o, key, value)) {
        cJSON_Delete(value);
        p->ok = false;
    }
}

static void add_settings(struct page *p, cJSON *o, const struct diff *d)
{
    cJSON *list = page_array(p, o, "settings");
    for (size_t i = 0; i < d->settings; i++) {
        cJSON *item = page_element(p, list);
        page_text(p, item, "name", d->setting[i].name);
        add_value(p, item, "a", d->setting[i].a);
        add_value(p, item, "b", d->setting[i].b);
    }
}

static void add_backup(struct page *p, cJSON *o, const char *key, const struct backup *b)
{
    cJSON *one = cmd_json(b);
    if (!one || !p->ok || !cJSON_AddItemToObject(o, key, one)) {
        cJSON_Delete(one);
        p->ok = false;
    }
}

static void add_aliases(struct page *p, cJSON *o, const char *key, const struct aliases *a,
                        const struct aliases *b)
{
    cJSON *list = page_array(p, o, key);
    for (const char *n = p->ok ? aliases_next(b, NULL) : NULL; n; n = aliases_next(b, n))
        p->ok = p->ok && (has_alias(a, n) || json_append_text(list, n));
}

int diff_print_json(const struct diff *d)
{
    cJSON *o = cJSON_CreateObject();
    struct paging s = {.page = {.ok = o != NULL}};
    struct page *p = &s.page;
    add_backup(p, o, "a", d->a);
    add_backup(p, o, "b", d->b);
    page_number(p, o, "seconds", (double)(d->b->m.created - d->a->m.created));
    if (d->a->m.points >= 0 && d->b->m.points >= 0)
        page_number(p, o, "points", (double)(d->b->m.points - d->a->m.points));
    else
        page_null(p, o, "points");
    page_number(p, o, "size", (double)d->b->m.content.size - (double)d->a->m.content.size);
    page_number(p, o, "stored_size",
                (double)d->b->m.content.stored_size - (double)d->a->m.content.stored_size);
    page_text(p, o, "configuration", answer_word(d->configuration));
    page_text(p, o, "content", answer_word(d->content));
    add_aliases(p, o, "aliases_new", &d->a->m.aliases, &d->b->m.aliases);
    add_aliases(p, o, "aliases_gone", &d->b->m.aliases, &d->a->m.aliases);
    if (d->files) {
        add_settings(p, o, d);
        add_parts(p, o, d);
        s.list = page_array(p, o, "files");
        contents_compare(&d->in_a, &d->in_b, add_file, &s);
    }
    return page_print(p, o);
}
