#include "aws/s3/internal.h"
#include "common/base/cleanup.h"
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRIES = 4, PROGRESS = 1 << 20 }; /* so many tries without so many bytes end it */

static int understand(const struct http_reply *reply, struct s3_info *info)
{
    char length[24], date[64], *end = NULL;
    if (!http_header(reply, "ETag", info->etag, sizeof info->etag))
        return -1;
    if (!http_header(reply, "x-amz-meta-sha256", info->sha256, sizeof info->sha256))
        info->sha256[0] = 0;
    if (!http_header(reply, "Content-Length", length, sizeof length))
        return -1;
    time_t modified = http_header(reply, "Last-Modified", date, sizeof date) ? curl_getdate(date, NULL) : 0;
    info->modified = modified > 0 ? modified : 0;
    errno = 0;
    info->size = strtoull(length, &end, 10);
    return errno || *end || end == length ? -1 : 0;
}

static void read_labels(const struct http_reply *reply, const struct s3_label *labels, size_t n)
{
    char name[80];
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(name, sizeof name, "x-amz-meta-%s", labels[i].name);
        if (!http_header(reply, name, labels[i].value, labels[i].size))
            labels[i].value[0] = 0;
    }
}

int s3_head_labels(struct s3 *s, const char *key, struct s3_info *info, const struct s3_label *labels,
                   size_t n, struct err *e)
{
    struct s3_request r = {.what = "HeadObject", .method = "HEAD", .key = key};
    cleanup_reply struct http_reply reply = {0};
    struct aws_error f;
    char name[400];
    *info = (struct s3_info){0};
    int rc = s3_do(s, &r, &reply, &f, e);
    if (rc == 1 && f.status == 404)
        return 1;
    if (rc != 0)
        return rc == 1 ? s3_refused(s, &r, &f, e) : -1;
    if (understand(&reply, info) != 0)
        return aws_error_report(e, EPROTO, NULL, "HeadObject %s: the reply is not S3's",
                                s3_name(s, key, name));
    read_labels(&reply, labels, n);
    return 0;
}

int s3_head(struct s3 *s, const char *key, struct s3_info *info, struct err *e)
{
    return s3_head_labels(s, key, info, NULL, 0, e);
}

int s3_why(struct s3 *s, const char *key, struct err *e)
{
    cleanup_lines struct lines l = {0};
    cleanup_reply struct http_reply reply = {0};
    struct s3_request r = {.what = "GetObject", .method = "GET", .key = key, .lines = &l};
    struct aws_error f;
    lines_add(&l, "Range: bytes=0-0");
    int rc = s3_do(s, &r, &reply, &f, e);
    if (rc == 1 && f.status == 416)
        return 0; /* it has no bytes */
    return rc == 1 ? s3_refused(s, &r, &f, e) : rc;
}

struct stream {
    int (*write)(void *arg, const void *data, size_t n);
    void *arg;
    EVP_MD_CTX *hash; /* NULL: not hashed */
    uint64_t done, size;
    bool too_much;
};

static int pass_on(void *arg, const void *data, size_t n)
{
    struct stream *st = arg;
    st->too_much = n > st->size - st->done; /* an end that was asked for, but the whole came */
    if (st->too_much || (st->hash && EVP_DigestUpdate(st->hash, data, n) != 1) ||
        st->write(st->arg, data, n) != 0)
        return -1;
    st->done += n;
    return 0;
}

static int fetch(struct s3 *s, const char *key, const struct s3_info *info, struct stream *st, struct err *e)
{
    cleanup_lines struct lines l = {0};
    cleanup_reply struct http_reply reply = {0};
    struct aws_error f;
    char name[400];
    struct s3_request r = {.what = "GetObject",
                           .method = "GET",
                           .key = key,
                           .lines = &l,
                           .no_resend = true,
                           .write = pass_on,
                           .write_arg = st};
    lines_add(&l, "If-Match: %s", info->etag);
    if (st->done)
        lines_add(&l, "Range: bytes=%llu-", (unsigned long long)st->done);
    int rc = s3_do(s, &r, &reply, &f, e);
    if (st->too_much)
        return aws_error_report(e, EPROTO, NULL, "GetObject %s: there is more than there should be",
                                s3_name(s, key, name));
    if (rc == 1 && f.status == 412)
        return aws_error_report(e, EAGAIN, "read it from its begin",
                                "GetObject %s: it changed while it was read", s3_name(s, key, name));
    return rc == 1 ? s3_refused(s, &r, &f, e) : rc;
}

static int fetch_all(struct s3 *s, const char *key, const struct s3_info *info, struct stream *st,
                     struct err *e)
{
    struct err why = {0};
    char name[400];
    int idle = 0;
    while (st->done < st->size) {
        uint64_t before = st->done;
        if (fetch(s, key, info, st, &why) == 0)
            break;
        idle = st->done - before >= PROGRESS ? 1 : idle + 1;
        if (!aws_may_pass(why.code) || st->too_much || idle >= TRIES || !aws_pause(s->caller, idle)) {
            if (e)
                *e = why;
            return -1;
        }
    }
    if (st->done != st->size)
        return aws_error_report(e, EPROTO, NULL, "GetObject %s: it ended early", s3_name(s, key, name));
    return 0;
}

static int check(const struct s3 *s, const char *key, const struct s3_info *info, struct stream *st,
                 struct err *e)
{
    unsigned char raw[DIGEST_SIZE];
    char hex[DIGEST_HEX], name[400];
    if (EVP_DigestFinal_ex(st->hash, raw, NULL) != 1)
        return err_set(e, ENOMEM, "SHA-256", NULL, NULL);
    digest_hex(raw, hex);
    if (info->sha256[0] && strcmp(hex, info->sha256) != 0)
        return aws_error_report(e, EBADMSG, NULL, "%s is not what its x-amz-meta-sha256 says",
                                s3_name(s, key, name));
    return 0;
}

int s3_get(struct s3 *s, const char *key, int (*write)(void *arg, const void *data, size_t n), void *arg,
           struct s3_info *info, struct err *e)
{
    int rc = s3_head(s, key, info, e);
    if (rc != 0)
        return rc;
    struct stream st = {.write = write, .arg = arg, .hash = EVP_MD_CTX_new(), .size = info->size};
    if (!st.hash || EVP_DigestInit_ex(st.hash, EVP_sha256(), NULL) != 1)
        rc = err_set(e, ENOMEM, "SHA-256", NULL, NULL);
    else if ((rc = fetch_all(s, key, info, &st, e)) == 0)
        rc = check(s, key, info, &st, e);
    EVP_MD_CTX_free(st.hash);
    return rc;
}

int s3_stream(struct s3 *s, const char *key, const struct s3_info *info,
              int (*write)(void *arg, const void *data, size_t n), void *arg, struct err *e)
{
    struct stream st = {.write = write, .arg = arg, .size = info->size};
    return fetch_all(s, key, info, &st, e);
}
