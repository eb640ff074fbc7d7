#include "aws/ecs.h"
#include "aws/error.h"
#include "aws/uri.h"
#include "common/base/cleanup.h"
#include "common/http.h"
#include "common/base/text.h"
#include "common/json.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { TOTAL_MS = 1000, REPLY_MAX = 1 << 20 };

static void take(const cJSON *o, const char *name, char *out, size_t size)
{
    const char *s = json_string(o, name);
    if (s && strlen(s) < size)
        (void)text_printable(s, out, size);
}

/* "arn:PARTITION:ecs:REGION:ACCOUNT:task/..." */
static bool is_task(const char *arn)
{
    const char *service = strncmp(arn, "arn:", 4) == 0 ? strchr(arn + 4, ':') : NULL;
    return service && strncmp(service, ":ecs:", 5) == 0 && strstr(arn, ":task/");
}

static int understand(const char *uri, const struct http_reply *reply, struct ecs_task *out, struct err *e)
{
    cleanup_json cJSON *o = cJSON_ParseWithOpts(reply->body, NULL, 1);
    if (reply->status != 200)
        return aws_error_report(e, EAGAIN, NULL, "task metadata from %.200s: HTTP status %ld", uri,
                                reply->status);
    take(o, "TaskARN", out->arn, sizeof out->arn);
    take(o, "Cluster", out->cluster, sizeof out->cluster);
    take(o, "Family", out->family, sizeof out->family);
    take(o, "Revision", out->revision, sizeof out->revision);
    take(o, "AvailabilityZone", out->zone, sizeof out->zone);
    if (!is_task(out->arn)) {
        *out = (struct ecs_task){0};
        return aws_error_report(e, EPROTO, NULL, "task metadata from %.200s: the reply is not what ECS sends",
                                uri);
    }
    if (!region_of(out->arn, out->region))
        out->region[0] = 0;
    return 0;
}

int ecs_task_get(const char *uri, const atomic_bool *stop, struct ecs_task *out, struct err *e)
{
    static const char NAME[] = "ECS_CONTAINER_METADATA_URI_V4";
    struct uri parts;
    cleanup_free char *url = NULL;
    cleanup_reply struct http_reply reply = {0};
    *out = (struct ecs_task){0};
    if (!uri || !*uri)
        return 1;
    if (uri_parse(NAME, uri, &parts, e) != 0)
        return -1;
    /* What answers there is believed, so it must be the host itself. */
    if (parts.https || parts.where == URI_ELSEWHERE || parts.query)
        return aws_error_report(e, EINVAL, "ECS sets it to http://169.254.170.2/v4/...", "%s=%.200s", NAME,
                                uri);
    cleanup_http struct http *h = http_new();
    if (!h || asprintf(&url, "%s/task", uri) < 0)
        return url = NULL, err_set(e, ENOMEM, "task metadata", NULL, NULL);
    struct http_request r = {.method = "GET",
                             .url = url,
                             .connect_ms = TOTAL_MS,
                             .total_ms = TOTAL_MS,
                             .reply_max = REPLY_MAX,
                             .stop = stop};
    if (http_do(h, &r, &reply, e) != 0)
        return -1;
    return understand(uri, &reply, out, e);
}
