/* An object in parts. An upload that broke off is found by its key and goes on, if its parts are of our size
 * and carry our checksums: we read and hash everything again, and send what is missing. */
#include "aws/s3/internal.h"
#include "aws/uri.h"
#include "aws/xml.h"
#include "common/base/cleanup.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ID_MAX = 1024, PAGES_MAX = 200 };

struct part {
    char etag[80], sum[DIGEST_BASE64];
    bool there; /* listed as uploaded; not compared yet */
};
struct upload {
    struct s3 *s;
    const struct s3_object *o;
    struct s3_result *r;
    uint64_t part_size;
    unsigned count;
    struct part *parts; /* number n is parts[n - 1] */
    char *buf;          /* one part */
    char id[ID_MAX];    /* empty: none */
};

static size_t size_of(const struct upload *u, unsigned number)
{
    return (size_t)(number < u->count ? u->part_size : u->o->size - (u->count - 1) * u->part_size);
}

static int strange(const struct upload *u, const char *what, struct err *e)
{
    char name[400];
    return aws_error_report(e, EPROTO, "is it S3's endpoint?", "%s %s: the reply is not S3's", what,
                            s3_name(u->s, u->o->key, name));
}

/* "FORMAT" with the encoded upload id for its %s. */
static char *query_of(const struct upload *u, const char *before)
{
    char *query = NULL;
    cleanup_free char *id = uri_encoded(u->id, true);
    if (!id || asprintf(&query, "%suploadId=%s", before, id) < 0)
        return NULL;
    return query;
}

/* ---- an upload that broke off */

struct found {
    char id[ID_MAX], initiated[40];
};

/* The newest upload of our very key on one page. */
static void newest(const xmlNode *page, const char *key, struct found *best)
{
    char text[3100], initiated[40], id[ID_MAX]; /* a key of 1,024 bytes, each as %XX */
    bool encoded = xml_text(page, "EncodingType", text, sizeof text) && strcmp(text, "url") == 0;
    for (const xmlNode *n = xml_child(page, "Upload"); n; n = xml_next(n)) {
        if (!xml_text(n, "Key", text, sizeof text) || !xml_text(n, "UploadId", id, sizeof id))
            continue;
        if (encoded)
            (void)uri_decode(text, true);
        if (strcmp(text, key) != 0)
            continue;
        if (!xml_text(n, "Initiated", initiated, sizeof initiated))
            initiated[0] = 0;
        if (!best->id[0] || strcmp(initiated, best->initiated) >= 0) {
            memcpy(best->id, id, sizeof id);
            memcpy(best->initiated, initiated, sizeof initiated);
        }
    }
}

/* The query of the next page; NULL after the last one, or without memory, when there is nothing to go on
 * with. */
static char *next_page(const xmlNode *page, const char *first)
{
    char flag[8], key[3100], id[ID_MAX], *query = NULL;
    if (!xml_text(page, "IsTruncated", flag, sizeof flag) || strcmp(flag, "true") != 0 ||
        !xml_text(page, "NextKeyMarker", key, sizeof key) ||
        !xml_text(page, "NextUploadIdMarker", id, sizeof id))
        return NULL;
    if (xml_text(page, "EncodingType", flag, sizeof flag) && strcmp(flag, "url") == 0)
        (void)uri_decode(key, true);
    cleanup_free char *k = uri_encoded(key, true), *i = uri_encoded(id, true);
    if (!k || !i || asprintf(&query, "%s&key-marker=%s&upload-id-marker=%s", first, k, i) < 0)
        return NULL;
    return query;
}

/* One page of a listing. 0 and a document, 1 none that is of use to us, -1. To go on is a convenience: a task
 * role that may not list begins anew, and so does whoever gets an answer that is no listing: it would be the
 * same the next time. */
static int list(struct upload *u, const struct s3_request *q, const char *root, xmlDoc **doc, struct err *e)
{
    cleanup_reply struct http_reply reply = {0};
    struct aws_error f = {0};
    int rc = s3_do(u->s, q, &reply, &f, e);
    if (rc == 1 && (f.status >= 500 || f.status == 429))
        return s3_refused(u->s, q, &f, e);
    if (rc != 0)
        return rc;
    *doc = xml_parse(reply.body, reply.size);
    return xml_root(*doc, root) ? 0 : 1;
}

