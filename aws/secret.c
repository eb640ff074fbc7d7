#include "aws/secret.h"
#include "aws/region.h"
#include "common/base/cleanup.h"
#include "common/base/listens.h"
#include "common/json.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TOTAL_MS = 5000,
    REPLY_MAX = 512 << 10
}; /* a secret has 64 KiB at most, in JSON perhaps six times that */

void secret_free(char *value)
{
    if (value)
        OPENSSL_cleanse(value, strlen(value));
    free(value);
}

int secret_check_arn(const char *arn, struct err *e)
{
    char region[REGION_MAX];
    int colons = 0;
    for (const char *s = arn; *s; s++)
        colons += *s == ':';
    const char *service = strncmp(arn, "arn:", 4) == 0 ? strchr(arn + 4, ':') : NULL;
    if (!service || strncmp(service, ":secretsmanager:", 16) != 0 || colons < 6 || !strstr(arn, ":secret:") ||
        !region_of(arn, region))
        return aws_error_report(
            e, EINVAL, "it looks like arn:aws:secretsmanager:eu-west-1:123456789012:secret:NAME-AbCdEf",
            "%.200s is not the ARN of a secret", arn);
    if (colons > 6) /* the form of a task definition's "secrets" */
        return aws_error_report(e, EINVAL,
                                "name the JSON member in a setting of its own, and leave it out here",
                                "%.200s has something behind the secret's name", arn);
    return 0;
}

/* ---- the exchange */

static void explain(const struct http_reply *reply, struct aws_error *f)
{
    cleanup_json cJSON *o = cJSON_ParseWithOpts(reply->body, NULL, 0);
    const char *type = json_string(o, "__type");
    /* "message" or "Message": both are seen */
    const char *message = cJSON_GetStringValue(cJSON_GetObjectItem(o, "message"));
    aws_error_code(f, type ? type : "");
    aws_error_message(f, message ? message : "");
}

static int refused(const char *arn, const struct aws_error *f, struct err *e)
{
    static const struct aws_error_meaning known[] = {
        {"ResourceNotFoundException", ENOENT, "is the ARN right, and has the secret a current value?"},
        {"AccessDeniedException", EACCES, "the task role needs secretsmanager:GetSecretValue on it"},
        {"AccessDenied", EACCES, "the task role needs secretsmanager:GetSecretValue on it"},
        {"DecryptionFailure", EACCES, "the task role needs kms:Decrypt on the secret's own KMS key"},
        {"ExpiredTokenException", EACCES, "set new AWS_ keys, or none, so that the task role's are used"},
        {"UnrecognizedClientException", EACCES, "the keys are not of this account or endpoint"},
        {"InvalidRequestException", EINVAL, "is the secret marked for deletion?"},
    };
    char text[512];
    const char *advice;
    int code = aws_error_meaning(f, known, sizeof known / sizeof *known, &advice);
    if (code == EACCES && strstr(f->message, "KMS"))
        advice = "the task role needs kms:Decrypt on the secret's own KMS key";
    return aws_error_report(e, code, advice, "secret %.200s: %s", arn, aws_error_text(f, text));
}

static char *request_body(const char *arn)
{
    cleanup_json cJSON *o = cJSON_CreateObject();
    if (!cJSON_AddStringToObject(o, "SecretId", arn) ||
        !cJSON_AddStringToObject(o, "VersionStage", "AWSCURRENT"))
        return NULL;
    return cJSON_PrintUnformatted(o);
}

static int ask(struct aws_client *c, const char *arn, struct http_reply *reply, struct err *e)
{
    static const char *const headers[] = {"Content-Type: application/x-amz-json-1.1",
                                          "X-Amz-Target: secretsmanager.GetSecretValue", NULL};
    char region[REGION_MAX], endpoint[ENDPOINT_MAX];
    struct aws_error f;
    if (secret_check_arn(arn, e) != 0 || !region_of(arn, region) ||
        region_address("SECRETS_MANAGER", "secretsmanager", region, endpoint, e) != 0)
        return -1;
    const char *given = getenv("AWS_ENDPOINT_URL_SECRETS_MANAGER");
    if (given && *given && strncmp(endpoint, "http://", 7) == 0 && !listens_on_loopback(endpoint))
        return aws_error_report(e, EINVAL, "use https",
                                "AWS_ENDPOINT_URL_SECRETS_MANAGER=%.200s would send the secret as it is",
                                endpoint);
    cleanup_free char *body = request_body(arn);
    if (!body)
        return err_set(e, ENOMEM, "asking for a secret", NULL, NULL);
    struct aws_call call = {.service = "secretsmanager",
                            .region = region,
                            .endpoint = endpoint,
                            .method = "POST",
                            .path = "/",
                            .headers = headers,
                            .body = body,
                            .body_size = strlen(body),
                            .total_ms = TOTAL_MS,
                            .reply_max = REPLY_MAX,
                            .explain = explain};
    int rc = aws_request(c, &call, reply, &f, e);
    return rc == 1 ? refused(arn, &f, e) : rc;
}

