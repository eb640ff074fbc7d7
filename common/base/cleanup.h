/* The one cleanup idiom of the code base: a small closed set of attributes, so that an error
 * path is one `return`. A type of a module's own may have one beside it, for its own free function. */
#ifndef COMMON_BASE_CLEANUP_H
#define COMMON_BASE_CLEANUP_H
#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_freep(void *p) { free(*(void **)p); }
static inline void cleanup_closep(const int *fd)
{
    if (*fd >= 0)
        (void)close(*fd); /* only for readers and error paths: a writer closes by hand and looks */
}
static inline void cleanup_dirp(DIR **d)
{
    if (*d)
        (void)closedir(*d);
}
#define cleanup_free __attribute__((cleanup(cleanup_freep)))
#define cleanup_close __attribute__((cleanup(cleanup_closep)))
#define cleanup_dir __attribute__((cleanup(cleanup_dirp)))
#endif