static int find(struct upload *u, struct err *e)
{
    struct found best = {0};
    cleanup_free char *prefix = uri_encoded(u->o->key, true), *first = NULL, *query = NULL;
    if (!prefix || asprintf(&first, "uploads&encoding-type=url&prefix=%s", prefix) < 0 ||
        !(query = strdup(first)))
        return err_set(e, ENOMEM, "the upload of", u->o->key, NULL);
    for (int page = 0; query && page < PAGES_MAX; page++) {
        struct s3_request q = {.what = "ListMultipartUploads", .method = "GET", .query = query};
        cleanup_xml xmlDoc *doc = NULL;
        int rc = list(u, &q, "ListMultipartUploadsResult", &doc, e);
        if (rc != 0)
            return rc < 0 ? -1 : 0;
        newest(xml_root(doc, "ListMultipartUploadsResult"), u->o->key, &best);
        free(query);
        query = next_page(xml_root(doc, "ListMultipartUploadsResult"), first);
    }
    memcpy(u->id, best.id, sizeof u->id);
    return 0;
}

static bool number_of(const xmlNode *n, const char *name, unsigned long long *out)
{
    char text[24], *end = NULL;
    if (!xml_text(n, name, text, sizeof text) || strspn(text, "0123456789") != strlen(text) || !*text)
        return false;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return errno == 0;
}

/* False when one cannot be a part of ours: another size, or no SHA-256. */
static bool take_parts(struct upload *u, const xmlNode *page)
{
    unsigned long long number, size;
    for (const xmlNode *n = xml_child(page, "Part"); n; n = xml_next(n)) {
        if (!number_of(n, "PartNumber", &number) || number < 1 || number > u->count ||
            !number_of(n, "Size", &size) || size != size_of(u, (unsigned)number))
            return false;
        struct part *p = &u->parts[number - 1];
        if (!xml_text(n, "ETag", p->etag, sizeof p->etag) ||
            !xml_text(n, "ChecksumSHA256", p->sum, sizeof p->sum) || !p->sum[0])
            return false;
        p->there = true;
    }
    return true;
}

/* 1: its parts can be ours; 0: they cannot; -1. No parts at all: nothing says whose it is, so it is left
 * alone. */
static int load_parts(struct upload *u, struct err *e)
{
    unsigned long long marker = 0, next = 0;
    char flag[8], before[64];
    for (bool more = true; more; marker = next) {
        (void)snprintf(before, sizeof before, "part-number-marker=%llu&", marker);
        cleanup_free char *query = query_of(u, marker ? before : "");
        cleanup_xml xmlDoc *doc = NULL;
        struct s3_request q = {.what = "ListParts", .method = "GET", .key = u->o->key, .query = query};
        int rc = query ? list(u, &q, "ListPartsResult", &doc, e)
                       : err_set(e, ENOMEM, "the upload of", u->o->key, NULL);
        if (rc != 0)
            return u->id[0] = 0, rc < 0 ? -1 : 1;
        const xmlNode *page = xml_root(doc, "ListPartsResult");
        if (!take_parts(u, page))
            return 0;
        more = xml_text(page, "IsTruncated", flag, sizeof flag) && strcmp(flag, "true") == 0 &&
               number_of(page, "NextPartNumberMarker", &next) && next > marker;
    }
    for (unsigned i = 0; i < u->count; i++)
        if (u->parts[i].there)
            return 1;
    u->id[0] = 0;
    return 1;
}

/* What fails here is a lifecycle rule's to tidy up. */
static void give_up(struct upload *u)
{
    cleanup_free char *query = query_of(u, "");
    cleanup_reply struct http_reply reply = {0};
    struct aws_error f = {0};
    struct s3_request q = {
        .what = "AbortMultipartUpload", .method = "DELETE", .key = u->o->key, .query = query};
    if (query && u->id[0])
        (void)s3_do(u->s, &q, &reply, &f, NULL);
    u->id[0] = 0;
    memset(u->parts, 0, u->count * sizeof *u->parts);
}

static int create(struct upload *u, struct err *e)
{
    cleanup_lines struct lines l = {0};
    cleanup_reply struct http_reply reply = {0};
    cleanup_xml xmlDoc *doc = NULL;
    struct aws_error f = {0};
    struct s3_request q = {.what = "CreateMultipartUpload",
                           .method = "POST",
                           .key = u->o->key,
                           .query = "uploads",
                           .lines = &l,
                           .body = ""}; /* so that a Content-Length of 0 is sent */
    s3_keeping(u->s, u->o, &l);
    lines_add(&l, "x-amz-checksum-algorithm: SHA256");
    int rc = s3_do(u->s, &q, &reply, &f, e);
    if (rc != 0)
        return rc == 1 ? s3_refused(u->s, &q, &f, e) : -1;
    doc = xml_parse(reply.body, reply.size);
    if (!xml_text(xml_root(doc, "InitiateMultipartUploadResult"), "UploadId", u->id, sizeof u->id) ||
        !u->id[0])
        return strange(u, q.what, e);
    return 0;
}

