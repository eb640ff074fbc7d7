#include "efs/cmd.h"
#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

struct state {
    const struct options *o;
    cJSON *array;
    size_t n;
    int failed;
};

static void pruned(const struct backup *b, void *arg)
{
    struct state *s = arg;
    char slot[32];
    s->n++;
    if (s->array) {
        cJSON *o = cmd_json(b);
        if (o)
            (void)cJSON_AddItemToArray(s->array, o);
        return;
    }
    manifest_time(b->m.slot, slot);
    (void)printf("%s %s %s/%s\n", s->o->dry_run ? "would prune" : "pruned", slot, b->dir, b->stem);
}

static int folder(const struct options *o, const char *base, const char *name, void *arg, struct err *e)
{
    struct state *s = arg;
    struct err why = {0};
    char first[256], collection[256] = "";
    (void)e;
    (void)snprintf(first, sizeof first, "%.*s", (int)strcspn(name, "/"), name);
    (void)name_unescape(first, collection, sizeof collection);
    if (o->collection && strcmp(o->collection, collection) != 0)
        return 0;
    if (store_prune(base, name, &o->settings.retention, o->dry_run, pruned, s, &why) != 0) {
        (void)fprintf(stderr, "qdrant-efs: %s\n", why.text); /* the other folders go on */
        s->failed = EXIT_DEFECT;
    }
    return 0;
}

int cmd_prune(const struct options *o)
{
    struct state s = {.o = o, .array = o->json ? cJSON_CreateArray() : NULL};
    struct err e = {0};
    if (cmd_each_folder(o, folder, &s, &e) != 0) {
        (void)fprintf(stderr, "qdrant-efs: %s\n", e.text);
        s.failed = EXIT_DEFECT;
    }
    if (s.array) {
        char *text = cJSON_Print(s.array);
        if (!text || puts(text) < 0)
            s.failed = EXIT_DEFECT;
        cJSON_free(text);
        cJSON_Delete(s.array);
    } else {
        (void)printf("%zu %s\n", s.n, o->dry_run ? "would be pruned" : "pruned");
    }
    return s.failed;
}
