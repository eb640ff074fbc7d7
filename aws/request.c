#include "aws/request.h"
#include "aws/digest.h"
#include "aws/sign.h"
#include "common/base/cleanup.h"
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PAUSE_MS = 200, PAUSE_MAX_MS = 5000, LOOK_MS = 100, CONNECT_MS = 3000 };
enum { SKEW_MIN = 60 }; /* seconds; AWS allows 300 and more */

struct aws_client {
    struct http *http;
    struct credentials *credentials;
    char *ca_file;
    const atomic_bool *stop;
    long patience_s;
    time_t skew; /* what the service's clock is ahead of ours */
};

struct aws_client *aws_client_new(struct credentials *credentials, const struct aws_client_options *o)
{
    struct aws_client *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    *c = (struct aws_client){
        .http = http_new(), .credentials = credentials, .stop = o->stop, .patience_s = (long)o->patience_s};
    if (c->http && (!o->ca_file || (c->ca_file = strdup(o->ca_file))))
        return c;
    return aws_client_free(c), NULL;
}

void aws_client_free(struct aws_client *c)
{
    if (!c)
        return;
    http_free(c->http);
    free(c->ca_file);
    free(c);
}

/* ---- one try */

static void headers_free(char ***h) { sign_free(*h); }
#define cleanup_headers __attribute__((cleanup(headers_free)))

static long at_most(long value, long limit) { return limit && (!value || value > limit) ? limit : value; }

static int send_signed(struct aws_client *c, const struct aws_call *call, const struct aws_keys *keys,
                       struct http_reply *reply, struct err *e)
{
    char hex[DIGEST_HEX];
    unsigned char raw[DIGEST_SIZE];
    cleanup_free char *url = NULL;
    const char *host = strstr(call->endpoint, "://");
    bool query = call->query && *call->query;
    if (!host || (!call->body_sha256 && !digest_sha256(call->body ? call->body : "", call->body_size, raw)) ||
        asprintf(&url, "%s%s%s%s", call->endpoint, call->path, query ? "?" : "", query ? call->query : "") <
            0)
        return url = NULL, err_set(e, ENOMEM, "a request to AWS", NULL, NULL);
    if (!call->body_sha256)
        digest_hex(raw, hex);
    struct sign_request r = {.method = call->method,
                             .host = host + 3,
                             .path = call->path,
                             .query = call->query,
                             .headers = call->headers,
                             .payload_sha256 = call->body_sha256 ? call->body_sha256 : hex};
    struct sign_with with = {keys, call->region, call->service, time(NULL) + c->skew};
    cleanup_headers char **headers = sign_headers(&r, &with, e);
    if (!headers)
        return -1;
    struct http_request h = {.method = call->method,
                             .url = url,
                             .headers = (const char *const *)headers,
                             .body = call->body,
                             .body_size = call->body_size,
                             .ca_file = c->ca_file,
                             .connect_ms = at_most(CONNECT_MS, c->patience_s * 1000),
                             .total_ms = at_most(call->total_ms, c->patience_s * 1000),
                             .stall_s = at_most(call->stall_s, c->patience_s),
                             .reply_max = call->reply_max,
                             .proxy = true, /* as AWS's own SDKs do */
                             .stop = c->stop,
                             .write = call->write,
                             .write_arg = call->write_arg};
    return http_do(c->http, &h, reply, e);
}

/* 0, 1, -1 as aws_request. */
static int try_once(struct aws_client *c, const struct aws_call *call, const struct aws_keys *keys,
                    struct http_reply *reply, struct aws_error *f, struct err *e)
{
    *f = (struct aws_error){0};
    if (send_signed(c, call, keys, reply, e) != 0)
        return -1;
    bool good = reply->status / 100 == 2;
    f->status = reply->status;
    if (!good || call->error_in_200_body)
        call->explain(reply, f);
    return !good || f->code[0];
}

/* ---- what a failure asks for */

enum verdict { FINAL, AGAIN, NEW_KEYS, NEW_CLOCK };

static bool is_one_of(const struct aws_error *f, const char *const *codes)
{
    for (; *codes; codes++)
        if (aws_error_is(f, *codes))
            return true;
    return false;
}

/* Names of the S3 and Secrets Manager API references, and what botocore's "standard" retry mode tries again.
 */
