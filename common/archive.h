/* Freeing at the end of a block, for libarchive. */
#ifndef COMMON_ARCHIVE_H
#define COMMON_ARCHIVE_H
#include <archive.h>
#include <archive_entry.h>

static inline void archive_freep(struct archive **a)
{
    if (*a)
        (void)archive_free(*a); /* a reader or a writer */
}
static inline void archive_entry_freep(struct archive_entry **e)
{
    if (*e)
        archive_entry_free(*e);
}
#define cleanup_archive __attribute__((cleanup(archive_freep)))
#define cleanup_entry __attribute__((cleanup(archive_entry_freep)))
#endif
