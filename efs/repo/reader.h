/* The original bytes of a backup, as they are wanted: read, decompressed and hashed on the way, in memory of
 * a fixed size. The last byte is handed out only once the whole has been proven against the manifest, so that
 * whoever needs all of it (an upload with its length, a file with its final name) never has a whole that is
 * wrong. */
#ifndef EFS_REPO_READER_H
#define EFS_REPO_READER_H
#include "efs/repo/backup.h"
#include <stdatomic.h>
#include <sys/types.h>

/* Where the stored bytes are when not on EFS. */
struct restore_origin {
    /* A descriptor that gives those of `b` and then ends, also when they are not all; -1 with `e`. */
    int (*open)(void *arg, const struct backup *b, struct err *e);
    /* Once for each that was opened: after its end, or when it is closed because nobody wants the rest. 0:
     * all bytes were given; -1 with `e` as that of backup_reader_read. */
    int (*end)(void *arg, struct err *e);
    void *arg;
};
struct backup_reader;
/* `b` is complete, and stays. `watch` (may be NULL) is told the stored bytes that were read; `stop` (may be
 * NULL): set, gives up with ECANCELED. */
struct backup_reader *backup_reader_open(const struct backup *b, const struct copy_watch *watch,
                                         const atomic_bool *stop, struct err *e);
/* The same from elsewhere; `origin` (NULL: from EFS) stays. One stream of an origin at a time. */
struct backup_reader *backup_reader_open_from(const struct restore_origin *origin, const struct backup *b,
                                              const struct copy_watch *watch, const atomic_bool *stop,
                                              struct err *e);
void backup_reader_close(struct backup_reader *s);
static inline void backup_reader_closep(struct backup_reader **s) { backup_reader_close(*s); }
#define cleanup_reader __attribute__((cleanup(backup_reader_closep)))
/* Up to `n` bytes: as many as there are. 0 at the end. -1: `e` has errno's code when the file could not be
 * read, and 0 when what was read is not what the manifest says. Every later call gives the same. */
ssize_t backup_reader_read(struct backup_reader *s, void *out, size_t n, struct err *e);
/* The same in the reader's own memory, which is hashed while the caller uses it: faster. *out stays until the
 * next call. */
ssize_t backup_reader_borrow(struct backup_reader *s, const void **out, struct err *e);
#endif
