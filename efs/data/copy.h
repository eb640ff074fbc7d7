/* The read-once pipeline: one pass over a snapshot feeds SHA-256 of the original, the compressor,
 * SHA-256 of the stored bytes and the writer. Memory does not depend on the snapshot's size. */
#ifndef EFS_DATA_COPY_H
#define EFS_DATA_COPY_H
#include "common/base/err.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Who watches a long copy or check. */
struct copy_watch {
    void (*bytes)(size_t n, void *arg); /* `n` bytes more were read, of what is read: the source, or what is
                                           stored; may be NULL */
    void *arg;
};
struct copy_options {
    int level;                      /* zstd level, 0 stores as is */
    int threads;                    /* zstd workers, 0 for none */
    const atomic_bool *stop;        /* set: give up with ECANCELED; may be NULL */
    const struct copy_watch *watch; /* who watches; may be NULL */
};
struct copy_result {
    uint64_t size, stored_size;
    char sha256[65], stored_sha256[65];
};
/* Copy all of `in` to `out` (at their offsets). Pages are dropped behind it (posix_fadvise) so that
 * Qdrant's page cache survives. Paths are for messages. Does not sync or close. */
int copy_store(int in, const char *in_path, int out, const char *out_path, const struct copy_options *o,
               struct copy_result *r, struct err *e);
/* The same of bytes that come from elsewhere. */
struct copy_source {
    ssize_t (*read)(void *arg, void *buf, size_t n,
                    struct err *e); /* as many as there are; 0 at the end; -1 */
    void *arg;
    const char *path; /* for messages */
};
int copy_store_from(const struct copy_source *in, int out, const char *out_path, const struct copy_options *o,
                    struct copy_result *r, struct err *e);
/* Read stored bytes back: fills `r`, decoding zstd if `compressed`; writes the original to `out` unless
 * it is -1. A bad frame, one cut short, and more than `most` original bytes (a few stored ones may unpack to
 * any number; COPY_ANY: no limit) are errors. `watch` may be NULL. */
#define COPY_ANY UINT64_MAX
int copy_check(int in, const char *in_path, int out, bool compressed, uint64_t most,
               const struct copy_watch *watch, struct copy_result *r, struct err *e);
#endif