static enum verdict judge_fault(const struct aws_error *f)
{
    static const char *const keys[] = {"ExpiredToken",
                                       "ExpiredTokenException",
                                       "TokenRefreshRequired",
                                       "RequestExpired",
                                       "UnrecognizedClientException",
                                       "InvalidClientTokenId",
                                       "InvalidAccessKeyId",
                                       "InvalidToken",
                                       NULL};
    static const char *const again[] = {"SlowDown",
                                        "Throttling",
                                        "ThrottlingException",
                                        "ThrottledException",
                                        "RequestThrottled",
                                        "RequestThrottledException",
                                        "TooManyRequestsException",
                                        "RequestLimitExceeded",
                                        "BandwidthLimitExceeded",
                                        "PriorRequestNotComplete",
                                        "RequestTimeout",
                                        "RequestTimeoutException",
                                        "InternalError",
                                        "InternalServiceError",
                                        "InternalFailure",
                                        "ServiceUnavailable",
                                        "ConditionalRequestConflict",
                                        "OperationAborted",
                                        "BadDigest",
                                        "XAmzContentSHA256Mismatch",
                                        NULL};
    static const long status[] = {408, 429, 500, 502, 503, 504};
    if (aws_error_is(f, "RequestTimeTooSkewed") || aws_error_is(f, "RequestInTheFuture") ||
        strstr(f->message, "Signature expired") || strstr(f->message, "Signature not yet current"))
        return NEW_CLOCK;
    if (is_one_of(f, keys) || (!f->code[0] && f->status == 403))
        return NEW_KEYS; /* a reply to HEAD has no body, so that a bare 403 may be anything */
    if (is_one_of(f, again))
        return AGAIN;
    for (size_t i = 0; i < sizeof status / sizeof *status; i++)
        if (f->status == status[i])
            return AGAIN;
    return FINAL;
}

bool aws_may_pass(int code) { return code == ETIMEDOUT || code == ECONNREFUSED || code == EPROTO; }

/* By the reply's Date. False when that does not say anything new. */
static bool set_clock(struct aws_client *c, const struct http_reply *reply)
{
    char date[64];
    time_t theirs = http_header(reply, "Date", date, sizeof date) ? curl_getdate(date, NULL) : -1;
    time_t skew = theirs > 0 ? theirs - time(NULL) : c->skew;
    time_t change = skew > c->skew ? skew - c->skew : c->skew - skew;
    if (change < SKEW_MIN)
        return false;
    c->skew = skew;
    return true;
}

bool aws_stopped(const struct aws_client *c) { return c->stop && atomic_load(c->stop); }

/* Half of it is chance, so that many tasks do not come back at one moment. */
bool aws_pause(const struct aws_client *c, int try)
{
    struct timespec now;
    long most = PAUSE_MS << (try < 8 ? try - 1 : 7);
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail */
    most = most > PAUSE_MAX_MS ? PAUSE_MAX_MS : most;
    for (long left = most / 2 + now.tv_nsec / 1000 % (most / 2); left > 0 && !aws_stopped(c); left -= LOOK_MS)
        (void)nanosleep(&(struct timespec){.tv_nsec = (left < LOOK_MS ? left : LOOK_MS) * 1000000L}, NULL);
    return !aws_stopped(c);
}

struct retries {
    int tries;
    bool keys, clock; /* renewed already */
};

/* Is there reason to try again? Waits where that helps. */
static bool again(struct aws_client *c, const struct aws_call *call, struct retries *r, int rc,
                  const struct aws_error *f, const struct aws_keys *keys, const struct http_reply *reply,
                  const struct err *e)
{
    enum verdict v = rc >= 0 ? judge_fault(f) : aws_may_pass(e->code) ? AGAIN : FINAL;
    if (rc < 0 && call->no_resend)
        return false;
    if (v == NEW_KEYS && !f->code[0] && !r->clock && set_clock(c, reply))
        return r->clock = true; /* a bare 403 may be about that too */
    if (v == NEW_KEYS && !r->keys)
        return r->keys = true, credentials_refused(c->credentials, keys, NULL) == 0;
    if (v == NEW_CLOCK && !r->clock)
        return r->clock = true, set_clock(c, reply);
    return v == AGAIN && ++r->tries < AWS_TRIES && aws_pause(c, r->tries);
}

static void drop(struct http_reply *reply)
{
    if (reply->body)
        OPENSSL_cleanse(reply->body, reply->size);
    http_reply_free(reply);
}

/* What a task in a private subnet most often lacks. */
static int unreachable(const struct err *why, struct err *e)
{
    bool no_way = why->code == ETIMEDOUT || why->code == ECONNREFUSED;
    return aws_error_report(e, why->code,
                            no_way ? "is there a way to it, a NAT gateway or a VPC endpoint?" : NULL, "%s",
                            why->text);
}

int aws_request(struct aws_client *c, const struct aws_call *call, struct http_reply *reply,
                struct aws_error *f, struct err *e)
{
    struct aws_keys keys cleanup_keys = {0};
    struct retries r = {0};
    struct err why = {0};
    *reply = (struct http_reply){0};
    for (;;) {
        if (credentials_get(c->credentials, &keys, e) != 0)
            return -1;
        int rc = try_once(c, call, &keys, reply, f, &why);
        if (rc == 0)
            return 0;
        if (!again(c, call, &r, rc, f, &keys, reply, &why)) {
            return rc < 0 ? unreachable(&why, e) : rc;
        }
        drop(reply);
    }
}