/* One that goes on, or a new one. */
static int begin(struct upload *u, struct err *e)
{
    if (find(u, e) != 0)
        return -1;
    int usable = u->id[0] ? load_parts(u, e) : 1;
    if (usable < 0)
        return -1;
    if (usable == 0)
        give_up(u); /* another part size, or made by something else */
    u->r->resumed = u->id[0] != 0;
    if (u->r->resumed)
        return 0;
    memset(u->parts, 0, u->count * sizeof *u->parts); /* what a listing that broke off left */
    return create(u, e);
}

/* ---- the parts */

/* Another writer of the same object may have ended or aborted the upload that we share. */
static int gone(struct upload *u, struct err *e)
{
    u->id[0] = 0;
    return s3_compare(u->s, u->o, u->r, e) == 0 ? 1 : -1;
}

/* 0 sent, 1 the object is there already, -1. */
static int send_part(struct upload *u, unsigned number, size_t n, const unsigned char *raw, struct err *e)
{
    char hex[DIGEST_HEX], before[40];
    struct part *p = &u->parts[number - 1];
    cleanup_lines struct lines l = {0};
    cleanup_reply struct http_reply reply = {0};
    struct aws_error f = {0};
    digest_hex(raw, hex);
    digest_base64(raw, p->sum);
    (void)snprintf(before, sizeof before, "partNumber=%u&", number);
    cleanup_free char *query = query_of(u, before);
    struct s3_request q = {.what = "UploadPart",
                           .method = "PUT",
                           .key = u->o->key,
                           .query = query,
                           .lines = &l,
                           .body = u->buf,
                           .body_size = n,
                           .body_sha256 = hex};
    lines_add(&l, "Content-Type: application/octet-stream");
    lines_add(&l, "x-amz-checksum-sha256: %s", p->sum);
    int rc = query ? s3_do(u->s, &q, &reply, &f, e) : err_set(e, ENOMEM, "the upload of", u->o->key, NULL);
    if (rc == 1)
        return aws_error_is(&f, "NoSuchUpload") ? gone(u, e) : s3_refused(u->s, &q, &f, e);
    if (rc == 0 && !http_header(&reply, "ETag", p->etag, sizeof p->etag))
        return strange(u, q.what, e);
    u->r->parts_sent += rc == 0;
    return rc;
}

/* A part that is listed with another checksum: the upload is one of other content, and so is what it says of
 * itself in x-amz-meta-sha256. With the first part in hand we can still begin anew. */
static int other_content(struct upload *u, unsigned number, struct err *e)
{
    give_up(u);
    u->r->resumed = false;
    if (number == 1)
        return create(u, e);
    return aws_error_report(e, EAGAIN, "try again",
                            "an upload of other content to %.300s had broken off, and was aborted",
                            u->o->key);
}

/* 0, 1 the object is there already, -1. */
static int one_part(struct upload *u, struct source *src, unsigned number, struct err *e)
{
    unsigned char raw[DIGEST_SIZE];
    char sum[DIGEST_BASE64];
    size_t n = size_of(u, number);
    struct part *p = &u->parts[number - 1];
    if (aws_stopped(u->s->caller))
        return aws_error_report(e, ECANCELED, NULL, "the upload of %.300s: asked to stop", u->o->key);
    if (source_read(src, u->buf, n, e) != 0)
        return -1;
    if (!digest_sha256(u->buf, n, raw))
        return err_set(e, ENOMEM, "SHA-256", NULL, NULL);
    digest_base64(raw, sum);
    if (p->there && strcmp(p->sum, sum) == 0) {
        u->r->parts_kept++;
        return 0;
    }
    if (p->there && other_content(u, number, e) != 0)
        return -1;
    return send_part(u, number, n, raw, e);
}

static int all_parts(struct upload *u, struct err *e)
{
    cleanup_source struct source src = {0};
    if (source_open(&src, u->o, e) != 0)
        return -1;
    for (unsigned number = 1; number <= u->count; number++) {
        int rc = one_part(u, &src, number, e);
        if (rc != 0)
            return rc;
    }
    if (source_end(&src, e) == 0)
        return 0;
    give_up(u); /* nobody will want to go on with that */
    return -1;
}

/* ---- the end */

static xmlChar *list_of_parts(const struct upload *u, int *size)
{
    xmlChar *text = NULL;
    char number[12];
    cleanup_xml xmlDoc *doc = xmlNewDoc(BAD_CAST "1.0");
    xmlNode *root = doc ? xmlNewNode(NULL, BAD_CAST "CompleteMultipartUpload") : NULL;
    if (!root)
        return NULL;
    (void)xmlDocSetRootElement(doc, root);
    bool ok = xmlNewNs(root, BAD_CAST "http://s3.amazonaws.com/doc/2006-03-01/", NULL) != NULL;
    for (unsigned i = 0; ok && i < u->count; i++) {
        xmlNode *part = xmlNewChild(root, NULL, BAD_CAST "Part", NULL);
        (void)snprintf(number, sizeof number, "%u", i + 1);
        ok = part && xmlNewTextChild(part, NULL, BAD_CAST "ChecksumSHA256", BAD_CAST u->parts[i].sum) &&
             xmlNewTextChild(part, NULL, BAD_CAST "ETag", BAD_CAST u->parts[i].etag) &&
             xmlNewTextChild(part, NULL, BAD_CAST "PartNumber", BAD_CAST number);
    }
    if (ok)
        xmlDocDumpMemory(doc, &text, size);
    return text;
}

