#include "aws/efs_replication.h"
#include "aws/uri.h"
#include "common/base/cleanup.h"
#include "common/base/text.h"
#include "common/json.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOTAL_MS = 10000, REPLY_MAX = 256 << 10 };
static const char PATH[] = "/2015-02-01/file-systems/replication-configurations";

bool efs_replication_is_id(const char *file_system)
{
    const char *id = strstr(file_system, ":file-system/"), *service = strchr(file_system, ':');
    if (id && (strncmp(file_system, "arn:", 4) != 0 || !(service = strchr(service + 1, ':')) ||
               strncmp(service, ":elasticfilesystem:", 19) != 0))
        return false;
    id = id ? id + strlen(":file-system/") : file_system;
    size_t n = strncmp(id, "fs-", 3) == 0 ? strspn(id + 3, "0123456789abcdef") : 0;
    return n >= 8 && n <= 40 && !id[3 + n];
}

/* EFS's own errors have "ErrorCode"; those of AWS's front have their type in a header, or in "__type"
 * (Smithy, AWS restJson1, operation error). */
static void explain(const struct http_reply *reply, struct aws_error *f)
{
    cleanup_json cJSON *o = cJSON_ParseWithOpts(reply->body, NULL, 0);
    char type[80] = "";
    if (*json_text(o, "ErrorCode") || *json_text(o, "__type"))
        aws_error_code(f, *json_text(o, "ErrorCode") ? json_text(o, "ErrorCode") : json_text(o, "__type"));
    else if (http_header(reply, "x-amzn-ErrorType", type, sizeof type))
        aws_error_code(f, type);
    const char *message = cJSON_GetStringValue(cJSON_GetObjectItem(o, "message")); /* or "Message" */
    aws_error_message(f, message ? message : "");
}

static int refused(const char *id, const struct aws_error *f, struct err *e)
{
    static const char RIGHT[] = "this role needs elasticfilesystem:DescribeReplicationConfigurations on it";
    static const struct aws_error_meaning known[] = {
        {"ReplicationNotFound", ENOENT, "it is not replicated; is it the right file system, and Region?"},
        {"FileSystemNotFound", ENOENT, "is it the right Region (AWS_REGION)?"},
        {"AccessDeniedException", EACCES, RIGHT},
        {"AccessDenied", EACCES, RIGHT},
        {"ExpiredTokenException", EACCES, "set new AWS_ keys, or none, so that the task role's are used"},
        {"UnrecognizedClientException", EACCES, "the keys are not of this account or endpoint"},
        {"BadRequest", EINVAL, NULL},
        {"ValidationException", EINVAL, NULL},
    };
    char text[512];
    const char *advice;
    int code = aws_error_meaning(f, known, sizeof known / sizeof *known, &advice);
    return aws_error_report(e, code, advice, "replication of %.200s: %s", id, aws_error_text(f, text));
}

static int ask(struct aws_client *c, const char *id, struct http_reply *reply, struct err *e)
{
    char region[REGION_MAX], endpoint[ENDPOINT_MAX];
    struct aws_error f;
    if (!efs_replication_is_id(id))
        return aws_error_report(e, EINVAL, "it looks like fs-0123456789abcdef0", "%.200s is no file system",
                                id);
    if (region_find(id, region, e) != 0 ||
        region_address("EFS", "elasticfilesystem", region, endpoint, e) != 0)
        return -1;
    cleanup_free char *value = uri_encoded(id, true), *query = NULL;
    if (!value || asprintf(&query, "FileSystemId=%s", value) < 0)
        return query = NULL, err_set(e, ENOMEM, "asking for a replication", NULL, NULL);
    struct aws_call call = {.service = "elasticfilesystem",
                            .region = region,
                            .endpoint = endpoint,
                            .method = "GET",
                            .path = PATH,
                            .query = query,
                            .total_ms = TOTAL_MS,
                            .reply_max = REPLY_MAX,
                            .explain = explain};
    int rc = aws_request(c, &call, reply, &f, e);
    return rc == 1 ? refused(id, &f, e) : rc;
}

static void copy(const cJSON *o, const char *key, char *out, size_t size)
{
    (void)text_printable(json_text(o, key), out, size);
}

/* There is one destination at most; a reply without one is of a replication that is being deleted. */
static int understand(const struct http_reply *reply, const char *id, struct efs_replication *out,
                      struct err *e)
{
    cleanup_json cJSON *o = cJSON_ParseWithOpts(reply->body, NULL, 1);
    const cJSON *one = cJSON_GetArrayItem(json_member(o, "Replications"), 0);
    const cJSON *to = cJSON_GetArrayItem(json_member(one, "Destinations"), 0);
    const cJSON *synced = json_member(to, "LastReplicatedTimestamp");
    if (!cJSON_IsArray(json_member(o, "Replications")))
        return aws_error_report(e, EPROTO, "is it EFS's endpoint?",
                                "replication of %.200s: the reply is not EFS's", id);
    if (!to)
        return aws_error_report(e, ENOENT, NULL, "replication of %.200s: it has no destination", id);
    copy(to, "Status", out->status, sizeof out->status);
    copy(to, "StatusMessage", out->message, sizeof out->message);
    copy(to, "FileSystemId", out->destination, sizeof out->destination);
    copy(to, "Region", out->region, sizeof out->region);
    copy(one, "SourceFileSystemId", out->source, sizeof out->source);
    copy(one, "SourceFileSystemRegion", out->source_region, sizeof out->source_region);
    if (cJSON_IsNumber(synced) && synced->valuedouble >= 1 && synced->valuedouble < 253402300800.0)
        out->synced = (time_t)synced->valuedouble;
    else if (synced && !cJSON_IsNull(synced))
        return aws_error_report(e, EPROTO, NULL, "replication of %.200s: its time cannot be read", id);
    return 0;
}

int efs_replication_get(struct aws_client *c, const char *file_system, struct efs_replication *out,
                        struct err *e)
{
    cleanup_reply struct http_reply reply = {0};
    *out = (struct efs_replication){0};
    int rc = ask(c, file_system, &reply, e);
    return rc == 0 ? understand(&reply, file_system, out, e) : rc;
}
