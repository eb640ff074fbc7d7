#include "aws/s3/internal.h"
#include "common/base/cleanup.h"
#include "common/base/text.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t MIB = 1 << 20;
enum { PARTS_MAX = 10000, PART_MIB = 16, PART_MAX_MIB = 5 << 10, KEY_MAX = 1024 };

/* ---- what is read */

int source_open(struct source *s, const struct s3_object *o, struct err *e)
{
    *s = (struct source){.o = o, .whole = EVP_MD_CTX_new()};
    if (!s->whole || EVP_DigestInit_ex(s->whole, EVP_sha256(), NULL) != 1)
        return err_set(e, ENOMEM, "SHA-256", NULL, NULL);
    return 0;
}

void source_close(struct source *s) { EVP_MD_CTX_free(s->whole); }

static ssize_t read_some(const struct s3_object *o, char *buf, size_t n)
{
    ssize_t got;
    do
        got = o->read(o->arg, buf, n);
    while (got < 0 && errno == EINTR);
    return got;
}

int source_read(struct source *s, char *buf, size_t n, struct err *e)
{
    for (size_t have = 0; have < n;) {
        ssize_t got = read_some(s->o, buf + have, n - have);
        if (got < 0)
            return err_set(e, errno, "reading what is to become", s->o->key, NULL);
        if (got == 0)
            return aws_error_report(e, EBADMSG, NULL, "what is to become %.300s ends early", s->o->key);
        have += (size_t)got;
    }
    if (n && EVP_DigestUpdate(s->whole, buf, n) != 1)
        return err_set(e, ENOMEM, "SHA-256", NULL, NULL);
    return 0;
}

int source_end(struct source *s, struct err *e)
{
    unsigned char raw[DIGEST_SIZE];
    char hex[DIGEST_HEX], more;
    ssize_t got = read_some(s->o, &more, 1);
    if (got < 0)
        return err_set(e, errno, "reading what is to become", s->o->key, NULL);
    if (EVP_DigestFinal_ex(s->whole, raw, NULL) != 1)
        return err_set(e, ENOMEM, "SHA-256", NULL, NULL);
    digest_hex(raw, hex);
    if (got > 0 || strcmp(hex, s->o->sha256) != 0)
        return aws_error_report(e, EBADMSG, NULL, "what is to become %.300s is not what its SHA-256 says",
                                s->o->key);
    return 0;
}

/* ---- the same for one part and many */

void s3_keeping(const struct s3 *s, const struct s3_object *o, struct lines *l)
{
    char when[32];
    struct tm tm;
    lines_add(l, "Content-Type: application/octet-stream");
    lines_add(l, "x-amz-meta-sha256: %s", o->sha256);
    for (const char *const *label = o->labels; label && *label; label++)
        lines_add(l, "x-amz-meta-%s", *label);
    if (*s->storage_class)
        lines_add(l, "x-amz-storage-class: %s", s->storage_class);
    if (s->kms)
        lines_add(l, "x-amz-server-side-encryption: aws:kms");
    if (*s->kms_key)
        lines_add(l, "x-amz-server-side-encryption-aws-kms-key-id: %s", s->kms_key);
    if (!o->lock_mode)
        return;
    if (!gmtime_r(&o->lock_until, &tm) || !strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm))
        l->bad = true;
    lines_add(l, "x-amz-object-lock-mode: %s", o->lock_mode);
    lines_add(l, "x-amz-object-lock-retain-until-date: %s", when);
}

int s3_compare(struct s3 *s, const struct s3_object *o, struct s3_result *r, struct err *e)
{
    struct s3_info info;
    char name[400];
    int there = s3_head(s, o->key, &info, e);
    if (there < 0)
        return -1;
    if (there == 1)
        return aws_error_report(e, EAGAIN, "try again", "%s was taken a moment ago, and is free now",
                                s3_name(s, o->key, name));
    if (info.size != o->size || strcmp(info.sha256, o->sha256) != 0)
        return aws_error_report(e, EEXIST, "look at both, and move one away",
                                "%s is another object (%llu bytes, SHA-256 %s): nothing was overwritten",
                                s3_name(s, o->key, name), (unsigned long long)info.size,
                                info.sha256[0] ? info.sha256 : "not known");
    r->existed = true;
    (void)snprintf(r->etag, sizeof r->etag, "%s", info.etag);
    return 0;
}

