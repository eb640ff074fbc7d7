#include "efs/repo/inventory.h"
#include "common/base/files.h"
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

/* From the future, as far as its slot tells. Older programs gave it that time, too: then it is the newest of
 * nothing. */
static bool ahead(const struct backup *b, time_t when)
{
    return b->written && when > b->written + BACKUP_AHEAD;
}

static bool ours(const struct backup *b, const char *node)
{
    return b->state == ENTRY_COMPLETE && !ahead(b, b->m.created) && (!*node || strcmp(b->m.node, node) == 0);
}

/* The newest of its tier so far? True when no older name can be of a newer one: of a snapshot whose name ran
 * ahead of its time nobody knows where among the others it belongs. */
static bool is_newest(const struct backup *b, time_t named, struct inventory_frequency *t)
{
    if (!t->any || b->m.created > t->newest.created)
        t->newest = b->m;
    t->any = true;
    return b->m.slot >= named && !ahead(b, b->m.slot);
}

int inventory_take(struct backup_list *list, const char *node, struct inventory *out, struct err *e)
{
    bool sure[FREQUENCY_COUNT] = {false};
    memset(out, 0, sizeof *out);
    for (size_t i = list->n; i-- > 0;) { /* oldest first in the list */
        struct backup *b = &list->v[i];
        struct inventory_frequency *t = &out->frequency[b->frequency];
        time_t named = b->m.slot;
        if (!b->has_manifest)
            continue;
        t->count++;
        t->stored_bytes += data_size(b);
        if (sure[b->frequency])
            continue;
        if (backup_load(b, e) != 0)
            return -1;
        if (ours(b, node))
            sure[b->frequency] = is_newest(b, named, t);
    }
    return 0;
}
