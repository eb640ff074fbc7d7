#include "aws/credentials.h"
#include "aws/error.h"
#include "aws/uri.h"
#include "common/base/cleanup.h"
#include "common/base/files.h"
#include "common/http.h"
#include "common/json.h"
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MARGIN = 300,     /* renewed so many seconds before they expire */
    PAUSE = 15,       /* and not asked for again sooner than this while the old ones are good */
    TRIES = 3,        /* the agent may not be there yet when a task starts */
    WAIT_MS = 2000,   /* for one answer */
    AGAIN_MS = 250,   /* between two tries */
    TOKEN_MAX = 8191, /* of a token file */
};

struct credentials {
    bool fixed; /* from the environment */
    char *url;  /* where to ask; not for messages, since whoever knows it gets the keys */
    char host[256];
    char *token; /* what to show there, or in which file that is; may be NULL */
    char *token_file;
    char *ca_file;
    const atomic_bool *stop;
    struct http *http;
    pthread_mutex_t asking,
        state;            /* who asks holds `asking`; `state` guards what is below and is never held long */
    struct aws_keys keys; /* keys.id empty: none yet */
    time_t renew;
};

/* ---- where they come from */

static const char *env(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static bool fits(char *out, size_t size, const char *value)
{
    return (size_t)snprintf(out, size, "%s", value) < size;
}

/* No control characters: they go into headers. */
static bool sane(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text <= ' ' || *text == 0x7f)
            return false;
    return true;
}