int s3_taken(struct s3 *s, const struct s3_object *o, struct s3_result *r, struct err *e)
{
    struct err why = {0};
    char name[400];
    if (s3_compare(s, o, r, &why) == 0)
        return 0;
    if (why.code == EACCES)
        return aws_error_report(e, EEXIST,
                                "the task role needs s3:GetObject on it to see whether it is the same",
                                "%s is there already", s3_name(s, o->key, name));
    if (e)
        *e = why;
    return -1;
}

/* ---- one request */

static int send_whole(struct s3 *s, const struct s3_object *o, const char *body, struct s3_result *r,
                      struct err *e)
{
    unsigned char raw[DIGEST_SIZE];
    char sum[DIGEST_BASE64], name[400];
    cleanup_lines struct lines l = {0};
    cleanup_reply struct http_reply reply = {0};
    struct aws_error f;
    struct s3_request q = {.what = "PutObject",
                           .method = "PUT",
                           .key = o->key,
                           .lines = &l,
                           .body = body,
                           .body_size = (size_t)o->size,
                           .body_sha256 = o->sha256};
    if (!digest_sha256(body, (size_t)o->size, raw))
        return err_set(e, ENOMEM, "SHA-256", NULL, NULL);
    digest_base64(raw, sum);
    s3_keeping(s, o, &l);
    lines_add(&l, "x-amz-checksum-sha256: %s", sum);
    lines_add(&l, "If-None-Match: *");
    int rc = s3_do(s, &q, &reply, &f, e);
    if (rc == 1)
        return f.status == 412 ? s3_taken(s, o, r, e) : s3_refused(s, &q, &f, e);
    if (rc == 0 && !http_header(&reply, "ETag", r->etag, sizeof r->etag))
        return aws_error_report(e, EPROTO, "is it S3's endpoint?", "PutObject %s: the reply is not S3's",
                                s3_name(s, o->key, name));
    if (rc == 0 && !http_header(&reply, "x-amz-version-id", r->version, sizeof r->version))
        r->version[0] = 0;
    r->parts_sent = rc == 0;
    return rc;
}

static int put_whole(struct s3 *s, const struct s3_object *o, struct s3_result *r, struct err *e)
{
    cleanup_free char *body = malloc((size_t)o->size + 1);
    cleanup_source struct source src = {0};
    if (!body)
        return err_set(e, ENOMEM, "the upload of", o->key, NULL);
    if (source_open(&src, o, e) != 0 || source_read(&src, body, (size_t)o->size, e) != 0 ||
        source_end(&src, e) != 0)
        return -1;
    return send_whole(s, o, body, r, e);
}

/* ---- which way */

static int check(const struct s3_object *o, struct err *e)
{
    size_t n = strlen(o->key);
    bool control = false;
    for (const char *c = o->key; *c; c++)
        control = control || (unsigned char)*c < ' ' || *c == 0x7f;
    if (n == 0 || n > KEY_MAX || control || !text_is_utf8(o->key))
        return aws_error_report(e, EINVAL, "1 to 1,024 bytes of UTF-8 without control characters",
                                "a key of %zu bytes cannot be used", n);
    if (!digest_is_hex(o->sha256))
        return aws_error_report(e, EINVAL, NULL, "\"%.80s\" is no SHA-256", o->sha256);
    if (o->lock_mode && strcmp(o->lock_mode, "GOVERNANCE") != 0 && strcmp(o->lock_mode, "COMPLIANCE") != 0)
        return aws_error_report(e, EINVAL, "GOVERNANCE or COMPLIANCE", "Object Lock mode \"%.40s\"",
                                o->lock_mode);
    return 0;
}

/* The same for the same size, whoever comes back to go on. */
static uint64_t part_of(const struct s3_object *o)
{
    uint64_t part = o->part_size ? o->part_size : PART_MIB * MIB, least = o->size / PARTS_MAX + 1;
    return part >= least ? part : (least + MIB - 1) / MIB * MIB;
}

int s3_put(struct s3 *s, const struct s3_object *o, struct s3_result *r, struct err *e)
{
    uint64_t part = part_of(o);
    *r = (struct s3_result){0};
    if (check(o, e) != 0)
        return -1;
    if (part > PART_MAX_MIB * MIB)
        return aws_error_report(e, EFBIG, NULL, "%.300s is larger than S3 can hold", o->key);
    return o->size <= part ? put_whole(s, o, r, e) : s3_put_parts(s, o, part, r, e);
}
