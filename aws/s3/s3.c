#include "aws/s3/internal.h"
#include "aws/uri.h"
#include "aws/xml.h"
#include "common/base/cleanup.h"
#include "common/base/text.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    SMALL_MS = 20000,         /* for a request without much in it */
    COMPLETE_MS = 15 * 60000, /* "can take several minutes": API reference, CompleteMultipartUpload */
    STALL_S = 30,
    SLOWEST = 16,        /* bytes a millisecond, below which a transfer is given up */
    REPLY_MAX = 4 << 20, /* a page of 1,000 parts has some 400 KiB */
};

/* ---- a bucket */

/* Its name becomes a part of a host name, so only what AWS allows: "Bucket naming rules". */
static bool is_bucket(const char *name)
{
    size_t n = strlen(name);
    return n >= 3 && n <= 63 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") == n &&
           name[0] != '.' && name[0] != '-' && name[n - 1] != '.' && name[n - 1] != '-' &&
           !strstr(name, "..");
}

static int place(struct s3 *s, const char *given, struct err *e)
{
    char other[ENDPOINT_MAX], host[HOST_MAX];
    struct uri uri;
    int found = 1;
    if (given) {
        if (uri_parse("the S3 endpoint", given, &uri, e) != 0)
            return -1;
        if (strcmp(uri.path, "/") != 0 || uri.query)
            return aws_error_report(e, EINVAL, "give scheme, host and port alone", "S3 endpoint %.200s",
                                    given);
        (void)snprintf(other, sizeof other, "%s://%s", uri.https ? "https" : "http", uri.host);
    } else if ((found = region_endpoint("S3", other, e)) < 0) {
        return -1;
    }
    region_host("s3", s->region, host);
    /* The certificate of *.s3.REGION.amazonaws.com does not fit a name with a dot in it. */
    bool in_path = found || strchr(s->bucket, '.');
    (void)snprintf(s->base, sizeof s->base, in_path ? "/%s/" : "/", s->bucket);
    if (found)
        (void)snprintf(s->endpoint, sizeof s->endpoint, "%s", other);
    else
        (void)snprintf(s->endpoint, sizeof s->endpoint, "https://%s%s%s", in_path ? "" : s->bucket,
                       in_path ? "" : ".", host);
    return 0;
}

/* Goes into a header. */
static int setting(char *out, size_t size, const char *what, const char *value, struct err *e)
{
    for (const char *c = value ? value : ""; *c; c++)
        if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f)
            return aws_error_report(e, EINVAL, NULL, "%s \"%.100s\" has characters that cannot be", what,
                                    value);
    if ((size_t)snprintf(out, size, "%s", value ? value : "") >= size)
        return aws_error_report(e, EINVAL, NULL, "%s \"%.100s...\" is too long", what, value);
    return 0;
}

static int fill(struct s3 *s, const struct s3_bucket *b, struct err *e)
{
    if (!is_bucket(b->name))
        return aws_error_report(e, EINVAL, "3 to 63 of a-z, 0-9, '-' and '.'",
                                "\"%.100s\" is no name of a bucket", b->name);
    (void)snprintf(s->bucket, sizeof s->bucket, "%s", b->name);
    if (b->region && !region_is(b->region))
        return aws_error_report(e, EINVAL, "a Region is such as eu-west-1", "\"%.60s\" is no Region",
                                b->region);
    if (b->region)
        (void)snprintf(s->region, sizeof s->region, "%s", b->region);
    else if (region_find(NULL, s->region, e) != 0)
        return -1;
    s->kms = b->kms || b->kms_key;
    return setting(s->owner, sizeof s->owner, "the bucket's owner", b->owner, e) ||
                   setting(s->storage_class, sizeof s->storage_class, "storage class", b->storage_class, e) ||
                   setting(s->kms_key, sizeof s->kms_key, "KMS key", b->kms_key, e) ||
                   place(s, b->endpoint, e)
               ? -1
               : 0;
}

struct s3 *s3_new(struct aws_client *c, const struct s3_bucket *b, struct err *e)
{
    struct s3 *s = calloc(1, sizeof *s);
    if (!s)
        return (void)err_set(e, ENOMEM, "S3", NULL, NULL), NULL;
    s->caller = c;
    if (fill(s, b, e) == 0)
        return s;
    return s3_free(s), NULL;
}

void s3_free(struct s3 *s) { free(s); }

/* ---- a request */

void lines_add(struct lines *l, const char *fmt, ...)
{
    va_list args;
    char *line = NULL;
    va_start(args, fmt);
    if (l->n + 1 >= sizeof l->line / sizeof *l->line || vasprintf(&line, fmt, args) < 0)
        l->bad = true;
    else
        l->line[l->n++] = line;
    va_end(args);
}

void lines_free(struct lines *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->line[i]);
}

static void explain(const struct http_reply *reply, struct aws_error *f)
{
    char text[sizeof f->message], region[sizeof f->region];
    cleanup_xml xmlDoc *doc = reply->size ? xml_parse(reply->body, reply->size) : NULL;
    const xmlNode *error = xml_root(doc, "Error");
    if (xml_text(error, "Code", text, sizeof text))
        aws_error_code(f, text);
    if (xml_text(error, "Message", text, sizeof text))
        aws_error_message(f, text);
    if ((xml_text(error, "Region", region, sizeof region) ||
         http_header(reply, "x-amz-bucket-region", region, sizeof region)) &&
        region_is(region))
        memcpy(f->region, region, sizeof f->region);
}

