/* What S3, or whoever answers in its place, says: any bytes as XML; any text as an address, a code, an
 * encoded key; and any path and query to sign. */
#include "aws/error.h"
#include "aws/secret.h"
#include "aws/sign.h"
#include "aws/uri.h"
#include "aws/xml.h"
#include "common/base/text.h"
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void read_xml(const uint8_t *data, size_t size)
{
    char text[64];
    cleanup_xml xmlDoc *doc = xml_parse((const char *)data, size);
    const xmlNode *root = xml_root(doc, "ListPartsResult");
    for (const xmlNode *n = xml_child(root, "Part"); n; n = xml_next(n))
        if (xml_text(n, "ETag", text, sizeof text))
            assert(strlen(text) < sizeof text);
}

static void read_text(char *text)
{
    struct uri u;
    struct err e;
    struct aws_error f = {0};
    if (uri_parse("X", text, &u, &e) == 0)
        assert(u.host[0] && u.path[0] == '/');
    (void)secret_check_arn(text, &e);
    aws_error_code(&f, text);
    aws_error_message(&f, text);
    assert(text_is_utf8(f.code) && text_is_utf8(f.message));
    char *encoded = uri_encoded(text, true);
    assert(encoded && uri_decode(encoded, true) == strlen(text) && strcmp(encoded, text) == 0);
    free(encoded);
}

static void sign_text(const char *text)
{
    struct aws_keys keys = {.id = "a", .secret = "b"};
    struct sign_request r = {"GET", "h", text, text, NULL, SIGN_EMPTY};
    struct sign_with w = {&keys, "eu-west-1", "x", 0};
    struct err e;
    char **headers = sign_headers(&r, &w, &e);
    assert(headers);
    sign_free(headers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_xml(data, size);
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = 0;
    read_text(text);
    sign_text(text);
    free(text);
    return 0;
}
