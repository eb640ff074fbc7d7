#include "aws/region.h"
#include "aws/error.h"
#include "aws/uri.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool region_is(const char *text)
{
    size_t n = strlen(text);
    return n >= 4 && n < REGION_MAX && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == n &&
           text[0] != '-' && text[n - 1] != '-';
}

bool region_of(const char *arn, char out[REGION_MAX])
{
    for (int i = 0; arn && i < 3; i++)
        if ((arn = strchr(arn, ':')))
            arn++;
    int n = arn ? (int)strcspn(arn, ":") : 0;
    return n > 0 && n < REGION_MAX && snprintf(out, REGION_MAX, "%.*s", n, arn) == n && region_is(out);
}

int region_find(const char *arn, char out[REGION_MAX], struct err *e)
{
    static const char *const NAMES[] = {"AWS_REGION", "AWS_DEFAULT_REGION"};
    if (region_of(arn, out))
        return 0;
    for (size_t i = 0; i < 2; i++) {
        const char *value = getenv(NAMES[i]);
        if (!value || !*value)
            continue;
        if (!region_is(value))
            return aws_error_report(e, EINVAL, "a Region is such as eu-west-1", "%s=%.60s", NAMES[i], value);
        (void)snprintf(out, REGION_MAX, "%s", value);
        return 0;
    }
    return aws_error_report(e, EINVAL, "set AWS_REGION", "the AWS Region is not known");
}

/* A partition's domain, and that of its addresses with IPv6: botocore's partitions.json. In those of `old` a
 * service has such addresses by a rule of its own. The first row that a Region begins with counts. */
static const struct partition {
    const char *begins, *domain, *dual;
    bool old;
} PARTITIONS[] = {{"cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn", true},
                  {"us-isob-", "sc2s.sgov.gov", "api.aws.scloud", false},
                  {"us-isof-", "csp.hci.ic.gov", "api.aws.hci.ic.gov", false},
                  {"us-iso-", "c2s.ic.gov", "api.aws.ic.gov", false},
                  {"eu-isoe-", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk", false},
                  {"eusc-", "amazonaws.eu", "api.amazonwebservices.eu", false},
                  {"", "amazonaws.com", "api.aws", true}};

static const struct partition *partition_of(const char *region)
{
    size_t i = 0;
    while (strncmp(region, PARTITIONS[i].begins, strlen(PARTITIONS[i].begins)) != 0)
        i++;
    return &PARTITIONS[i];
}

/* As the SDKs read them: "true" in any case. */
static bool wanted(const char *name)
{
    const char *value = getenv(name);
    return value && strcasecmp(value, "true") == 0;
}

void region_host(const char *service, const char *region, char out[HOST_MAX])
{
    const struct partition *p = partition_of(region);
    const char *fips = wanted("AWS_USE_FIPS_ENDPOINT") ? "-fips" : "", *domain = p->domain;
    bool dual = wanted("AWS_USE_DUALSTACK_ENDPOINT");
    if (dual && strcmp(service, "s3") == 0) { /* which keeps its domain */
        (void)snprintf(out, HOST_MAX, "s3%s.dualstack.%s.%s", fips, region, domain);
        return;
    }
    /* By each service's own rules: Secrets Manager has IPv6 under its usual name, EFS under another one. */
    if (dual && !(p->old && strcmp(service, "secretsmanager") == 0))
        domain = p->dual;
    if (dual && p->old && strcmp(service, "elasticfilesystem") == 0)
        service = "efs";
    (void)snprintf(out, HOST_MAX, "%s%s.%s.%s", service, fips, region, domain);
}

int region_endpoint(const char *service, char out[ENDPOINT_MAX], struct err *e)
{
    char name[64];
    struct uri uri;
    (void)snprintf(name, sizeof name, "AWS_ENDPOINT_URL_%s", service);
    const char *value = getenv(name);
    if (!value || !*value) {
        (void)snprintf(name, sizeof name, "AWS_ENDPOINT_URL");
        value = getenv(name);
    }
    if (!value || !*value)
        return 0;
    if (uri_parse(name, value, &uri, e) != 0)
        return -1;
    if (strcmp(uri.path, "/") != 0 || uri.query)
        return aws_error_report(e, EINVAL, "give scheme, host and port alone", "%s=%.200s", name, value);
    (void)snprintf(out, ENDPOINT_MAX, "%s://%s", uri.https ? "https" : "http", uri.host);
    return 1;
}

int region_address(const char *variable, const char *service, const char *region, char out[ENDPOINT_MAX],
                   struct err *e)
{
    char host[HOST_MAX];
    int given = region_endpoint(variable, out, e);
    if (given == 0) {
        region_host(service, region, host);
        (void)snprintf(out, ENDPOINT_MAX, "https://%s", host);
    }
    return given < 0 ? -1 : 0;
}
