/* Addresses, encodings, Regions: the pure parts of aws/. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "aws/digest.h"
#include "aws/error.h"
#include "aws/region.h"
#include "aws/secret.h"
#include "aws/uri.h"
#include "aws/xml.h"

static void only_unreserved_characters_stay_as_they_are(void **st)
{
    (void)st;
    char *s = uri_encoded("aZ09-._~/ +%é*'", false);
    assert_string_equal(s, "aZ09-._~/%20%2B%25%C3%A9%2A%27");
    free(s);
    s = uri_encoded("a/b", true);
    assert_string_equal(s, "a%2Fb");
    free(s);
}

static void what_was_encoded_decodes_to_the_same(void **st)
{
    char all[256], *s;
    (void)st;
    for (int i = 1; i < 256; i++)
        all[i - 1] = (char)i;
    all[255] = 0;
    s = uri_encoded(all, true);
    assert_int_equal(uri_decode(s, true), 255);
    assert_string_equal(s, all);
    free(s);
    char bad[] = "%4%zz%%41+%";
    assert_int_equal(uri_decode(bad, false), 9);
    assert_string_equal(bad, "%4%zz%A+%");
}

static void an_address_says_where_it_leads(void **st)
{
    static const struct {
        const char *text, *host, *path;
        bool https, credentials;
        enum uri_where where;
    } good[] = {
        {"http://169.254.170.2/v2", "169.254.170.2", "/v2", false, true, URI_LINK_LOCAL},
        {"http://169.254.170.23", "169.254.170.23", "/", false, true, URI_LINK_LOCAL},
        {"http://169.254.169.254/", "169.254.169.254", "/", false, false, URI_LINK_LOCAL},
        {"http://[fd00:ec2::23]/x", "[fd00:ec2::23]", "/x", false, true, URI_ELSEWHERE},
        {"http://[::1]:8080/", "[::1]:8080", "/", false, true, URI_LOOPBACK},
        {"http://[fe80::1]/", "[fe80::1]", "/", false, false, URI_LINK_LOCAL},
        {"http://127.9.9.9:80/", "127.9.9.9", "/", false, true, URI_LOOPBACK},
        {"https://example.com:443/", "example.com", "/", true, false, URI_ELSEWHERE},
        {"https://example.com:8443/a/b", "example.com:8443", "/a/b", true, false, URI_ELSEWHERE},
        {"http://127.0.0.1.example.com/", "127.0.0.1.example.com", "/", false, false, URI_ELSEWHERE},
    };
    struct uri u;
    struct err e;
    (void)st;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(uri_parse("X", good[i].text, &u, &e), 0);
        assert_string_equal(u.host, good[i].host);
        assert_string_equal(u.path, good[i].path);
        assert_int_equal(u.https, good[i].https);
        assert_int_equal(u.where, good[i].where);
        assert_int_equal(u.credentials_host, good[i].credentials);
    }
}

static void what_is_no_address_of_a_server_is_told_by_its_name(void **st)
{
    static const char *const bad[] = {"",           "x",          "ftp://h/",      "http://",
                                      "file:///x",  "http://h:x", "http://u:p@h/", "http://u@h/",
                                      "http://h#f", "http://h h", "https://[::1/", "http://h:99999"};
    struct uri u;
    struct err e;
    (void)st;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(uri_parse("THE_VARIABLE", bad[i], &u, &e), -1);
        assert_non_null(strstr(e.text, "THE_VARIABLE"));
    }
}

static void a_region_comes_from_the_arn_or_the_variables(void **st)
{
    char region[REGION_MAX];
    struct err e;
    (void)st;
    assert_int_equal(unsetenv("AWS_REGION"), 0);
    assert_int_equal(setenv("AWS_DEFAULT_REGION", "eu-west-3", 1), 0);
    assert_int_equal(region_find("arn:aws:ecs:us-gov-west-1:1:task/x", region, &e), 0);
    assert_string_equal(region, "us-gov-west-1");
    assert_int_equal(region_find("arn:aws:s3:::bucket", region, &e), 0);
    assert_string_equal(region, "eu-west-3");
    assert_int_equal(setenv("AWS_REGION", "eu-west-1", 1), 0);
    assert_int_equal(region_find(NULL, region, &e), 0);
    assert_string_equal(region, "eu-west-1");
    assert_int_equal(setenv("AWS_REGION", "evil.example/", 1), 0);
    assert_int_equal(region_find(NULL, region, &e), -1);
    assert_non_null(strstr(e.text, "AWS_REGION=evil.example/"));
    assert_int_equal(unsetenv("AWS_REGION"), 0);
    assert_int_equal(unsetenv("AWS_DEFAULT_REGION"), 0);
    assert_int_equal(region_find(NULL, region, &e), -1);
    assert_non_null(strstr(e.text, "set AWS_REGION"));
}

/* Of all Regions: tests/product/aws/test_aws_region.py, by botocore's own rules. */
static void a_service_has_its_partitions_domain(void **st)
{
    static const struct {
        const char *service, *region, *fips, *dual, *host;
    } table[] = {
        {"s3", "eu-west-1", NULL, NULL, "s3.eu-west-1.amazonaws.com"},
        {"s3", "cn-north-1", NULL, NULL, "s3.cn-north-1.amazonaws.com.cn"},
        {"s3", "us-gov-west-1", "true", NULL, "s3-fips.us-gov-west-1.amazonaws.com"},
        {"s3", "us-iso-east-1", NULL, NULL, "s3.us-iso-east-1.c2s.ic.gov"},
        {"s3", "us-isob-east-1", NULL, NULL, "s3.us-isob-east-1.sc2s.sgov.gov"},
        {"s3", "us-isof-south-1", NULL, NULL, "s3.us-isof-south-1.csp.hci.ic.gov"},
        {"s3", "eu-isoe-west-1", NULL, NULL, "s3.eu-isoe-west-1.cloud.adc-e.uk"},
        {"s3", "eusc-de-east-1", NULL, NULL, "s3.eusc-de-east-1.amazonaws.eu"},
        {"s3", "eu-west-1", NULL, "true", "s3.dualstack.eu-west-1.amazonaws.com"},
        {"s3", "us-east-1", "True", "true", "s3-fips.dualstack.us-east-1.amazonaws.com"},
        {"secretsmanager", "us-east-1", "true", NULL, "secretsmanager-fips.us-east-1.amazonaws.com"},
        {"secretsmanager", "us-east-1", NULL, "true", "secretsmanager.us-east-1.amazonaws.com"},
        {"elasticfilesystem", "eusc-de-east-1", "false", "true",
         "elasticfilesystem.eusc-de-east-1.api.amazonwebservices.eu"},
        {"elasticfilesystem", "eu-west-1", NULL, "true", "efs.eu-west-1.api.aws"},
        {"elasticfilesystem", "us-gov-west-1", "true", "true", "efs-fips.us-gov-west-1.api.aws"},
        {"secretsmanager", "us-iso-east-1", NULL, "true", "secretsmanager.us-iso-east-1.api.aws.ic.gov"},
        {"s3", "us-iso-east-1", NULL, "true", "s3.dualstack.us-iso-east-1.c2s.ic.gov"},
    };
    char host[HOST_MAX];
    (void)st;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        assert_int_equal(setenv("AWS_USE_FIPS_ENDPOINT", table[i].fips ? table[i].fips : "", 1), 0);
        assert_int_equal(setenv("AWS_USE_DUALSTACK_ENDPOINT", table[i].dual ? table[i].dual : "", 1), 0);
        region_host(table[i].service, table[i].region, host);
        assert_string_equal(host, table[i].host);
    }
    assert_int_equal(unsetenv("AWS_USE_FIPS_ENDPOINT"), 0);
    assert_int_equal(unsetenv("AWS_USE_DUALSTACK_ENDPOINT"), 0);
}

