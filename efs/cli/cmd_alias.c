/* --collection with an alias: the collection that has it in its newest backup is meant. */
#include "common/base/files.h"
#include "efs/cli/cmd_restore.h"
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct asking {
    const char *name;
    bool there;
};

/* By its folders' names alone: to list all folders takes minutes on a large tree. */
bool cmd_has_collection(const char *base, const char *name)
{
    char escaped[NAME_MAX + 1], relative[NAME_MAX + 32], path[PATH_MAX];
    struct stat st;
    for (int t = 0; t < FREQUENCY_COUNT && name_escape(name, escaped, sizeof escaped); t++) {
        (void)snprintf(relative, sizeof relative, "%s/%s", frequency_text((enum frequency)t), escaped);
        if (files_join(path, sizeof path, base, relative, NULL) == 0 && lstat(path, &st) == 0)
            return true;
    }
    return false;
}

static int ask(const struct options *o, const char *base, void *arg, struct err *e)
{
    struct asking *a = arg;
    (void)o;
    (void)e;
    a->there = a->there || cmd_has_collection(base, a->name);
    return 0;
}

void cmd_resolve_aliases(struct options *o)
{
    for (size_t i = 0; i < o->n_collections; i++) {
        struct asking a = {.name = o->collections[i]};
        struct options all = *o;
        struct err ignored = {0};
        char owner[NAME_MAX + 1];
        all.n_collections = 0;
        /* What cannot be listed the command will say. */
        if (cmd_each_tree(o, ask, &a, &ignored) != 0 || a.there || !alias_collection(&all, a.name, owner))
            continue;
        char *kept = strdup(owner); /* until the program ends */
        if (!kept)
            continue;
        cmd_complain("%.255s is an alias of %.255s, which is taken", a.name, owner);
        o->collections[i] = kept;
    }
}
