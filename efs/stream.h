/* A stored backup, or a local snapshot, as a stream of the bytes that Qdrant made: decompressed on a thread
 * of its own, checked as it goes, pulled by whoever sends it on. What was pulled is known to be good only
 * when the stream has ended well. */
#ifndef EFS_STREAM_H
#define EFS_STREAM_H
#include "efs/copy.h"
#include <sys/types.h>

struct stream;
struct stream_source {
    const char *path;
    bool compressed;
    uint64_t size;      /* of the bytes that come out */
    const char *sha256; /* of those, hex */
};
/* NULL with `e`. SIGPIPE must be blocked or ignored. */
struct stream *stream_open(const struct stream_source *s, struct err *e);
/* The next bytes, as read(2) gives them, but at least one; 0 at a good end. -1 with `e`, also in place of the
 * last ones when size or hash are not what they must be: whoever gets `size` bytes has good ones. */
ssize_t stream_read(struct stream *s, void *buf, size_t n, struct err *e);
void stream_close(struct stream *s);
#endif