/* ---- what came */

static int unfit(const char *arn, const char *why, const char *advice, struct err *e)
{
    return aws_error_report(e, EINVAL, advice, "secret %.200s %s", arn, why);
}

/* A copy without the space around it. Checked, since it goes into a header, where a line break would begin
 * another one. */
static char *fit(const char *text, const char *arn, struct err *e)
{
    size_t n = strlen(text);
    while (n && isspace((unsigned char)text[n - 1]))
        n--;
    size_t skip = strspn(text, " \t\r\n\v\f");
    skip = skip < n ? skip : n;
    for (size_t i = skip; i < n; i++)
        if (iscntrl((unsigned char)text[i]))
            return (void)unfit(arn, "has a line break or another control character inside", NULL, e), NULL;
    if (n == skip)
        return (void)unfit(arn, "is empty", "store the API key in it", e), NULL;
    if (n - skip > SECRET_MAX)
        return (void)unfit(arn, "is longer than 1 KiB", "is it the right one, and a JSON member needed?", e),
               NULL;
    char *value = strndup(text + skip, n - skip);
    if (!value)
        (void)err_set(e, ENOMEM, "a secret", NULL, NULL);
    return value;
}

static void wipe_strings(const cJSON *o)
{
    const cJSON *child;
    cJSON_ArrayForEach(child, o)
    {
        if (cJSON_IsString(child))
            OPENSSL_cleanse(child->valuestring, strlen(child->valuestring));
        wipe_strings(child);
    }
}
static void secret_json_free(cJSON **j)
{
    wipe_strings(*j);
    cJSON_Delete(*j);
}
#define cleanup_secret_json __attribute__((cleanup(secret_json_free)))

static char *member(const char *text, const char *key, const char *arn, struct err *e)
{
    cleanup_secret_json cJSON *o = cJSON_ParseWithOpts(text, NULL, 1);
    const cJSON *m = json_member(o, key);
    char why[160];
    if (!cJSON_IsObject(o))
        return (void)unfit(arn, "is not a JSON object", "name no JSON member if the whole string is the key",
                           e),
               NULL;
    if (!m)
        return (void)aws_error_report(e, ENOENT, NULL, "secret %.200s has no member \"%.80s\"", arn, key),
               NULL;
    (void)snprintf(why, sizeof why, "has a member \"%.80s\" that is no string", key);
    if (!cJSON_IsString(m))
        return (void)unfit(arn, why, NULL, e), NULL;
    return fit(m->valuestring, arn, e);
}

/* cJSON 1.7 ends a string at a "\u0000", so that such a value would be cut short unseen. In a member of a
 * secret that is JSON, it stands as "\\u0000" in the reply. */
static bool has_nul(const struct http_reply *reply) { return strstr(reply->body, "\\u0000") != NULL; }

static char *value_of(const struct http_reply *reply, const char *arn, const char *key, struct err *e)
{
    cleanup_secret_json cJSON *o = cJSON_ParseWithOpts(reply->body, NULL, 1);
    const cJSON *s = json_member(o, "SecretString");
    if (!reply->body || strlen(reply->body) != reply->size || !cJSON_IsObject(o))
        return (void)aws_error_report(e, EPROTO, "is it Secrets Manager's endpoint?",
                                      "secret %.200s: the reply is not Secrets Manager's", arn),
               NULL;
    if (cJSON_IsString(s) && has_nul(reply))
        return (void)unfit(arn, "has a NUL character inside", NULL, e), NULL;
    if (cJSON_IsString(s))
        return key && *key ? member(s->valuestring, key, arn, e) : fit(s->valuestring, arn, e);
    if (cJSON_HasObjectItem(o, "SecretBinary"))
        return (void)unfit(arn, "is binary", "store the API key as a string", e), NULL;
    return (void)unfit(arn, "is empty", "store the API key in it", e), NULL;
}

char *secret_get(struct aws_client *c, const char *arn, const char *key, struct err *e)
{
    struct http_reply reply = {0};
    char *value = ask(c, arn, &reply, e) == 0 ? value_of(&reply, arn, key, e) : NULL;
    if (reply.body)
        OPENSSL_cleanse(reply.body, reply.size);
    http_reply_free(&reply);
    return value;
}