static int from_environment(struct credentials *c, struct err *e)
{
    const char *id = env("AWS_ACCESS_KEY_ID"), *secret = env("AWS_SECRET_ACCESS_KEY"),
               *token = env("AWS_SESSION_TOKEN");
    if (!id || !secret)
        return aws_error_report(e, EINVAL, "set both, or neither to use the task role",
                                "%s is set, but %s is not",
                                id ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY",
                                id ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID");
    if (!fits(c->keys.id, sizeof c->keys.id, id) || !fits(c->keys.secret, sizeof c->keys.secret, secret) ||
        !fits(c->keys.token, sizeof c->keys.token, token ? token : "") || !sane(id) || !sane(secret) ||
        !sane(c->keys.token))
        return aws_error_report(
            e, EINVAL, NULL,
            "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or AWS_SESSION_TOKEN is too long or has "
            "spaces or control characters in it");
    c->fixed = true;
    return 0;
}

static int from_relative(struct credentials *c, const char *path, const char *host, struct err *e)
{
    if (*path != '/' || !sane(path))
        return aws_error_report(
            e, EINVAL, NULL, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=%.100s is no path that begins with '/'",
            path);
    (void)snprintf(c->host, sizeof c->host, "%s", host ? host : "169.254.170.2");
    if (asprintf(&c->url, "%s%s", host ? host : "http://169.254.170.2", path) < 0)
        return c->url = NULL, err_set(e, ENOMEM, "AWS credentials", NULL, NULL);
    return 0;
}

static bool copy(char **to, const char *value) { return !value || (*to = strdup(value)); }

static int from_full(struct credentials *c, const char *url, struct err *e)
{
    static const char NAME[] = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
    struct uri uri;
    if (uri_parse(NAME, url, &uri, e) != 0)
        return -1;
    if (!uri.https && !uri.credentials_host)
        return aws_error_report(e, EINVAL,
                                "keys are asked for over plain HTTP only on this machine, 169.254.170.2, "
                                "169.254.170.23 and [fd00:ec2::23]: use https",
                                "%s=%.200s", NAME, url);
    (void)snprintf(c->host, sizeof c->host, "%s", uri.host);
    if (!copy(&c->url, url) || !copy(&c->token_file, env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")) ||
        !copy(&c->token, env("AWS_CONTAINER_AUTHORIZATION_TOKEN")))
        return err_set(e, ENOMEM, "AWS credentials", NULL, NULL);
    return 0;
}

static int choose(struct credentials *c, const struct credentials_options *o, struct err *e)
{
    const char *relative = env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
               *full = env("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    if (env("AWS_ACCESS_KEY_ID") || env("AWS_SECRET_ACCESS_KEY"))
        return from_environment(c, e);
    if (relative)
        return from_relative(c, relative, o->relative_host, e);
    if (full)
        return from_full(c, full, e);
    return aws_error_report(
        e, ENOENT,
        "give the task a task role (taskRoleArn); elsewhere, where `aws` finds them in a profile, by SSO, "
        "a web identity or an instance's role, run: eval \"$(aws configure export-credentials --format "
        "env)\"",
        "there are no AWS credentials");
}

struct credentials *credentials_new(const struct credentials_options *o, struct err *e)
{
    struct credentials *c = calloc(1, sizeof *c);
    if (!c || pthread_mutex_init(&c->asking, NULL) != 0) {
        free(c);
        return (void)err_set(e, ENOMEM, "AWS credentials", NULL, NULL), NULL;
    }
    (void)pthread_mutex_init(&c->state, NULL); /* cannot fail on Linux: pthread_mutex_init(3) */
    c->stop = o->stop;
    c->http = http_new();
    if (!c->http || !copy(&c->ca_file, o->ca_file))
        (void)err_set(e, ENOMEM, "AWS credentials", NULL, NULL);
    else if (choose(c, o, e) == 0)
        return c;
    return credentials_free(c), NULL;
}

static void free_secret(char *text)
{
    if (text)
        OPENSSL_cleanse(text, strlen(text));
    free(text);
}

void credentials_free(struct credentials *c)
{
    if (!c)
        return;
    http_free(c->http);
    free(c->url);
    free(c->token_file);
    free(c->ca_file);
    free_secret(c->token);
    (void)pthread_mutex_destroy(&c->asking);
    (void)pthread_mutex_destroy(&c->state);
    keys_wipe(&c->keys);
    free(c);
}

/* ---- asking */

static void wiped(char **text) { free_secret(*text); }
#define cleanup_secret __attribute__((cleanup(wiped)))

/* "Authorization: TOKEN". The file is read each time, since EKS puts a new one there: AWS SDKs' reference
 * guide. */
static int authorization(const struct credentials *c, char **line, struct err *e)
{
    cleanup_secret char *file = c->token_file ? files_get(c->token_file, TOKEN_MAX, e) : NULL;
    if (c->token_file && !file)
        return -1;
    const char *token = file ? file : c->token;
    for (size_t n = file ? strlen(file) : 0; n && (file[n - 1] == '\n' || file[n - 1] == '\r');)
        file[--n] = 0;
    if (!token)
        return 0;
    if (!*token || !sane(token))
        return aws_error_report(e, EINVAL, NULL,
                                "the token in %s is empty, or has spaces or line breaks in it",
                                file ? c->token_file : "AWS_CONTAINER_AUTHORIZATION_TOKEN");
    if (asprintf(line, "Authorization: %s", token) < 0)
        return *line = NULL, err_set(e, ENOMEM, "AWS credentials", NULL, NULL);
    return 0;
}

static void json_wipe(cJSON **j)
{
    const cJSON *member;
    cJSON_ArrayForEach(member, *j) if (cJSON_IsString(member))
        OPENSSL_cleanse(member->valuestring, strlen(member->valuestring));
    cJSON_Delete(*j);
}
#define cleanup_keys_json __attribute__((cleanup(json_wipe)))

static bool member(const cJSON *o, const char *name, char *out, size_t size)
{
    const char *s = json_string(o, name);
    return s && fits(out, size, s) && sane(out);
}

/* "2026-11-25T12:00:00Z", perhaps with a fraction. */
static bool expiration(const cJSON *o, time_t *out)
{
    char text[40];
    struct tm tm = {0};
    if (!member(o, "Expiration", text, sizeof text))
        return false;
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    if (end && *end == '.')
        end += 1 + strspn(end + 1, "0123456789");
    *out = timegm(&tm);
    return end && strcmp(end, "Z") == 0 && *out > 0;
}

static bool parse(const char *body, struct aws_keys *k)
{
    cleanup_keys_json cJSON *o = cJSON_ParseWithOpts(body, NULL, 1);
    *k = (struct aws_keys){0};
    return member(o, "AccessKeyId", k->id, sizeof k->id) && *k->id &&
           member(o, "SecretAccessKey", k->secret, sizeof k->secret) && *k->secret &&
           member(o, "Token", k->token, sizeof k->token) && expiration(o, &k->expires);
}

static int understand(const struct credentials *c, const struct http_reply *reply, struct aws_keys *k,
                      struct err *e)
{
    if (reply->status != 200)
        return aws_error_report(e, reply->status >= 500 || reply->status == 429 ? EAGAIN : EACCES,
                                "does the task have a task role (taskRoleArn) that ECS may assume?",
                                "no AWS credentials from %.200s: HTTP status %ld", c->host, reply->status);
    if (strlen(reply->body) != reply->size || !parse(reply->body, k))
        return aws_error_report(e, EAGAIN, NULL,
                                "no AWS credentials from %.200s: the reply is not what ECS sends", c->host);
    if (k->expires <= time(NULL))
        return aws_error_report(e, EAGAIN, "is the clock right?",
                                "AWS credentials from %.200s are expired already", c->host);
    return 0;
}

static int ask_once(struct credentials *c, struct aws_keys *k, struct err *e)
{
    cleanup_secret char *token = NULL;
    cleanup_reply struct http_reply reply = {0};
    if (authorization(c, &token, e) != 0)
        return -1;
    const char *headers[] = {"Accept: application/json", token, NULL};
    struct http_request r = {.method = "GET",
                             .url = c->url,
                             .headers = headers,
                             .ca_file = c->ca_file,
                             .connect_ms = WAIT_MS / 2,
                             .total_ms = WAIT_MS,
                             .reply_max = 64 << 10,
                             .stop = c->stop};
    struct err why = {0};
    char reason[100];
    int rc = http_do(c->http, &r, &reply, &why);
    if (rc == 0)
        rc = understand(c, &reply, k, e);
    else
        (void)aws_error_report(e, why.code, NULL, "no AWS credentials from %.200s: %s", c->host,
                               strerror_r(why.code, reason, sizeof reason));
    if (reply.body)
        OPENSSL_cleanse(reply.body, reply.size);
    return rc;
}

static int ask(struct credentials *c, struct aws_keys *k, int tries, struct err *e)
{
    struct err why = {0};
    for (int i = 0; i < tries; i++) {
        if (i)
            (void)nanosleep(&(struct timespec){.tv_nsec = AGAIN_MS * 1000000L}, NULL);
        if (ask_once(c, k, &why) == 0)
            return 0;
        if (why.code != EAGAIN && why.code != ECONNREFUSED && why.code != ETIMEDOUT && why.code != EPROTO)
            break;
    }
    keys_wipe(k);
    if (e)
        *e = why;
    return -1;
}

/* ---- the cache */

/* When to ask again: some time before they end, but not at once again if they end soon. */
static time_t renewal(time_t now, time_t expires)
{
    time_t at = expires - MARGIN > now + PAUSE ? expires - MARGIN : now + PAUSE;
    return at < expires ? at : expires;
}

enum age { FRESH, STALE, GONE };
static enum age look(struct credentials *c, struct aws_keys *out)
{
    time_t now = time(NULL);
    (void)pthread_mutex_lock(&c->state);
    *out = c->keys;
    enum age age = c->fixed                                   ? FRESH
                   : !c->keys.id[0] || c->keys.expires <= now ? GONE
                   : c->renew <= now                          ? STALE
                                                              : FRESH;
    (void)pthread_mutex_unlock(&c->state);
    return age;
}

static int renew(struct credentials *c, enum age age, struct aws_keys *out, struct err *e)
{
    struct aws_keys fresh cleanup_keys = {0};
    int rc = ask(c, &fresh, age == GONE ? TRIES : 1, e);
    time_t now = time(NULL);
    (void)pthread_mutex_lock(&c->state);
    if (rc == 0)
        *out = c->keys = fresh;
    c->renew = rc == 0 ? renewal(now, fresh.expires) : now + PAUSE;
    (void)pthread_mutex_unlock(&c->state);
    return rc;
}

int credentials_get(struct credentials *c, struct aws_keys *out, struct err *e)
{
    int rc = 0;
    enum age age = look(c, out);
    if (age == FRESH || (age == STALE && pthread_mutex_trylock(&c->asking) != 0))
        return 0; /* another thread is asking, and the old ones are good meanwhile */
    if (age == GONE)
        (void)pthread_mutex_lock(&c->asking);
    age = look(c, out); /* another thread may just have asked */
    if (age != FRESH)
        rc = renew(c, age, out, e);
    (void)pthread_mutex_unlock(&c->asking);
    if (age != GONE || rc == 0)
        return 0; /* those that look() gave are good for a while even if there are no newer ones */
    keys_wipe(out);
    return -1;
}

int credentials_refused(struct credentials *c, const struct aws_keys *used, struct err *e)
{
    struct aws_keys now cleanup_keys = {0};
    if (c->fixed)
        return 1;
    (void)pthread_mutex_lock(&c->asking);
    int rc = look(c, &now) == GONE || strcmp(now.id, used->id) == 0 ? renew(c, GONE, &now, e) : 0;
    (void)pthread_mutex_unlock(&c->asking);
    return rc != 0 ? -1 : strcmp(now.id, used->id) == 0 && strcmp(now.secret, used->secret) == 0;
}
