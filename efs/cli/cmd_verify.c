/* verify: read every byte, recompute every hash, name each defect; with --deep also what the tars hold. */
#include "common/base/cleanup.h"
#include "efs/cli/cmd_verify.h"
#include "efs/verify/archive.h"
#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

static uint64_t total_of(const struct backup_list *list)
{
    uint64_t total = 0;
    for (size_t i = 0; i < list->n; i++)
        if (list->v[i].state == ENTRY_COMPLETE)
            total += backup_work(&list->v[i].m);
    return total;
}

static void verify_entry(const struct options *o, struct backup *b, const struct copy_watch *watch)
{
    if (o->deep)
        archive_verify(b, watch, NULL);
    else
        backup_verify(b, watch);
}

void verify_one(const struct options *o, struct backup *b)
{
    struct progress *bar = progress_new(backup_work(&b->m));
    struct copy_watch watch = {progress_bytes, bar};
    progress_name(bar, b->stem);
    verify_entry(o, b, &watch);
    progress_end(bar);
}

static void verify_all(const struct options *o, struct backup_list *list)
{
    struct progress *bar = progress_new(total_of(list));
    struct copy_watch watch = {progress_bytes, bar};
    for (size_t i = 0; i < list->n; i++) {
        progress_name(bar, list->v[i].stem);
        verify_entry(o, &list->v[i], &watch);
    }
    progress_end(bar);
}

/* The reason has a line for each defect. */
void verify_complain(const struct backup *b)
{
    const char *line = b->reason ? b->reason : "";
    char path[PATH_MAX + NAME_MAX + 2], one[2048], why[sizeof one];
    (void)snprintf(path, sizeof path, "%s/%s", b->dir, *b->data ? b->data : b->stem);
    do {
        size_t n = strcspn(line, "\n");
        (void)snprintf(one, sizeof one, "%.*s", (int)n, line);
        cmd_complain("%s: %s: %s", entry_state_text(b->state), path,
                     cmd_without_path(one, path, why, sizeof why));
        line += n + (line[n] != 0);
    } while (*line);
}

int cmd_verify(const struct options *o)
{
    cleanup_backup_list struct backup_list list = {0};
    size_t bad = 0;
    if (o->set)
        return cmd_verify_set(o);
    if (cmd_gather(o, &list) != 0)
        return EXIT_DEFECT;
    cmd_keep_node(o, &list);
    verify_all(o, &list);
    for (size_t i = 0; i < list.n; i++) {
        const struct backup *b = &list.v[i];
        if (b->state == ENTRY_COMPLETE)
            continue;
        bad++;
        verify_complain(b);
    }
    int rc = o->json ? cmd_print_list(&list)
             : printf("%zu verified, %zu defective\n", list.n - bad, bad) > 0 && fflush(stdout) == 0
                 ? 0
                 : EXIT_DEFECT;
    return bad > 0 || list.n == 0 ? EXIT_DEFECT : rc; /* nothing verified proves nothing */
}
