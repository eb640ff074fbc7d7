#include "aws/s3/internal.h"
#include "aws/uri.h"
#include "aws/xml.h"
#include "common/base/cleanup.h"
#include "common/base/utc.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_TEXT = 3100, TOKEN_MAX = 2048 }; /* a key of 1,024 bytes, each as %XX; a token has some 100 */

struct listing {
    struct s3 *s;
    char *first; /* the query without a token */
    s3_visit *visit;
    void *arg;
    char token[TOKEN_MAX]; /* of the next page; empty after the last one */
};

static int strange(const struct listing *l, struct err *e)
{
    char name[400];
    return aws_error_report(e, EPROTO, "is it S3's endpoint?", "ListObjectsV2 %s: the reply is not S3's",
                            s3_name(l->s, NULL, name));
}

/* "2026-11-24T08:00:00.000Z"; 0 when it is no time. */
static time_t when(const xmlNode *n)
{
    char text[40];
    return xml_text(n, "LastModified", text, sizeof text) ? utc_loose(text) : 0;
}

/* All elements `name` of a page. -1: what the visitor said, or a key that no key can be. */
static int visit_all(struct listing *l, const xmlNode *page, const char *name, bool encoded, struct err *e)
{
    char key[KEY_TEXT], size[24];
    bool folder = strcmp(name, "CommonPrefixes") == 0;
    for (const xmlNode *n = xml_child(page, name); n; n = xml_next(n)) {
        struct s3_listed o = {.key = key, .modified = when(n)};
        char *end = NULL;
        if (!xml_text(n, folder ? "Prefix" : "Key", key, sizeof key))
            return strange(l, e);
        if (encoded && uri_decode(key, true) != strlen(key))
            continue; /* a NUL in it: nothing that we could ask for */
        errno = 0;
        if (!folder && xml_text(n, "Size", size, sizeof size))
            o.size = strtoull(size, &end, 10);
        if (!folder && (!end || end == size || *end || errno))
            return strange(l, e);
        if (l->visit(l->arg, &o, e) != 0)
            return -1;
    }
    return 0;
}

static int next_token(struct listing *l, const xmlNode *page, struct err *e)
{
    char flag[8], token[TOKEN_MAX];
    if (!xml_text(page, "IsTruncated", flag, sizeof flag) || strcmp(flag, "true") != 0)
        return l->token[0] = 0, 0;
    if (!xml_text(page, "NextContinuationToken", token, sizeof token) || !*token ||
        strcmp(token, l->token) == 0)
        return strange(l, e); /* it would never end */
    memcpy(l->token, token, sizeof token);
    return 0;
}

static int visit_page(struct listing *l, const struct http_reply *reply, struct err *e)
{
    char flag[8];
    cleanup_xml xmlDoc *doc = xml_parse(reply->body, reply->size);
    const xmlNode *page = xml_root(doc, "ListBucketResult");
    bool encoded = xml_text(page, "EncodingType", flag, sizeof flag) && strcmp(flag, "url") == 0;
    if (!page)
        return strange(l, e);
    return visit_all(l, page, "Contents", encoded, e) || visit_all(l, page, "CommonPrefixes", encoded, e)
               ? -1
               : next_token(l, page, e);
}

static int get_page(struct listing *l, struct err *e)
{
    cleanup_reply struct http_reply reply = {0};
    cleanup_free char *token = uri_encoded(l->token, true), *query = NULL;
    struct aws_error f = {0};
    if (!token || asprintf(&query, "%s%s%s", l->first, *token ? "&continuation-token=" : "", token) < 0)
        return query = NULL, err_set(e, ENOMEM, "cannot list the bucket", NULL, NULL);
    struct s3_request q = {.what = "ListObjectsV2", .method = "GET", .query = query};
    int rc = s3_do(l->s, &q, &reply, &f, e);
    if (rc != 0)
        return rc < 0 ? -1 : s3_refused(l->s, &q, &f, e);
    return visit_page(l, &reply, e);
}

int s3_list(struct s3 *s, const char *prefix, bool folders, s3_visit *visit, void *arg, struct err *e)
{
    struct listing l = {.s = s, .visit = visit, .arg = arg};
    cleanup_free char *p = uri_encoded(prefix, true), *first = NULL;
    if (!p ||
        asprintf(&first, "list-type=2&encoding-type=url%s&prefix=%s", folders ? "&delimiter=%2F" : "", p) < 0)
        return first = NULL, err_set(e, ENOMEM, "cannot list the bucket", NULL, NULL);
    l.first = first;
    do
        if (get_page(&l, e) != 0)
            return -1;
    while (l.token[0]);
    return 0;
}
