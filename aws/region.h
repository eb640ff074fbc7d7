/* Which Region, and at which address a service is there. */
#ifndef AWS_REGION_H
#define AWS_REGION_H
#include "common/base/err.h"
#include <stdbool.h>
#include <stddef.h>

enum { REGION_MAX = 40, HOST_MAX = 128, ENDPOINT_MAX = 512 };
/* Field 3 of an ARN, AWS_REGION, AWS_DEFAULT_REGION: the first that is there. `arn` may be NULL. */
int region_find(const char *arn, char out[REGION_MAX], struct err *e);
/* Of an ARN alone; false when it has none. */
bool region_of(const char *arn, char out[REGION_MAX]);
/* May it become a part of a host name? */
bool region_is(const char *text);
/* "s3.eu-west-1.amazonaws.com", by AWS_USE_FIPS_ENDPOINT and AWS_USE_DUALSTACK_ENDPOINT, as the SDKs read
 * them. */
void region_host(const char *service, const char *region, char out[HOST_MAX]);
/* An address of another's choosing: AWS_ENDPOINT_URL_{SERVICE}, AWS_ENDPOINT_URL. As "https://host:port" in
 * `out`, with nothing behind it. 1 there is one, 0 none, -1 it cannot be used. */
int region_endpoint(const char *service, char out[ENDPOINT_MAX], struct err *e);
/* That, else "https://" and the host: `variable` and `service` name the same service. */
int region_address(const char *variable, const char *service, const char *region, char out[ENDPOINT_MAX],
                   struct err *e);
#endif