static void an_arn_that_is_no_secrets_is_told(void **st)
{
    struct err e;
    (void)st;
    assert_int_equal(secret_check_arn("arn:aws:secretsmanager:eu-west-1:123456789012:secret:a/b-AbCdEf", &e),
                     0);
    assert_int_equal(secret_check_arn("arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:x", &e), 0);
    assert_int_equal(secret_check_arn("arn:aws:ssm:eu-west-1:123456789012:secret:x", &e), -1);
    assert_int_equal(secret_check_arn("arn:aws:secretsmanager::123456789012:secret:x", &e), -1);
    assert_int_equal(secret_check_arn("arn:aws:secretsmanager:eu-west-1:1:secret:x:key", &e), -1);
    assert_int_equal(secret_check_arn("", &e), -1);
}

static void a_code_loses_its_namespace_and_what_no_terminal_should_see(void **st)
{
    struct aws_error f = {0};
    char text[512];
    (void)st;
    aws_error_code(&f, "com.amazon.coral#ThrottlingException:http://x");
    aws_error_message(&f, "a\x1b[31mb");
    assert_string_equal(aws_error_text(&f, text), "ThrottlingException: a?[31mb");
    f = (struct aws_error){.status = 502};
    assert_non_null(strstr(aws_error_text(&f, text), "502"));
}

static void a_reply_with_a_document_type_is_no_xml_of_ours(void **st)
{
    static const char good[] = "<?xml version=\"1.0\"?><a xmlns=\"x\"><b>1 &amp; 2</b><b>3</b></a>",
                      typed[] = "<!DOCTYPE a [<!ENTITY e \"x\">]><a><b>&e;</b></a>", cut[] = "<a><b>";
    char text[16], small[3];
    xmlDoc *doc = xml_parse(good, sizeof good - 1);
    (void)st;
    assert_true(xml_text(xml_root(doc, "a"), "b", text, sizeof text));
    assert_string_equal(text, "1 & 2");
    assert_false(xml_text(xml_root(doc, "a"), "b", small, sizeof small));
    assert_null(xml_root(doc, "z"));
    assert_null(xml_next(xml_next(xml_child(xml_root(doc, "a"), "b"))));
    xmlFreeDoc(doc);
    assert_null(xml_parse(typed, sizeof typed - 1));
    assert_null(xml_parse(cut, sizeof cut - 1));
    assert_null(xml_parse("", 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_unreserved_characters_stay_as_they_are),
        cmocka_unit_test(what_was_encoded_decodes_to_the_same),
        cmocka_unit_test(an_address_says_where_it_leads),
        cmocka_unit_test(what_is_no_address_of_a_server_is_told_by_its_name),
        cmocka_unit_test(a_region_comes_from_the_arn_or_the_variables),
        cmocka_unit_test(a_service_has_its_partitions_domain),
        cmocka_unit_test(an_arn_that_is_no_secrets_is_told),
        cmocka_unit_test(a_code_loses_its_namespace_and_what_no_terminal_should_see),
        cmocka_unit_test(a_reply_with_a_document_type_is_no_xml_of_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
