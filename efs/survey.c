#include "efs/survey.h"
#include "common/files.h"
#include <fcntl.h>
#include <string.h>

/* From what the listing brought along, where the client can: nobody needs this to the byte. */
static uint64_t data_size(const struct backup *b)
{
    char path[PATH_MAX];
    struct statx st;
    if (!b->data[0] || files_join(path, sizeof path, b->dir, b->data, NULL) != 0 ||
        statx(AT_FDCWD, path, AT_STATX_DONT_SYNC | AT_SYMLINK_NOFOLLOW, STATX_SIZE, &st) != 0)
        return 0;
    return st.stx_size;
}

static bool ours(const struct backup *b, const char *node)
{
    return b->state == ENTRY_COMPLETE && (!*node || strcmp(b->m.node, node) == 0);
}

int survey_folder(const char *base, const char *folder, const char *node, struct survey *out, struct err *e)
{
    cleanup_entries struct entries list = {0};
    memset(out, 0, sizeof *out);
    if (store_list(base, folder, &list, e) != 0)
        return -1;
    for (size_t i = list.n; i-- > 0;) { /* oldest first in the list */
        struct backup *b = &list.v[i];
        struct survey_tier *t = &out->tier[b->tier];
        if (!b->has_manifest)
            continue;
        t->count++;
        t->stored_bytes += data_size(b);
        if (t->any)
            continue;
        if (store_load(b, e) != 0)
            return -1;
        t->any = ours(b, node);
        if (t->any)
            t->newest = b->m;
    }
    return 0;
}