static char *path_of(const struct s3 *s, const char *key)
{
    char *path = NULL;
    cleanup_free char *encoded = uri_encoded(key ? key : "", false);
    size_t base = strlen(s->base);
    if (!encoded ||
        asprintf(&path, "%.*s%s", (int)(key || base == 1 ? base : base - 1), s->base, encoded) < 0)
        return NULL;
    return path;
}

int s3_do(struct s3 *s, const struct s3_request *r, struct http_reply *reply, struct aws_error *f,
          struct err *e)
{
    cleanup_lines struct lines own = {0};
    struct lines *l = r->lines ? r->lines : &own;
    cleanup_free char *path = path_of(s, r->key);
    if (*s->owner)
        lines_add(l, "x-amz-expected-bucket-owner: %s", s->owner);
    if (!path || l->bad)
        return err_set(e, ENOMEM, "a request to S3", NULL, NULL);
    struct aws_call call = {.service = "s3",
                            .region = s->region,
                            .endpoint = s->endpoint,
                            .method = r->method,
                            .path = path,
                            .query = r->query,
                            .headers = (const char *const *)l->line,
                            .body = r->body,
                            .body_size = r->body_size,
                            .body_sha256 = r->body_sha256,
                            .total_ms = SMALL_MS + (long)(r->body_size / SLOWEST),
                            .stall_s = STALL_S,
                            .reply_max = REPLY_MAX,
                            .write = r->write,
                            .write_arg = r->write_arg,
                            .no_resend = r->no_resend,
                            .explain = explain,
                            .error_in_200_body = r->error_in_200_body};
    if (r->error_in_200_body) {
        call.total_ms = COMPLETE_MS;
        call.stall_s = 4 * STALL_S;
    }
    if (r->write)
        call.total_ms = 24L * 3600 * 1000; /* of any size: only standing still counts */
    return aws_request(s->caller, &call, reply, f, e);
}

/* ---- an error */

const char *s3_name(const struct s3 *s, const char *key, char out[400])
{
    char safe[320];
    (void)snprintf(out, 400, "s3://%s%s%s", s->bucket, key ? "/" : "",
                   key ? text_printable(key, safe, sizeof safe) : "");
    return out;
}

static int code_of(const struct aws_error *f)
{
    if (f->status == 404)
        return ENOENT;
    if (aws_error_is(f, "AccessDenied") || f->status == 403)
        return EACCES;
    return f->status >= 500 || f->status == 429 || f->status == 409 || aws_error_is(f, "SlowDown") ? EAGAIN
                                                                                                   : EPROTO;
}

static const char *advice_for(const struct s3 *s, const struct s3_request *r, const struct aws_error *f,
                              char out[256])
{
    static const struct {
        const char *what, *right;
    } rights[] = {{"HeadObject", "s3:GetObject"},
                  {"GetObject", "s3:GetObject"},
                  {"ListObjectsV2", "s3:ListBucket"},
                  {"ListMultipartUploads", "s3:ListBucketMultipartUploads"},
                  {"ListParts", "s3:ListMultipartUploadParts"},
                  {"AbortMultipartUpload", "s3:AbortMultipartUpload"}};
    if (f->region[0] && strcmp(f->region, s->region) != 0)
        return (void)snprintf(out, 256, "the bucket is in Region %s, not %s: set its Region (AWS_REGION)",
                              f->region, s->region),
               out;
    if (aws_error_is(f, "NoSuchBucket"))
        return "create the bucket, or correct its name";
    if (aws_error_is(f, "InvalidObjectState"))
        return "it is archived: restore it from Glacier first (aws s3api restore-object), or take another";
    if (aws_error_is(f, "InvalidAccessKeyId") || aws_error_is(f, "SignatureDoesNotMatch"))
        return "the keys are not of this account or endpoint";
    if (aws_error_is(f, "ExpiredToken"))
        return "unset the AWS_ keys, so that the task role's are used, or renew them: "
               "eval \"$(aws configure export-credentials --format env)\"";
    if (aws_error_is(f, "RequestTimeTooSkewed"))
        return "set this machine's clock";
    if (aws_error_is(f, "InvalidStorageClass"))
        return "correct the storage class";
    if (strncmp(f->code, "KMS.", 4) == 0 || strstr(f->message, "kms:"))
        return strcmp(r->method, "GET") == 0
                   ? "the task role needs kms:Decrypt on the key"
                   : "the task role needs kms:GenerateDataKey and kms:Decrypt on the key";
    if (!aws_error_is(f, "AccessDenied") && f->status != 403)
        return NULL;
    const char *right = "s3:PutObject";
    for (size_t i = 0; i < sizeof rights / sizeof *rights; i++)
        if (strcmp(rights[i].what, r->what) == 0)
            right = rights[i].right;
    return (void)snprintf(out, 256, "the task role needs %s on it%s", right,
                          s->kms ? ", and kms:GenerateDataKey and kms:Decrypt on the key" : ""),
           out;
}

int s3_refused(const struct s3 *s, const struct s3_request *r, const struct aws_error *f, struct err *e)
{
    char text[512], advice[256], name[400];
    return aws_error_report(e, code_of(f), advice_for(s, r, f, advice), "%s %s: %.400s", r->what,
                            s3_name(s, r->key, name), aws_error_text(f, text));
}
