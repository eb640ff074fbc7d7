/* browse: all backups as one page of HTML on standard output, with a calendar, sizes over time, and the
 * commands for each. The page has its data in it and asks nobody: no port is opened, and it can be read
 * anywhere. */
#include "common/base/cleanup.h"
#include "common/base/text.h"
#include "common/base/utc.h"
#include "common/json.h"
#include "efs/cli/cmd_browse.h"
#include "efs/repo/pin.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The assembler takes the file in as it is; the path is from the root of the tree, where the build runs. */
__asm__(".pushsection .rodata\n"
        ".global browse_html_begin\n"
        "browse_html_begin: .incbin \"efs/cli/browse.html\"\n"
        ".byte 0\n"
        ".popsection\n");
extern const char browse_html_begin[];
static const char DATA[] = "/*DATA*/";

struct browsing {
    const struct options *o;
    bool any; /* a place was printed */
    char tree[PATH_MAX];
    unsigned trees;
};

/* JSON as it may stand in a page: nothing in it ends the element, and no character hides or turns the rest.
 */
int browse_put(const cJSON *json, struct err *e)
{
    cleanup_json_text char *raw = json ? cJSON_PrintUnformatted(json) : NULL;
    cleanup_free char *text = raw ? text_json(raw) : NULL;
    if (!text)
        return err_set(e, ENOMEM, "cannot write the page", NULL, NULL);
    for (const char *p = text; *p; p++)
        if (*p == '<')
            (void)fputs("\\u003c", stdout);
        else
            (void)putchar(*p);
    return ferror(stdout) ? err_set(e, EIO, "cannot write the page", NULL, NULL) : 0;
}

/* Not before there is something: who cannot list anything leaves no half page. */
static int begin(const struct browsing *w, struct err *e)
{
    char made[UTC_TEXT];
    cleanup_json cJSON *root = cJSON_CreateString(w->o->root);
    utc_text(time(NULL), made);
    (void)fwrite(browse_html_begin, 1, (size_t)(strstr(browse_html_begin, DATA) - browse_html_begin), stdout);
    (void)printf("{\"made\":\"%s\",\"root\":", made);
    int rc = browse_put(root, e);
    (void)printf(",\"places\":[");
    return rc;
}

static bool add(cJSON *list, cJSON *value)
{
    if (value && cJSON_AddItemToArray(list, value))
        return true;
    cJSON_Delete(value);
    return false;
}

static cJSON *number(bool known, double n) { return known ? cJSON_CreateNumber(n) : cJSON_CreateNull(); }

/* As browse.html reads it. */
static cJSON *as_json(const struct backup *b)
{
    char when[UTC_TEXT];
    struct pin pin = {.note = ""};
    const struct manifest *m = &b->m;
    bool known = m->content.sha256[0] != 0;
    cJSON *a = cJSON_CreateArray();
    utc_text(m->created > 0 ? m->created : m->slot > 0 ? m->slot : b->written, when);
    if (b->pinned || b->noted)
        pin_read(b, &pin);
    if (a && add(a, cJSON_CreateString(m->source.stem)) && add(a, cJSON_CreateString(m->node)) &&
        add(a, cJSON_CreateNumber(b->frequency)) && add(a, cJSON_CreateString(when)) &&
        add(a, number(known, (double)m->content.size)) &&
        add(a, number(known, (double)m->content.stored_size)) &&
        add(a, number(known && m->points >= 0, (double)m->points)) &&
        add(a, cJSON_CreateString(entry_state_text(b->state))) && add(a, cJSON_CreateString(m->codec)) &&
        add(a, cJSON_CreateNumber(m->bases.n)) && add(a, cJSON_CreateString(pin.note)) &&
        add(a, cJSON_CreateString(b->reason ? b->reason : "")) && add(a, cJSON_CreateBool(b->pinned)) &&
        add(a, number(known, m->seconds)))
        return a;
    cJSON_Delete(a);
    return NULL;
}

static void note_tree(struct browsing *w, const struct backup *b)
{
    size_t n;
    (void)cmd_folder_of(b, &n);
    if (w->trees > 0 && strlen(w->tree) == n && strncmp(w->tree, b->dir, n) == 0)
        return;
    (void)snprintf(w->tree, sizeof w->tree, "%.*s", (int)n, b->dir);
    w->trees++;
}

/* From `from` on, all of one folder. Returns where the next one begins; 0 with `e`. */
static size_t put_place(struct browsing *w, const struct backup_list *list, size_t from, struct err *e)
{
    const struct backup *first = &list->v[from];
    size_t i = from;
    note_tree(w, first);
    const char *tree = strrchr(w->tree, '/');
    cleanup_json cJSON *o = cJSON_CreateObject();
    bool good = o && cmd_json_text(o, "tree", tree ? tree + 1 : w->tree) &&
                cmd_json_text(o, "collection", first->m.source.collection) &&
                cmd_json_text(o, "kind", kind_text(first->m.source.kind)) &&
                cmd_json_text(o, "shard", first->m.source.shard);
    cJSON *backups = good ? cJSON_AddArrayToObject(o, "backups") : NULL;
    for (good = backups != NULL; good && i < list->n && cmd_same_folder(first, &list->v[i]); i++)
        good = add(backups, as_json(&list->v[i]));
    if (!good)
        return (void)err_set(e, ENOMEM, "cannot write the page", NULL, NULL), 0;
    if (w->any)
        (void)putchar(',');
    else if (begin(w, e) != 0)
        return 0;
    w->any = true;
    return browse_put(o, e) == 0 ? i : 0;
}

static int put_list(struct backup_list *list, void *arg, struct err *e)
{
    struct browsing *w = arg;
    cmd_filter_node(w->o, list);
    for (size_t i = 0; i < list->n;)
        if ((i = put_place(w, list, i, e)) == 0)
            return -1;
    return 0;
}

int cmd_browse(const struct options *o)
{
    static struct browsing w;
    struct err e = {0};
    if (isatty(STDOUT_FILENO)) {
        cmd_complain("the page goes to standard output: qdrant-efs browse > backups.html");
        return EXIT_SETTING;
    }
    w = (struct browsing){.o = o};
    if (cmd_each_list(o, readers_read, put_list, &w) != 0)
        return EXIT_DEFECT;
    if (!w.any)
        cmd_tell_none(o);
    if (!w.any && begin(&w, &e) != 0)
        return cmd_complain("%s", e.text), EXIT_DEFECT;
    (void)printf("],\"drills\":[");
    if (browse_drills(o, &e) != 0)
        return cmd_complain("%s", e.text), EXIT_DEFECT;
    (void)printf("],\"trees\":%u}%s", w.trees, strstr(browse_html_begin, DATA) + strlen(DATA));
    return fflush(stdout) == 0 && !ferror(stdout) ? 0 : EXIT_DEFECT;
}
