/* ls and show: views of what is there. */
#include "common/cleanup.h"
#include "common/text.h"
#include "efs/cmd.h"
#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

static const char *collection_text(const struct backup *b, char *out, size_t size)
{
    char raw[NAME_MAX + 32];
    if (b->m.source.kind == KIND_STORAGE)
        return "(whole storage)";
    if (b->m.source.kind == KIND_SHARD && *b->m.source.shard)
        (void)snprintf(raw, sizeof raw, "%s, shard %s", b->m.source.collection, b->m.source.shard);
    else
        (void)snprintf(raw, sizeof raw, "%s", b->m.source.collection);
    return text_printable(raw, out, size);
}

static void cell(const char *text, size_t width)
{
    size_t has = text_width(text);
    (void)printf("%s%*s  ", text, has < width ? (int)(width - has) : 0, "");
}

static void print_row(const struct backup *b, size_t wide, bool colour)
{
    char safe[1200], slot[32], size[16] = "-", stored[16] = "-";
    manifest_time(b->m.slot, slot);
    if (b->m.content.sha256[0]) {
        (void)cmd_human(b->m.content.size, size);
        (void)cmd_human(b->m.content.stored_size, stored);
    }
    cell(collection_text(b, safe, sizeof safe), wide);
    const char *paint = !colour                      ? ""
                        : b->state == ENTRY_COMPLETE ? "\033[32m"
                        : b->state == ENTRY_CORRUPT  ? "\033[31m"
                                                     : "\033[33m";
    (void)printf("%-7s  %-20s  %10s  %10s  %s%-10s%s  %s", tier_text(b->tier), b->m.slot ? slot : "-", size,
                 stored, paint, entry_state_text(b->state), colour ? "\033[0m" : "",
                 text_printable(b->m.source.stem, safe, sizeof safe));
    if (b->reason)
        (void)printf(": %s", text_printable(b->reason, safe, sizeof safe));
    (void)putchar('\n');
}

static int print_table(const struct entries *list)
{
    size_t wide = strlen("COLLECTION");
    char safe[600];
    bool colour = cmd_colour();
    for (size_t i = 0; i < list->n; i++) {
        size_t w = text_width(collection_text(&list->v[i], safe, sizeof safe));
        wide = w > wide ? w : wide;
    }
    if (list->n > 0) {
        cell("COLLECTION", wide);
        (void)printf("%-7s  %-20s  %10s  %10s  %-10s  %s\n", "TIER", "SLOT", "SIZE", "STORED", "STATE",
                     "SNAPSHOT");
    }
    for (size_t i = 0; i < list->n; i++)
        print_row(&list->v[i], wide, colour);
    return fflush(stdout) == 0 ? 0 : EXIT_DEFECT;
}

int cmd_ls(const struct options *o)
{
    cleanup_entries struct entries list = {0};
    if (cmd_gather(o, &list) != 0)
        return EXIT_DEFECT;
    return o->json ? cmd_print_list(&list) : print_table(&list);
}

/* "key: value" lines, in the manifest's order; the JSON is for programs. */
static int print_one(const struct backup *b)
{
    cJSON *o = cmd_json(b);
    char safe[PATH_MAX + NAME_MAX + 8];
    for (const cJSON *f = o ? o->child : NULL; f; f = f->next) {
        char *text = cJSON_IsString(f) ? NULL : cJSON_PrintUnformatted(f);
        const char *value = cJSON_IsString(f) ? f->valuestring : cJSON_IsNull(f) ? "" : text ? text : "";
        if (*value)
            (void)printf("%-15s %s\n", f->string, text_printable(value, safe, sizeof safe));
        cJSON_free(text);
    }
    int rc = o && fflush(stdout) == 0 ? 0 : EXIT_DEFECT;
    cJSON_Delete(o);
    return rc;
}

int cmd_show(const struct options *o)
{
    cleanup_entries struct entries list = {0};
    if (cmd_gather(o, &list) != 0)
        return EXIT_DEFECT;
    if (list.n == 0) {
        cmd_complain("no backup named %s below %s; `qdrant-efs ls` lists them", o->operand, o->root);
        return EXIT_DEFECT;
    }
    if (o->json)
        return list.n == 1 ? cmd_print_json(cmd_json(&list.v[0])) : cmd_print_list(&list);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < list.n; i++) {
        if (i > 0)
            (void)putchar('\n');
        rc = print_one(&list.v[i]);
    }
    return rc;
}
