/* du: what takes the room, collection by collection and tier by tier. */
#include "common/base/cleanup.h"
#include "common/base/text.h"
#include "efs/cli/cli.h"
#include "efs/repo/ruler.h"
#include "common/json.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sum {
    unsigned n, deltas;
    uint64_t size, stored, needed; /* of `stored`: what newer backups are made of */
};
struct use { /* of one collection, or shard, or the whole storage */
    struct source source;
    struct sum frequency[FREQUENCY_COUNT];
};
struct uses {
    const struct options *o;
    struct use *v;
    size_t n, size;
    size_t found; /* backups, also of nodes that are not asked for */
    struct sum total;
    unsigned unknown; /* without a manifest that can be read */
};

/* NULL without memory. */
static struct use *use_of(struct uses *all, const struct source *s)
{
    for (size_t i = all->n; i-- > 0;) { /* they come folder by folder */
        const struct source *x = &all->v[i].source;
        if (x->kind == s->kind && strcmp(x->collection, s->collection) == 0 &&
            strcmp(x->shard, s->shard) == 0)
            return &all->v[i];
    }
    if (all->n == all->size) {
        size_t size = all->size ? all->size * 2 : 64;
        struct use *more = realloc(all->v, size * sizeof *more);
        if (!more)
            return NULL;
        all->v = more;
        all->size = size;
    }
    all->v[all->n] = (struct use){.source = *s};
    return &all->v[all->n++];
}

static void add(struct sum *to, const struct backup *b)
{
    to->n++;
    /* What became a whole may lie beside the delta that it was. */
    to->deltas += b->m.content.sha256[0] ? b->m.bases.n > 0 : ruler_is_delta(b);
    to->size += b->m.content.size;
    to->stored += b->m.content.stored_size;
    to->needed += b->needed_by > 0 ? b->m.content.stored_size : 0;
}

static int add_up(struct backup_list *list, void *arg, struct err *e)
{
    struct uses *all = arg;
    all->found += list->n;
    ruler_count(list);
    cmd_filter_node(all->o, list);
    for (size_t i = 0; i < list->n; i++) {
        const struct manifest *m = &list->v[i].m;
        if (!m->content.sha256[0]) {
            all->unknown++;
            continue;
        }
        struct use *use = use_of(all, &m->source);
        if (!use)
            return err_set(e, ENOMEM, "cannot add up", list->v[i].dir, NULL);
        add(&use->frequency[m->frequency], &list->v[i]);
        add(&all->total, &list->v[i]);
    }
    return 0;
}

static const char *name_of(const struct source *s, char *out, size_t size)
{
    char raw[NAME_MAX + 32];
    (void)snprintf(raw, sizeof raw, "%s%s%s", s->collection, s->kind == KIND_SHARD ? ", shard " : "",
                   s->shard);
    return s->kind == KIND_STORAGE ? "(whole storage)" : text_printable(raw, out, size);
}

static void row(const char *name, size_t wide, const char *frequency, const struct sum *s)
{
    char size[16], stored[16], needed[16];
    size_t has = text_width(name);
    (void)printf("%s%*s  %-9s  %7u  %6u  %10s  %10s  %10s\n", name, has < wide ? (int)(wide - has) : 0, "",
                 frequency, s->n, s->deltas, cmd_human(s->size, size), cmd_human(s->stored, stored),
                 cmd_human(s->needed, needed));
}

static int print_table(const struct uses *all)
{
    char safe[600];
    size_t wide = strlen("COLLECTION");
    for (size_t i = 0; i < all->n; i++) {
        size_t w = text_width(name_of(&all->v[i].source, safe, sizeof safe));
        wide = w > wide ? w : wide;
    }
    (void)printf("%-*s  %-9s  %7s  %6s  %10s  %10s  %10s\n", (int)wide, "COLLECTION", "FREQUENCY", "BACKUPS",
                 "DELTAS", "SIZE", "STORED", "NEEDED");
    for (size_t i = 0; i < all->n; i++)
        for (int t = 0; t < FREQUENCY_COUNT; t++)
            if (all->v[i].frequency[t].n > 0)
                row(name_of(&all->v[i].source, safe, sizeof safe), wide, frequency_text((enum frequency)t),
                    &all->v[i].frequency[t]);
    row("total", wide, "", &all->total);
    if (all->unknown > 0)
        (void)printf("%u more without a manifest that can be read\n", all->unknown);
    return fflush(stdout) == 0 ? 0 : EXIT_DEFECT;
}

static bool put(cJSON *o, const struct sum *s)
{
    return cJSON_AddNumberToObject(o, "backups", s->n) && cJSON_AddNumberToObject(o, "deltas", s->deltas) &&
           cJSON_AddNumberToObject(o, "size", (double)s->size) &&
           cJSON_AddNumberToObject(o, "stored_size", (double)s->stored) &&
           cJSON_AddNumberToObject(o, "needed_size", (double)s->needed);
}

static bool put_use(cJSON *list, const struct source *s, enum frequency t, const struct sum *sum)
{
    cJSON *o = json_append_object(list);
    if (!o)
        return false;
    return cmd_json_text(o, "collection", s->collection) && cmd_json_text(o, "kind", kind_text(s->kind)) &&
           cmd_json_text(o, "shard", s->shard) && cmd_json_text(o, "frequency", frequency_text(t)) &&
           put(o, sum);
}

static int print_json(const struct uses *all)
{
    cJSON *o = cJSON_CreateObject(), *list = o ? cJSON_AddArrayToObject(o, "collections") : NULL,
          *total = list ? cJSON_AddObjectToObject(o, "total") : NULL;
    bool good = total && put(total, &all->total) && cJSON_AddNumberToObject(o, "unknown", all->unknown);
    for (size_t i = 0; good && i < all->n; i++)
        for (int t = 0; good && t < FREQUENCY_COUNT; t++)
            good = all->v[i].frequency[t].n == 0 ||
                   put_use(list, &all->v[i].source, (enum frequency)t, &all->v[i].frequency[t]);
    if (!good) {
        cJSON_Delete(o);
        o = NULL;
    }
    return cmd_print_json(o);
}

int cmd_du(const struct options *o)
{
    struct uses all = {.o = o};
    int rc = EXIT_DEFECT;
    if (cmd_each_list(o, readers_size_up, add_up, &all) == 0) {
        if (all.found == 0)
            cmd_tell_none(o);
        else if (all.total.n + all.unknown == 0)
            cmd_tell_no_node(o);
        rc = o->json ? print_json(&all) : print_table(&all);
    }
    free(all.v);
    return rc;
}
