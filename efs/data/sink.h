/* Where stored bytes go: hashed, written, and sent on to the disk in time, so that the sync at the end finds
 * little to do and Qdrant's page cache survives. */
#ifndef EFS_DATA_SINK_H
#define EFS_DATA_SINK_H
#include "common/base/err.h"
#include "efs/data/hasher.h"
#include <stdint.h>

struct sink {
    int fd;
    const char *path;         /* for messages */
    struct hasher *hash;      /* NULL: these bytes are hashed elsewhere; the caller's */
    uint64_t size;            /* bytes written so far */
    uint64_t started, synced; /* how many of them the kernel was asked to write, and has written */
};
/* 0, or -1 with `e`. `data` may change afterwards. Neither syncs at the end nor closes. */
int sink_write(struct sink *s, const void *data, size_t n, struct err *e);
#endif
