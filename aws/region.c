#include "aws/region.h"
#include "aws/fault.h"
#include "aws/uri.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
            return fault_error(e, EINVAL, "a Region is such as eu-west-1", "%s=%.60s", NAMES[i], value);
        (void)snprintf(out, REGION_MAX, "%s", value);
        return 0;
    }
    return fault_error(e, EINVAL, "set AWS_REGION", "the AWS Region is not known");
}

const char *region_domain(const char *region)
{
    return strncmp(region, "cn-", 3) == 0 ? "amazonaws.com.cn" : "amazonaws.com";
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
        return fault_error(e, EINVAL, "give scheme, host and port alone", "%s=%.200s", name, value);
    (void)snprintf(out, ENDPOINT_MAX, "%s://%s", uri.https ? "https" : "http", uri.host);
    return 1;
}
