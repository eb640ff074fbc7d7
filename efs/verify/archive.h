/* How good is a backup, as far as one can tell without a server? Its hashes; each member of its tar, and of
 * the tars inside, read to the end; and all that Qdrant (1.18.2) needs to restore it is there and makes
 * sense. Read once, as a stream: no temporary files, memory of a fixed size. */
#ifndef EFS_VERIFY_ARCHIVE_H
#define EFS_VERIFY_ARCHIVE_H
#include "efs/repo/reader.h"
#include "efs/repo/shards.h"
#include <stdatomic.h>
/* In place of backup_verify, for a backup that was read: sets state and reason, which has a line for each
 * defect. `watch` and `stop` may be NULL; with `stop` set nothing is changed. */
void archive_verify(struct backup *b, const struct copy_watch *watch, const atomic_bool *stop);

/* The same of one that is about to take the place of what is there, from wherever its bytes are (`origin`
 * NULL: EFS): 0; 1: it has a defect, in `why`; -1 with `e`: stopped, or it could not be read. */
int archive_prove(const struct backup *b, const struct restore_origin *origin, const atomic_bool *stop,
                  char *why, size_t size, struct err *e);

/* The same of a file that is not published yet, and what was found in it. */
struct cJSON;
struct archive_part {       /* the snapshot of one collection, or of one shard */
    char *file;             /* its name in one of the whole storage, else NULL */
    struct cJSON *config;   /* config.json; NULL for a shard, which has none, or when it was not read */
    struct cJSON *segment;  /* segment.json of the first segment; NULL: none was read */
    unsigned shards, local; /* whose state was read, and how many of these this node holds */
    struct shards told;     /* what it says of all shards of its collection, also of those elsewhere */
    char trouble[200]; /* the first local shard whose replica is no backup ("shard 1 is Partial"), or empty */
};
struct archive_found {
    struct archive_part *v; /* one, or with the whole storage one for each collection */
    size_t n;
    char *defects; /* a line for each; NULL: none */
    struct err
        hostile; /* of the whole storage: the first name in it that has no business there, else empty */
};
#define cleanup_found __attribute__((cleanup(archive_found_free)))
void archive_found_free(struct archive_found *f);
/* `fd` is read from where it is. With `whole` every byte is read, and every defect found. Else only what
 * tells the shards' states: data between is skipped where the file lets us seek, and a file that is no tar
 * has no parts. -1: stopped, or it could not be read. */
int archive_look(int fd, const char *path, enum kind kind, bool whole, const atomic_bool *stop,
                 struct archive_found *out, struct err *e);
#endif
