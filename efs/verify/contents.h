/* What a backup holds, file by file: the members of its tar, and of the tars inside, each with its size and
 * its hash; and its configuration. Read once, as a stream: no temporary files. For people who compare. */
#ifndef EFS_VERIFY_CONTENTS_H
#define EFS_VERIFY_CONTENTS_H
#include "efs/repo/reader.h"

struct cJSON;
struct contents_file {
    char *path; /* "0/segments/UUID/segment.json": of a tar inside, its name without ".tar" is a folder */
    uint64_t size;
    unsigned char sha256[32];
};
struct contents {
    struct contents_file *v; /* sorted by path */
    size_t n;
    struct cJSON *config, *indexes; /* config.json, payload_index.json; NULL: there is none */
};
#define cleanup_contents __attribute__((cleanup(contents_free)))
void contents_free(struct contents *c);
/* Of a backup that was read. -1: it cannot be read, or is not what its manifest says, or no snapshot. */
int contents_read(const struct backup *b, const struct copy_watch *watch, struct contents *out,
                  struct err *e);

enum contents_change { CONTENTS_SAME, CONTENTS_CHANGED, CONTENTS_NEW, CONTENTS_GONE };
const char *contents_change_text(enum contents_change c);
/* Each file of the two, by path; `a` is NULL for a new one, `b` for one that is gone. Pure. */
typedef void contents_visit(enum contents_change change, const struct contents_file *a,
                            const struct contents_file *b, void *arg);
void contents_compare(const struct contents *a, const struct contents *b, contents_visit *visit, void *arg);
/* The part of its path that tells the segment ("0/segments/UUID"), else the shard's folder ("0"), else 0:
 * how many bytes of the path that are. Pure. */
size_t contents_part(const char *path);
#endif
