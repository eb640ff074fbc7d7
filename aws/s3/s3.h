/* Objects in a bucket of S3: put one there that must not be there yet, list them, read one back. An object is
 * whole or not there at all; its x-amz-meta-sha256 says what is in it, and whoever finds his own there has
 * found it done. One that is larger than a part goes in parts, and an upload that broke off, also with its
 * process, goes on where it stopped. Not for deleting, or overwriting. A program with threads calls libxml2's
 * xmlInitParser() before it starts them. */
#ifndef AWS_S3_S3_H
#define AWS_S3_S3_H
#include "aws/request.h"
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

struct s3_bucket {
    const char *name;
    const char *region; /* NULL: AWS_REGION or AWS_DEFAULT_REGION */
    const char
        *endpoint;     /* "https://host[:port]"; NULL: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, or AWS's own */
    const char *owner; /* account that the bucket must belong to; NULL: any */
    const char *storage_class; /* NULL: the bucket's default, STANDARD */
    bool kms;                  /* encrypt with KMS: with the account's key for S3, or with kms_key */
    const char *kms_key;       /* its id or ARN; NULL: see above */
};
struct s3;
/* The texts of `b` are copied; `c` must outlive it. NULL on error: a name that can be no bucket's, no Region.
 */
struct s3 *s3_new(struct aws_client *c, const struct s3_bucket *b, struct err *e);
void s3_free(struct s3 *s);

struct s3_object {
    const char *key;    /* UTF-8 without control characters, 1 to 1,024 bytes */
    uint64_t size;      /* of what `read` will give */
    const char *sha256; /* of it, hex; compared with what was read before the object comes into being */
    ssize_t (*read)(void *arg, void *buf,
                    size_t n); /* as read(2): 0 at the end, -1 and errno; called in order */
    void *arg;
    uint64_t part_size; /* 0: 16 MiB, and more when 10,000 parts would not do. S3 wants 5 MiB or more. */
    const char *const *labels; /* "name: value" of more metadata, ASCII, NULL behind them; may be NULL */
    const char *lock_mode;     /* Object Lock: "GOVERNANCE" or "COMPLIANCE", until lock_until; NULL: none */
    time_t lock_until;
};
struct s3_result {
    bool existed; /* the very same object was there; nothing came into being */
    bool resumed; /* an upload that had broken off was ended */
    unsigned parts_sent, parts_kept;
    char etag[80], version[128]; /* empty when not known */
};
/* Takes one part's size of memory. 0 done; -1 and the code of `e`: EEXIST when another object has the key,
 * ENOENT no such bucket, EACCES, ECANCELED, EAGAIN when to begin anew may help, EBADMSG when what was read is
 * not what `sha256` says, or as of aws_request. What was uploaded stays there for the next attempt (let a
 * lifecycle rule abort what nobody comes back for). */
int s3_put(struct s3 *s, const struct s3_object *o, struct s3_result *r, struct err *e);

struct s3_info {
    uint64_t size;
    char sha256[65], etag[80]; /* `sha256` is empty when the object does not say */
    time_t modified;           /* 0: not known */
};
/* 0 it is there, 1 not there, -1. */
int s3_head(struct s3 *s, const char *key, struct s3_info *info, struct err *e);
/* A label of an object, x-amz-meta-NAME, that is asked for: "" when it has none, or one that does not fit. */
struct s3_label {
    const char *name;
    char *value;
    size_t size;
};
/* The same, and `n` of its labels. */
int s3_head_labels(struct s3 *s, const char *key, struct s3_info *info, const struct s3_label *labels,
                   size_t n, struct err *e);
/* Why an s3_head failed, or found nothing: a reply to HEAD has no body, and so no reason. 0: it is there by
 * now; -1 and the reason. */
int s3_why(struct s3 *s, const char *key, struct err *e);
/* Give all bytes to `write` in order; a connection that breaks is taken up where it broke, as long as the
 * object is the same. Checked against x-amz-meta-sha256 where there is one: EBADMSG. 1: not there. `write`
 * returning not 0: EIO. */
int s3_get(struct s3 *s, const char *key, int (*write)(void *arg, const void *data, size_t n), void *arg,
           struct s3_info *info, struct err *e);
/* The same of the very object that s3_head has found: EAGAIN when it is another one by now. What its bytes
 * are is for the caller to look at. */
int s3_stream(struct s3 *s, const char *key, const struct s3_info *info,
              int (*write)(void *arg, const void *data, size_t n), void *arg, struct err *e);

struct s3_listed {
    const char *key; /* any bytes but NUL */
    uint64_t size;
    time_t modified; /* 0: not known */
};
/* Not 0 ends the listing, with `e`. */
typedef int s3_visit(void *arg, const struct s3_listed *o, struct err *e);
/* Visit each object whose key begins with `prefix`, in the order of the keys; with `folders` only what is
 * before the next '/', and of what is behind that the folder alone, as a key that ends in '/'. A page of
 * 1,000 is in memory at a time. */
int s3_list(struct s3 *s, const char *prefix, bool folders, s3_visit *visit, void *arg, struct err *e);
#endif
