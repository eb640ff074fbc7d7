/* ls, show and verify: three views of one list. */
#include "common/cleanup.h"
#include "efs/cmd.h"
#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

struct gather {
    struct backup *v;
    size_t n, size;
    bool verify;
};

static int add(const struct options *o, const char *base, const char *folder, void *arg, struct err *e)
{
    struct gather *g = arg;
    struct entries list = {0};
    int rc = store_list(base, folder, NULL, NULL, &list, e);
    for (size_t i = 0; rc == 0 && i < list.n; i++) {
        struct backup *b = &list.v[i];
        char first[256], *slash;
        if (!*b->m.source.collection && folder[0] != '%') { /* no manifest: the folder tells */
            (void)snprintf(first, sizeof first, "%.255s", folder);
            if ((slash = strchr(first, '/')))
                *slash = 0;
            (void)name_unescape(first, b->m.source.collection, sizeof b->m.source.collection);
        }
        if (!cmd_wanted(o, b) || (o->operand && strcmp(o->operand, b->stem) != 0))
            continue;
        if (g->verify) {
            if (isatty(STDERR_FILENO))
                (void)fprintf(stderr, "\r\033[Kverifying %s", b->stem);
            store_verify(b, -1);
        }
        if (g->n == g->size) {
            size_t size = g->size ? g->size * 2 : 64;
            struct backup *v = realloc(g->v, size * sizeof *v);
            if (!v) {
                rc = err_set(e, 12, "cannot list", base, NULL);
                break;
            }
            g->v = v;
            g->size = size;
        }
        g->v[g->n++] = *b;
    }
    entries_free(&list);
    return rc;
}

static const char *human(uint64_t n, char out[16])
{
    static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double v = (double)n;
    int u = 0;
    while (v >= 1024 && u < 4) {
        v /= 1024;
        u++;
    }
    (void)snprintf(out, 16, u ? "%.1f %s" : "%.0f %s", v, unit[u]);
    return out;
}

static int print_json(const struct gather *g, bool one)
{
    cJSON *array = cJSON_CreateArray();
    for (size_t i = 0; array && i < g->n; i++) {
        cJSON *o = cmd_json(&g->v[i]);
        if (!o || !cJSON_AddItemToArray(array, o))
            return EXIT_DEFECT;
    }
    char *text = cJSON_Print(one && g->n == 1 ? cJSON_GetArrayItem(array, 0) : array);
    int rc = text && puts(text) >= 0 ? 0 : EXIT_DEFECT;
    cJSON_free(text);
    cJSON_Delete(array);
    return rc;
}

static void print_table(const struct gather *g)
{
    bool colour = isatty(STDOUT_FILENO) && !(getenv("NO_COLOR") && *getenv("NO_COLOR"));
    int wide = 10;
    char safe[600], slot[32], size[16], stored[16];
    for (size_t i = 0; i < g->n; i++)
        if ((int)strlen(g->v[i].m.source.collection) > wide)
            wide = (int)strlen(g->v[i].m.source.collection);
    (void)printf("%-*s  %-7s  %-20s  %10s  %10s  %-10s  %s\n", wide, "COLLECTION", "TIER", "SLOT", "SIZE", "STORED",
                 "STATE", "SNAPSHOT");
    for (size_t i = 0; i < g->n; i++) {
        const struct backup *b = &g->v[i];
        manifest_time(b->m.slot, slot);
        const char *paint = !colour ? "" : b->state == ENTRY_COMPLETE ? "\033[32m" : "\033[31m";
        (void)printf("%-*s  %-7s  %-20s  %10s  %10s  %s%-10s%s  ", wide,
                     cmd_safe(*b->m.source.collection ? b->m.source.collection : "(storage)", safe, sizeof safe),
                     tier_text(b->tier), slot, human(b->m.content.size, size),
                     human(b->m.content.stored_size, stored), paint, entry_state_text(b->state), colour ? "\033[0m" : "");
        (void)printf("%s%s%s\n", cmd_safe(b->stem, safe, sizeof safe), *b->reason ? ": " : "", b->reason);
    }
}

static int gather(const struct options *o, struct gather *g)
{
    struct err e = {0};
    if (cmd_each_folder(o, add, g, &e) == 0)
        return 0;
    (void)fprintf(stderr, "qdrant-efs: %s\n", e.text);
    return -1;
}

int cmd_ls(const struct options *o)
{
    struct gather g = {0};
    int rc = gather(o, &g) != 0 ? EXIT_DEFECT : 0;
    if (rc == 0 && o->json)
        rc = print_json(&g, false);
    else if (rc == 0)
        print_table(&g);
    free(g.v);
    return rc;
}

int cmd_show(const struct options *o)
{
    struct gather g = {0};
    int rc = gather(o, &g) != 0 ? EXIT_DEFECT : 0;
    if (rc == 0 && g.n == 0) {
        (void)fprintf(stderr, "qdrant-efs: no backup named %s below %s; `qdrant-efs ls` lists them\n", o->operand, o->root);
        rc = EXIT_DEFECT;
    } else if (rc == 0 && o->json) {
        rc = print_json(&g, true);
    }
    for (size_t i = 0; rc == 0 && !o->json && i < g.n; i++) {
        char *text = manifest_print(&g.v[i].m);
        (void)printf("folder: %s\nstate: %s%s%s\n%s", g.v[i].dir, entry_state_text(g.v[i].state),
                     *g.v[i].reason ? ", " : "", g.v[i].reason, text ? text : "");
        free(text);
    }
    free(g.v);
    return rc;
}

int cmd_verify(const struct options *o)
{
    struct gather g = {.verify = true};
    int rc = gather(o, &g) != 0 ? EXIT_DEFECT : 0;
    size_t bad = 0;
    if (isatty(STDERR_FILENO))
        (void)fprintf(stderr, "\r\033[K");
    for (size_t i = 0; i < g.n; i++)
        if (g.v[i].state != ENTRY_COMPLETE) {
            bad++;
            (void)fprintf(stderr, "qdrant-efs: %s: %s/%s: %s\n", entry_state_text(g.v[i].state), g.v[i].dir, g.v[i].stem,
                          g.v[i].reason);
        }
    if (rc == 0 && o->json)
        rc = print_json(&g, false);
    else if (rc == 0)
        (void)printf("%zu verified, %zu defective\n", g.n - bad, bad);
    free(g.v);
    return rc == 0 && bad > 0 ? EXIT_DEFECT : rc;
}
