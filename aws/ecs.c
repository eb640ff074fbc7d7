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

/* Milliseconds. PROTECT: the agent asks the ECS API for it, which may throttle. */
enum { TOTAL_MS = 1000, PROTECT_MS = 10000, REPLY_MAX = 1 << 20 };

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

/* What answers there is believed, so it must be the host itself. */
static int is_host(const char *name, const char *uri, const char *example, struct err *e)
{
    struct uri parts;
    if (uri_parse(name, uri, &parts, e) != 0)
        return -1;
    return parts.https || parts.where == URI_ELSEWHERE || parts.query
               ? aws_error_report(e, EINVAL, example, "%s=%.200s", name, uri)
               : 0;
}

int ecs_task_get(const char *uri, const atomic_bool *stop, struct ecs_task *out, struct err *e)
{
    static const char NAME[] = "ECS_CONTAINER_METADATA_URI_V4";
    cleanup_free char *url = NULL;
    cleanup_reply struct http_reply reply = {0};
    *out = (struct ecs_task){0};
    if (!uri || !*uri)
        return 1;
    if (is_host(NAME, uri, "ECS sets it to http://169.254.170.2/v4/...", e) != 0)
        return -1;
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

/* {"protection": {…}} or {"failure": {"Reason"}} or {"error": {"Code", "Message"}}. */
static int is_protected(const struct http_reply *reply, bool wanted, struct err *e)
{
    cleanup_json cJSON *o = cJSON_ParseWithOpts(reply->body, NULL, 1);
    const cJSON *protection = json_member(o, "protection"), *error = json_member(o, "error"),
                *failure = json_member(o, "failure");
    if (reply->status == 200 && cJSON_IsObject(protection) &&
        json_true(protection, "ProtectionEnabled") == wanted)
        return 0;
    const char *code = json_text(error, "Code"),
               *why = error ? json_text(error, "Message") : json_text(failure, "Reason");
    return aws_error_report(
        e, EPERM,
        strcmp(code, "AccessDeniedException") == 0 ? "give the task role ecs:UpdateTaskProtection" : NULL,
        "ECS does not protect this task: HTTP status %ld%s%.100s%s%.300s", reply->status, *code ? ", " : "",
        code, *why ? ": " : "", why);
}

int ecs_task_protect(const char *agent, unsigned minutes, const atomic_bool *stop, struct err *e)
{
    static const char *const headers[] = {"Content-Type: application/json", NULL};
    char body[80];
    cleanup_free char *url = NULL;
    cleanup_reply struct http_reply reply = {0};
    if (is_host("ECS_AGENT_URI", agent, "ECS sets it to http://169.254.170.2/api/...", e) != 0)
        return -1;
    if (minutes > 0)
        (void)snprintf(body, sizeof body, "{\"ProtectionEnabled\":true,\"ExpiresInMinutes\":%u}", minutes);
    else
        (void)snprintf(body, sizeof body, "{\"ProtectionEnabled\":false}");
    cleanup_http struct http *h = http_new();
    if (!h || asprintf(&url, "%s/task-protection/v1/state", agent) < 0)
        return url = NULL, err_set(e, ENOMEM, "task protection", NULL, NULL);
    struct http_request r = {.method = "PUT",
                             .url = url,
                             .headers = headers,
                             .body = body,
                             .body_size = strlen(body),
                             .connect_ms = TOTAL_MS,
                             .total_ms = PROTECT_MS,
                             .reply_max = REPLY_MAX,
                             .stop = stop};
    return http_do(h, &r, &reply, e) != 0 ? -1 : is_protected(&reply, minutes > 0, e);
}
