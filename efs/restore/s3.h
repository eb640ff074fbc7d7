/* Backups in the bucket that the replicator copies to: found by their keys,
 * {TIER}-{CPU_ARCH}/{frequency}/{collection}/{snapshot}.snapshot, and read as those on EFS are, which is
 * never touched: it may be gone, or hang. Labels of the object (x-amz-meta-…) stand for the manifest.
 *
 * The bytes stream through this process into Qdrant's upload. Qdrant could be given a presigned URL instead;
 * but then it would need a way to S3 of its own, a signature would lie in its log, and a connection that
 * breaks would begin anew. So the last piece is held back until the hash is proven, as it is from EFS.
 *
 * A program calls curl_global_init() and xmlInitParser(), and ignores SIGPIPE. One thread at a time. */
#ifndef EFS_RESTORE_S3_H
#define EFS_RESTORE_S3_H
#include "efs/restore/restore.h"

/* ---- what an object says of itself */

/* Written at the upload. What a header cannot carry is left out, and aliases that have no room are counted.
 */
enum { RESTORE_S3_ALIASES = 1200 };
struct restore_s3_labels {
    char node[160], points[40], version[64], aliases[RESTORE_S3_ALIASES], signature[110];
    size_t n;
    const char *line[6]; /* "name: value", for struct s3_object; NULL behind them */
};
void restore_s3_labels(const struct manifest *m, struct restore_s3_labels *out);
/* Adds the label with the signature. It is of a text: key (which tells tree, frequency, collection and
 * snapshot), size, SHA-256 and the labels above, a line each. An object whose key has a control character
 * goes without. */
int restore_s3_sign(const struct signing_key *k, const char *key, const struct manifest *m,
                    struct restore_s3_labels *l, struct err *e);
/* Set b->signature by what an object says; of labels that it does not have "". */
struct restore_s3_said {
    const char *key, *sha256, *node, *points, *version, *aliases, *signature;
    uint64_t size;
};
int restore_s3_check(const struct restore_s3_said *said, struct backup *b, struct err *e);
/* "a,b%20c,+2": two names, and two that had no room. Left unknown when it is no such list. */
void restore_s3_aliases(const char *text, struct aliases *out);

/* ---- the bucket */

struct restore_s3;
/* Keys and Region come from the environment; `endpoint` may be NULL (aws/s3/s3.h). Asks nobody yet. NULL and
 * `e` says what to set. */
struct restore_s3 *restore_s3_new(const char *bucket, const char *endpoint, const atomic_bool *stop,
                                  struct err *e);
void restore_s3_free(struct restore_s3 *s);

/* What a key is, as an entry of a list: all but `dir`, and what only the object itself says. False when it is
 * none of our layout. `modified` stands for the time that a name does not have. */
bool restore_s3_name(const char *key, uint64_t size, time_t modified, struct backup *out);
/* Append an object of any key: where that is none of our layout, as a snapshot of a collection without a
 * name. */
int restore_s3_one(struct restore_s3 *s, const char *key, struct backup_list *list, struct err *e);
struct restore_s3_wish {
    const char *tree; /* "{TIER}-{CPU_ARCH}"; NULL: all there are */
    int frequency;    /* -1: all */
    const char *const *collections;
    size_t n_collections; /* 0: all */
    bool (*wanted)(const struct backup *b, void *arg);
    void *arg;
    bool nodes; /* find out whose they are, even if all are of one peer */
};
/* Append what is wanted, and in each folder, of each peer, no more than the RESTORE_S3_NEWEST newest and the
 * oldest one: a bucket without lifecycle rules may hold any number. *labelled: some object names its node.
 */
enum { RESTORE_S3_NEWEST = 16 };
int restore_s3_list(struct restore_s3 *s, const struct restore_s3_wish *w, struct backup_list *list,
                    bool *labelled, struct err *e);

/* Ask for size and labels of an entry, before it is read. RESTORE_DEFECT: it is not there any more, or empty.
 * Without a SHA-256 (nobody of ours put it there) restore_s3_measure comes next. */
enum restore_outcome restore_s3_look(struct restore_s3 *s, struct backup *b, struct err *e);
/* Read all of it to know its SHA-256. That proves the way, not the object. */
enum restore_outcome restore_s3_measure(struct restore_s3 *s, struct backup *b,
                                        const struct copy_watch *watch, struct err *e);
/* Gives the bytes of the entry that was looked at last; EAGAIN when the object is another one by then. */
const struct restore_origin *restore_s3_origin(const struct restore_s3 *s);
#endif