/* An upload that goes on was made by someone who said what would be in it. Content is compared part by part;
 * this compares what he said. */
static int check_label(struct upload *u, struct err *e)
{
    int rc = u->r->resumed ? s3_compare(u->s, u->o, u->r, e) : 0;
    u->r->existed = false;
    return rc != 0 && e && e->code == EACCES ? 0 : rc; /* a role that may write only */
}

static int ended(struct upload *u, const struct http_reply *reply, struct err *e)
{
    cleanup_xml xmlDoc *doc = xml_parse(reply->body, reply->size);
    const xmlNode *root = xml_root(doc, "CompleteMultipartUploadResult");
    if (!xml_text(root, "ETag", u->r->etag, sizeof u->r->etag))
        return strange(u, "CompleteMultipartUpload", e);
    if (!http_header(reply, "x-amz-version-id", u->r->version, sizeof u->r->version))
        u->r->version[0] = 0;
    return check_label(u, e);
}

static int not_ended(struct upload *u, const struct s3_request *q, const struct aws_error *f, struct err *e)
{
    char name[400];
    struct err why = {0};
    /* A reply to an earlier try may have been lost; NoSuchUpload then means that it did its work. */
    if (f->status != 412 && f->status != 409 && !aws_error_is(f, "NoSuchUpload"))
        return s3_refused(u->s, q, f, e);
    int rc = f->status == 412 ? s3_taken(u->s, u->o, u->r, &why) : s3_compare(u->s, u->o, u->r, &why);
    if (rc == 0 || f->status == 412 || f->status == 409)
        give_up(u); /* it is of no use any more; after a 409 S3 wants a new one (API reference) */
    if (rc != 0 && e)
        *e = why;
    if (rc != 0 && why.code == EAGAIN)
        return aws_error_report(e, EAGAIN, "try again", "CompleteMultipartUpload %s: %s",
                                s3_name(u->s, u->o->key, name), f->code);
    return rc;
}

static int end(struct upload *u, struct err *e)
{
    int size = 0;
    xmlChar *body = list_of_parts(u, &size);
    cleanup_free char *query = query_of(u, "");
    cleanup_lines struct lines l = {0};
    cleanup_reply struct http_reply reply = {0};
    struct aws_error f = {0};
    struct s3_request q = {.what = "CompleteMultipartUpload",
                           .method = "POST",
                           .key = u->o->key,
                           .query = query,
                           .lines = &l,
                           .body = body,
                           .body_size = (size_t)size,
                           .error_in_200_body = true};
    lines_add(&l, "Content-Type: application/xml");
    lines_add(&l, "If-None-Match: *");
    lines_add(&l, "x-amz-mp-object-size: %llu", (unsigned long long)u->o->size);
    int rc =
        body && query ? s3_do(u->s, &q, &reply, &f, e) : err_set(e, ENOMEM, "the upload of", u->o->key, NULL);
    xmlFree(body);
    return rc == 1 ? not_ended(u, &q, &f, e) : rc == 0 ? ended(u, &reply, e) : -1;
}

/* Before much is sent. 1: it is there; 0: it is not, or cannot be seen. */
static int there_already(struct upload *u, struct err *e)
{
    struct err why = {0};
    if (s3_compare(u->s, u->o, u->r, &why) == 0)
        return 1;
    if (why.code == EAGAIN || why.code == EACCES)
        return 0;
    if (e)
        *e = why;
    return -1;
}

int s3_put_parts(struct s3 *s, const struct s3_object *o, uint64_t part_size, struct s3_result *r,
                 struct err *e)
{
    struct upload u = {.s = s, .o = o, .r = r, .part_size = part_size};
    u.count = (unsigned)((o->size + part_size - 1) / part_size);
    u.parts = calloc(u.count, sizeof *u.parts);
    u.buf = malloc((size_t)part_size);
    int rc = -1;
    if (u.parts && u.buf)
        rc = there_already(&u, e);
    else
        (void)err_set(e, ENOMEM, "the upload of", o->key, NULL);
    if (rc == 0)
        rc = begin(&u, e);
    if (rc == 0 && (rc = all_parts(&u, e)) == 0)
        rc = end(&u, e);
    free(u.parts);
    free(u.buf);
    return rc == 1 ? 0 : rc;
}
