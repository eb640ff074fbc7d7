/* Shared by the files of s3: one request, its headers, its errors. */
#ifndef AWS_S3_INTERNAL_H
#define AWS_S3_INTERNAL_H
#include "aws/digest.h"
#include "aws/region.h"
#include "aws/s3/s3.h"
#include <openssl/evp.h>

struct s3 {
    struct aws_client *caller;
    char bucket[64], region[REGION_MAX], endpoint[ENDPOINT_MAX + 64], owner[16], storage_class[40],
        kms_key[512];
    char base[72]; /* of a path: "/", or "/bucket/" */
    bool kms;
};

/* Header lines in the making. */
struct lines {
    char *line[24]; /* the last one stays NULL */
    size_t n;
    bool bad; /* no memory, or too many */
};
void lines_add(struct lines *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void lines_free(struct lines *l);
#define cleanup_lines __attribute__((cleanup(lines_free)))

/* One request for `key` (NULL: for the bucket). */
struct s3_request {
    const char *what; /* the API's name for it: "PutObject" */
    const char *method, *key;
    const char *query;   /* encoded; may be NULL */
    struct lines *lines; /* may be NULL */
    const void *body;
    size_t body_size;
    const char *body_sha256; /* hex, may be NULL */
    bool error_in_200_body, no_resend;
    int (*write)(void *arg, const void *data, size_t n);
    void *write_arg;
};
/* As aws_request. */
int s3_do(struct s3 *s, const struct s3_request *r, struct http_reply *reply, struct aws_error *f,
          struct err *e);
/* Makes an error of a fault, with advice. Returns -1. */
int s3_refused(const struct s3 *s, const struct s3_request *r, const struct aws_error *f, struct err *e);
/* "s3://bucket/key", printable, cut. */
const char *s3_name(const struct s3 *s, const char *key, char out[400]);
/* The headers that say how an object is to be kept. */
void s3_keeping(const struct s3 *s, const struct s3_object *o, struct lines *l);
/* The key is taken. 0: by the very same object, as the result then says. -1: EEXIST, or EAGAIN when it is
 * free now. */
int s3_compare(struct s3 *s, const struct s3_object *o, struct s3_result *r, struct err *e);

/* The same when S3 has said (412) that something is there. */
int s3_taken(struct s3 *s, const struct s3_object *o, struct s3_result *r, struct err *e);

/* What an object is read from; hashes all of it on the way. */
struct source {
    const struct s3_object *o;
    EVP_MD_CTX *whole;
};
int source_open(struct source *s, const struct s3_object *o, struct err *e);
void source_close(struct source *s);
#define cleanup_source __attribute__((cleanup(source_close)))
/* Exactly `n` bytes; fewer are an error. */
int source_read(struct source *s, char *buf, size_t n, struct err *e);
/* There must be no more, and all of it must be what the object's sha256 says: EBADMSG. */
int source_end(struct source *s, struct err *e);

int s3_put_parts(struct s3 *s, const struct s3_object *o, uint64_t part_size, struct s3_result *r,
                 struct err *e);
#endif
