#include "efs/repo/heal_claim.h"
#include "common/base/cleanup.h"
#include "common/base/files.h"
#include "common/json.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FORMAT = 1, FILE_MAX = 64 << 10, REL = NAME_MAX + 64, DIGITS = 9 };
static const char CLAIM[] = ".json", DONE[] = ".done.json";

struct claims {
    char dir[PATH_MAX], rel[REL];
    unsigned newest, done; /* the highest number of each kind; 0: none */
};

static bool number_of(const char *name, unsigned *n, bool *done)
{
    size_t digits = strspn(name, "0123456789");
    if (digits == 0 || digits > DIGITS || name[0] == '0')
        return false;
    *n = (unsigned)strtoul(name, NULL, 10);
    *done = strcmp(name + digits, DONE) == 0;
    return *done || strcmp(name + digits, CLAIM) == 0;
}

static int add(const struct dirent *de, void *arg, struct err *e)
{
    struct claims *c = arg;
    unsigned n;
    bool done;
    (void)e;
    if (!number_of(de->d_name, &n, &done))
        return 0;
    unsigned *most = done ? &c->done : &c->newest;
    *most = n > *most ? n : *most;
    return 0;
}

static int list(const struct heal_claim *me, struct claims *c, struct err *e)
{
    *c = (struct claims){0};
    (void)snprintf(c->rel, sizeof c->rel, "clusters/%.200s/heals", me->tier);
    if (files_join(c->dir, sizeof c->dir, me->root, c->rel, e) != 0)
        return -1;
    files_refresh(me->root, c->rel);
    return files_each(c->dir, add, c, e);
}

static int path_of(const struct claims *c, unsigned n, const char *tail, char path[PATH_MAX], struct err *e)
{
    char name[DIGITS + 16];
    (void)snprintf(name, sizeof name, "%u%s", n, tail);
    return files_join(path, PATH_MAX, c->dir, name, e);
}

static int put(const struct heal_claim *me, const struct claims *c, unsigned n, const char *tail,
               struct err *e)
{
    char name[DIGITS + 16];
    cleanup_json cJSON *o = cJSON_CreateObject();
    bool ok = o && json_add_number(o, "format", FORMAT) && json_add_text(o, "node", me->node) &&
              json_add_time(o, strcmp(tail, DONE) == 0 ? "done" : "claimed", time(NULL));
    cleanup_free char *text = ok ? json_line(o, true) : NULL;
    (void)snprintf(name, sizeof name, "%u%s", n, tail);
    if (!text)
        return err_set(e, ENOMEM, "cannot write", name, NULL);
    return files_mkdirs(me->root, c->rel, e) != 0 ? -1 : files_put_new(c->dir, name, text, e);
}

/* 1: whoever has it renews it. */
static int is_young(struct heal_claim *me, const struct claims *c, struct err *e)
{
    char path[PATH_MAX];
    struct stat st;
    struct err ignored;
    time_t now;
    if (path_of(c, c->newest, CLAIM, path, e) != 0)
        return -1;
    cleanup_free char *text = files_get(path, FILE_MAX, &ignored);
    cleanup_json cJSON *o = text ? cJSON_Parse(text) : NULL;
    if (!json_copy(o, "node", me->other, sizeof me->other))
        (void)snprintf(me->other, sizeof me->other, "?");
    if (stat(path, &st) != 0)
        return err_set(e, errno, "cannot look at", path, NULL);
    if (files_server_time(c->dir, &now, e) != 0)
        return -1;
    return now - st.st_mtime < HEAL_CLAIM_STALE;
}

/* Those of heals that are over. What cannot be deleted now goes with the next. */
static void sweep(const struct claims *c, unsigned below)
{
    enum { MOST = 16 };
    char path[PATH_MAX];
    struct err ignored;
    for (unsigned n = below > MOST ? below - MOST : 1; n < below; n++) {
        if (path_of(c, n, DONE, path, &ignored) == 0)
            (void)unlink(path);
        if (path_of(c, n, CLAIM, path, &ignored) == 0)
            (void)unlink(path);
    }
}

int heal_claim_take(struct heal_claim *me, struct err *e)
{
    struct claims c;
    me->n = 0;
    me->other[0] = 0;
    if (list(me, &c, e) != 0)
        return -1;
    unsigned last = c.newest > c.done ? c.newest : c.done;
    int young = c.newest > c.done ? is_young(me, &c, e) : 0;
    if (young != 0)
        return young < 0 ? -1 : 0;
    int rc = put(me, &c, last + 1, CLAIM, e);
    if (rc != 0)
        return rc < 0 ? -1 : 0;
    me->n = last + 1;
    sweep(&c, me->n);
    return 1;
}

int heal_claim_renew(struct heal_claim *me, struct err *e)
{
    struct claims c;
    char path[PATH_MAX];
    if (list(me, &c, e) != 0 || path_of(&c, me->n, CLAIM, path, e) != 0)
        return -1;
    if (c.newest != me->n || c.done >= me->n)
        return 0;
    return utimensat(AT_FDCWD, path, NULL, 0) == 0 ? 1 : err_set(e, errno, "cannot renew", path, NULL);
}

int heal_claim_end(struct heal_claim *me, struct err *e)
{
    struct claims c;
    unsigned n = me->n;
    me->n = 0;
    return list(me, &c, e) != 0 ? -1 : put(me, &c, n, DONE, e) < 0 ? -1 : 0;
}
