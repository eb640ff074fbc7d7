/* Signature Version 4, held to three sources: the examples in AWS's documentation;
 * tests/data/sigv4/vectors.json, signed by AWS's botocore; and AWS's own suite, where SIGV4_SUITE names the
 * folder tests/product/aws-signing-test-suite/v4 of awslabs/aws-c-auth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <cjson/cJSON.h>
#include <cmocka.h>
#include "aws/digest.h"
#include "aws/sign.h"
#include "common/base/files.h"

enum { SMALL = 1 << 20 };

static const char *authorization(char *const *headers)
{
    for (; *headers; headers++)
        if (strncmp(*headers, "Authorization: ", 15) == 0)
            return *headers + 15;
    return "";
}
static const char *signature(char *const *headers)
{
    const char *s = strstr(authorization(headers), "Signature=");
    return s ? s + 10 : "";
}

/* ---- the documentation's examples */

static const struct aws_keys S3_KEYS = {.id = "AKIAIOSFODNN7EXAMPLE",
                                        .secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"};

static void expect_s3(const char *method, const char *path, const char *query, const char *const *headers,
                      const char *payload, const char *expected)
{
    struct sign_request r = {method, "examplebucket.s3.amazonaws.com", path, query, headers, payload};
    struct sign_with w = {&S3_KEYS, "us-east-1", "s3", 1369353600};
    struct err e;
    char **signed_ = sign_headers(&r, &w, &e);
    assert_non_null(signed_);
    assert_string_equal(signature(signed_), expected);
    sign_free(signed_);
}

/* Amazon S3 API Reference, "Signature Calculations for the Authorization Header: Transferring Payload in a
 * Single Chunk". */
static void the_examples_of_the_s3_documentation_get_their_signatures(void **st)
{
    static const char *const range[] = {"Range: bytes=0-9", NULL};
    static const char *const put[] = {"Date: Fri, 24 May 2013 00:00:00 GMT",
                                      "x-amz-storage-class: REDUCED_REDUNDANCY", NULL};
    (void)st;
    expect_s3("GET", "/test.txt", NULL, range, SIGN_EMPTY,
              "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
    expect_s3("PUT", "/test%24file.text", "", put,
              "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
              "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
    expect_s3("GET", "/", "lifecycle", NULL, SIGN_EMPTY,
              "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
    expect_s3("GET", "/", "max-keys=2&prefix=J", NULL, SIGN_EMPTY,
              "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

/* AWS General Reference, "Signature Version 4 signing process". */
static void the_example_of_the_general_reference_gets_its_signature(void **st)
{
    static const char *const headers[] = {"Content-Type: application/x-www-form-urlencoded; charset=utf-8",
                                          NULL};
    struct aws_keys keys = {.id = "AKIDEXAMPLE", .secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"};
    struct sign_request r = {"GET",   "iam.amazonaws.com", "/", "Action=ListUsers&Version=2010-05-08",
                             headers, SIGN_EMPTY};
    struct sign_with w = {&keys, "us-east-1", "iam", 1440938160};
    struct err e;
    (void)st;
    char **signed_ = sign_headers(&r, &w, &e);
    assert_non_null(signed_);
    assert_string_equal(signature(signed_),
                        "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7");
    sign_free(signed_);
}

/* ---- botocore's */

static const char *text(const cJSON *o, const char *name)
{
    const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, name));
    return s ? s : "";
}
static void hash(const char *body, char hex[DIGEST_HEX])
{
    unsigned char raw[DIGEST_SIZE];
    assert_true(digest_sha256(body, strlen(body), raw));
    digest_hex(raw, hex);
}

static void check_vector(const cJSON *v)
{
    struct aws_keys keys = {0};
    const char *headers[16] = {0};
    char hex[DIGEST_HEX];
    const cJSON *h;
    size_t n = 0;
    struct err e;
    strncpy(keys.id, text(v, "id"), sizeof keys.id - 1);
    strncpy(keys.secret, text(v, "secret"), sizeof keys.secret - 1);
    strncpy(keys.token, text(v, "token"), sizeof keys.token - 1);
    cJSON_ArrayForEach(h, cJSON_GetObjectItem(v, "headers")) headers[n++] = h->valuestring;
    hash(text(v, "body"), hex);
    struct sign_request r = {text(v, "method"), text(v, "host"), text(v, "path"),
                             text(v, "query"),  headers,         hex};
    struct sign_with w = {&keys, text(v, "region"), text(v, "service"),
                          (time_t)cJSON_GetObjectItem(v, "time")->valuedouble};
    char **signed_ = sign_headers(&r, &w, &e);
    assert_non_null(signed_);
    char *canonical = sign_canonical(&r, w.service, signed_);
    assert_string_equal(canonical, text(v, "canonical"));
    assert_string_equal(authorization(signed_), text(v, "authorization"));
    free(canonical);
    sign_free(signed_);
}

static void what_botocore_signs_gets_the_same_signature(void **st)
{
    struct err e;
    const cJSON *v;
    (void)st;
    char *json = files_get("tests/data/sigv4/vectors.json", SMALL, &e);
    assert_non_null(json);
    cJSON *all = cJSON_Parse(json);
    assert_true(cJSON_GetArraySize(all) >= 25);
    cJSON_ArrayForEach(v, all) check_vector(v);
    cJSON_Delete(all);
    free(json);
}

/* ---- AWS's suite */

static char *get(const char *folder, const char *name)
{
    char path[1024];
    struct err e;
    assert_true(snprintf(path, sizeof path, "%s/%s", folder, name) < (int)sizeof path);
    char *s = files_get(path, SMALL, &e);
    assert_non_null(s);
    return s;
}

/* "METHOD TARGET HTTP/1.1", header lines (folded ones joined), an empty line, the body. */
struct parsed {
    char *method, *path, *query, *host, *body;
    char *headers[32];
};
static void parse(char *s, struct parsed *p)
{
    size_t n = 0;
    *p = (struct parsed){.method = s, .host = "", .body = ""};
    char *space = strchr(s, ' '), *line = strchr(s, '\n'), *next;
    *space = *line = 0;
    p->path = space + 1;
    *strrchr(p->path, ' ') = 0;
    if ((p->query = strchr(p->path, '?')))
        *p->query++ = 0;
    for (line++; *line && *line != '\n'; line = next) {
        next = line + strcspn(line, "\n");
        while (*next && (next[1] == ' ' || next[1] == '\t')) {
            *next = ' ';
            next += strcspn(next, "\n");
        }
        if (*next)
            *next++ = 0;
        if (strncasecmp(line, "Host:", 5) == 0)
            p->host = line + 5;
        else
            p->headers[n++] = line;
    }
    if (*line == '\n')
        p->body = line + 1;
}

static int check_folder(const char *folder)
{
    char *context = get(folder, "context.json"), *request = get(folder, "request.txt"),
         *canonical = get(folder, "header-canonical-request.txt"),
         *expected = get(folder, "header-signature.txt"), hex[DIGEST_HEX], content[100];
    cJSON *c = cJSON_Parse(context), *credentials = cJSON_GetObjectItem(c, "credentials");
    bool after = cJSON_IsTrue(cJSON_GetObjectItem(c, "omit_session_token")),
         normalize = cJSON_IsTrue(cJSON_GetObjectItem(c, "normalize"));
    struct aws_keys keys = {0};
    struct parsed p;
    struct err e;
    parse(request, &p);
    hash(p.body, hex);
    strncpy(keys.id, text(credentials, "access_key_id"), sizeof keys.id - 1);
    strncpy(keys.secret, text(credentials, "secret_access_key"), sizeof keys.secret - 1);
    if (!after) /* the token is sent, but not signed */
        strncpy(keys.token, text(credentials, "token"), sizeof keys.token - 1);
    if (cJSON_IsTrue(cJSON_GetObjectItem(c, "sign_body"))) {
        size_t n = 0;
        while (p.headers[n])
            n++;
        assert_true(snprintf(content, sizeof content, "x-amz-content-sha256:%s", hex) > 0);
        p.headers[n] = content;
    }
    struct sign_request r = {p.method, p.host, p.path, p.query, (const char *const *)p.headers, hex};
    struct sign_with w = {&keys, text(c, "region"), text(c, "service"), 1440938160};
    if (normalize) { /* no service that we know wants the other kind but S3, which has no vectors here */
        char **signed_ = sign_headers(&r, &w, &e),
             *ours = signed_ ? sign_canonical(&r, w.service, signed_) : NULL;
        assert_non_null(ours);
        assert_string_equal(ours, canonical);
        assert_string_equal(signature(signed_), expected);
        free(ours);
        sign_free(signed_);
    }
    cJSON_Delete(c);
    free(context), free(request), free(canonical), free(expected);
    return normalize;
}

static void the_suite_that_aws_publishes_passes(void **st)
{
    const char *root = getenv("SIGV4_SUITE");
    char path[1024];
    int checked = 0;
    (void)st;
    if (!root)
        skip();
    DIR *d = opendir(root);
    assert_non_null(d);
    for (struct dirent *entry; (entry = readdir(d));)
        if (entry->d_name[0] != '.') {
            assert_true(snprintf(path, sizeof path, "%s/%s", root, entry->d_name) < (int)sizeof path);
            checked += check_folder(path);
        }
    assert_int_equal(closedir(d), 0);
    assert_true(checked >= 25);
}

/* ---- what is sent */

static void the_token_is_sent_and_signed_and_no_secret_is_in_a_header(void **st)
{
    struct aws_keys keys = {.id = "AKID", .secret = "TheSecretKey", .token = "TheToken"};
    struct sign_request r = {"GET", "h", "/", NULL, NULL, SIGN_EMPTY};
    struct sign_with w = {&keys, "eu-west-1", "s3", 0};
    struct err e;
    bool token = false;
    (void)st;
    char **signed_ = sign_headers(&r, &w, &e);
    for (char **h = signed_; *h; h++) {
        assert_null(strstr(*h, "TheSecretKey"));
        token = token || strcmp(*h, "X-Amz-Security-Token: TheToken") == 0;
    }
    assert_true(token);
    assert_non_null(strstr(authorization(signed_),
                           "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,"));
    sign_free(signed_);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_of_the_s3_documentation_get_their_signatures),
        cmocka_unit_test(the_example_of_the_general_reference_gets_its_signature),
        cmocka_unit_test(what_botocore_signs_gets_the_same_signature),
        cmocka_unit_test(the_suite_that_aws_publishes_passes),
        cmocka_unit_test(the_token_is_sent_and_signed_and_no_secret_is_in_a_header),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
