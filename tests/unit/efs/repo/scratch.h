/* A folder of its own for a test that needs files. */
#ifndef TESTS_UNIT_EFS_REPO_SCRATCH_H
#define TESTS_UNIT_EFS_REPO_SCRATCH_H
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct scratch {
    char root[64], base[80], local[80]; /* a tree on EFS, and a local folder, below it: neither is made */
};

static inline void scratch_make(struct scratch *s, const char *name)
{
    (void)snprintf(s->root, sizeof s->root, "/tmp/%s.XXXXXX", name);
    assert_non_null(mkdtemp(s->root));
    (void)snprintf(s->base, sizeof s->base, "%s/test-cpu", s->root);
    (void)snprintf(s->local, sizeof s->local, "%s/local", s->root);
}

static inline int scratch_delete_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static inline void scratch_delete(const struct scratch *s)
{
    (void)nftw(s->root, scratch_delete_one, 8, FTW_DEPTH | FTW_PHYS);
}
#endif
