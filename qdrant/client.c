#include "qdrant/client.h"
#include "common/base/cleanup.h"
#include "common/http.h"
#include "common/base/text.h"
#include "common/base/string_list.h"
#include "common/json.h"
#include "qdrant/denial.h"
#include <curl/curl.h>
#include <errno.h>
#include <string.h>

enum {
    PATH_SIZE = 2048, /* a name of 255 bytes is 765 escaped, and a path may have two */
    PROBE_MS = 5000,
    DELETE_MS = 30000,
    COUNT_MS = 120000,   /* it reads every id */
    LIST_MAX = 16 << 20, /* 10,000 collections, or the /metrics of as many */
};

struct qdrant {
    const struct qdrant_settings *settings;
    struct key *key;
    const atomic_bool *stop;
    long patience_ms;
};

struct question {
    const char *method, *path;
    long total_ms;
    bool without_key;
    const char *json; /* the body; may be NULL */
    const struct http_upload *upload;
    struct http *keep; /* the connection to use; NULL: a new one */
};

static void curl_freep(char **s) { curl_free(*s); }
#define cleanup_curl __attribute__((cleanup(curl_freep)))

struct qdrant *qdrant_new(const struct qdrant_settings *s, struct key *key, const atomic_bool *stop)
{
    struct qdrant *q = calloc(1, sizeof *q);
    if (q)
        *q = (struct qdrant){s, key, stop, PROBE_MS};
    return q;
}

void qdrant_free(struct qdrant *q) { free(q); }

void qdrant_patience(struct qdrant *q, long ms) { q->patience_ms = ms; }

static int fail(struct err *e, int code, const char *what, const char *advice)
{
    (void)err_set(e, 0, what, NULL, advice);
    if (e)
        e->code = code;
    return -1;
}

static int send_once(struct qdrant *q, const struct question *ask, const char *key, struct http_reply *reply,
                     struct err *e)
{
    char url[sizeof q->settings->url + PATH_SIZE], header[API_KEY_MAX + 16];
    const char *headers[3] = {NULL};
    size_t n = 0;
    cleanup_http struct http *own = ask->keep ? NULL : http_new();
    struct http *h = ask->keep ? ask->keep : own;
    if (!h)
        return err_set(e, ENOMEM, "cannot ask Qdrant", NULL, NULL);
    (void)snprintf(url, sizeof url, "%s%s", q->settings->url, ask->path);
    (void)snprintf(header, sizeof header, "api-key: %s", key);
    if (*key)
        headers[n++] = header;
    if (ask->json)
        headers[n++] = "Content-Type: application/json";
    struct http_request r = {.method = ask->method,
                             .url = url,
                             .headers = headers,
                             .body = ask->json,
                             .body_size = ask->json ? strlen(ask->json) : 0,
                             .upload = ask->upload,
                             .ca_file = q->settings->ca_file[0] ? q->settings->ca_file : NULL,
                             .total_ms = ask->total_ms ? ask->total_ms : q->patience_ms,
                             .reply_max = LIST_MAX,
                             .stop = q->stop};
    int rc = http_do(h, &r, reply, e);
    explicit_bzero(header, sizeof header);
    if (rc != 0 && e && e->code == EKEYREJECTED)
        (void)snprintf(e->text + strlen(e->text), sizeof e->text - strlen(e->text), " (QDRANT_CA_FILE)");
    return rc;
}

/* 0 when there was a reply. A key that was rotated meanwhile is found here. */
static int send_question(struct qdrant *q, const struct question *ask, struct http_reply *reply,
                         struct err *e)
{
    char key[API_KEY_MAX] = "";
    struct err why = {0};
    *reply = (struct http_reply){0};
    if (!ask->without_key && key_get(q->key, key, &why) != 0)
        return fail(e, QDRANT_NO_KEY, why.text, NULL);
    int rc = send_once(q, ask, key, reply, e);
    if (rc == 0 && (reply->status == 401 || reply->status == 403) && !ask->without_key &&
        !ask->upload && /* it was sent and cannot be sent again */
        key_refused(q->key, key) && key_get(q->key, key, &why) == 0) {
        http_reply_free(reply);
        rc = send_once(q, ask, key, reply, e);
    }
    explicit_bzero(key, sizeof key);
    return rc;
}

static int answered(const struct question *ask, const struct http_reply *reply, struct err *e)
{
    char said[200], text[700];
    long status = reply->status;
    (void)text_printable(reply->body, said, sizeof said);
    (void)snprintf(text, sizeof text, "Qdrant answered %ld to %s %.300s%s%s", status, ask->method, ask->path,
                   *said ? ": " : "", said);
    enum denial denial = denial_of(status, reply->body ? reply->body : "");
    if (denial != DENIAL_NONE)
        return fail(e, denial == DENIAL_KEY || denial == DENIAL_RIGHTS ? QDRANT_REFUSED : QDRANT_ANSWERED,
                    text, denial_advice(denial));
    if (status >= 300 && status < 400)
        return fail(e, QDRANT_ANSWERED, text,
                    "redirects are not followed; set QDRANT_URL to the address itself");
    return fail(e, status == 404 ? QDRANT_MISSING : QDRANT_ANSWERED, text, NULL);
}

/* 0 when the answer is 200. */
static int ask_hear(struct qdrant *q, const struct question *what, struct http_reply *reply,
                    struct qdrant_answer *other, struct err *e)
{
    if (other)
        *other = (struct qdrant_answer){0};
    if (send_question(q, what, reply, e) != 0)
        return -1;
    if (reply->status == 200)
        return 0;
    if (other) {
        other->status = reply->status;
        (void)text_printable(reply->body, other->said, sizeof other->said);
    }
    (void)answered(what, reply, e);
    http_reply_free(reply);
    return -1;
}

static int ask(struct qdrant *q, const struct question *what, struct http_reply *reply, struct err *e)
{
    return ask_hear(q, what, reply, NULL, e);
}

static int garbled(const struct question *what, struct err *e)
{
    char text[400];
    (void)snprintf(text, sizeof text, "what answers %s %.300s is no Qdrant, or its reply was cut off",
                   what->method, what->path);
    return fail(e, QDRANT_GARBLED, text, "check QDRANT_URL");
}

/* cJSON ends a string at \u0000, so that "a\u0000b" would be taken for the collection "a". */
static void no_nul_escapes(char *json)
{
    for (char *p = json; (p = strstr(p, "\\u0000")); p += 6)
        memcpy(p + 2, "FFFD", 4); /* NOLINT(bugprone-not-null-terminated-result): in place */
}

/* The reply's `result`, NULL with `e`; `*whole` is to be freed. */
static const cJSON *ask_json(struct qdrant *q, const struct question *what, cJSON **whole, struct err *e)
{
    cleanup_reply struct http_reply reply = {0};
    if (ask(q, what, &reply, e) != 0)
        return NULL;
    no_nul_escapes(reply.body);
    *whole = cJSON_ParseWithOpts(reply.body, NULL, 1);
    const cJSON *result = json_member(*whole, "result");
    if (!result)
        (void)garbled(what, e);
    return result;
}

/* `collection` in a path; false when that cannot be: a server takes "." and ".." for places, also escaped. */
static bool path_of(char out[PATH_SIZE], const char *collection, const char *rest)
{
    cleanup_curl char *name = collection ? curl_easy_escape(NULL, collection, 0) : NULL;
    if (!collection)
        return snprintf(out, PATH_SIZE, "%s", rest) < PATH_SIZE;
    return name && *name && strcmp(collection, ".") != 0 && strcmp(collection, "..") != 0 &&
           snprintf(out, PATH_SIZE, "/collections/%s%s", name, rest) < PATH_SIZE;
}

static int no_path(const char *collection, struct err *e)
{
    char name[300], text[400];
    (void)snprintf(text, sizeof text, "a collection named \"%s\" cannot be asked for",
                   text_printable(collection, name, sizeof name));
    return fail(e, QDRANT_MISSING, text, "give it another name");
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void names_sort(struct qdrant_names *names)
{
    size_t kept = 0;
    if (names->n > 1)
        qsort(names->v, names->n, sizeof *names->v, by_name);
    for (size_t i = 0; i < names->n; i++)
        if (kept > 0 && strcmp(names->v[kept - 1], names->v[i]) == 0)
            free(names->v[i]);
        else
            names->v[kept++] = names->v[i];
    names->n = kept;
}

void qdrant_names_free(struct qdrant_names *names)
{
    string_list_free(names->v, names->n);
    *names = (struct qdrant_names){0};
}

bool qdrant_names_have(const struct qdrant_names *names, const char *name)
{
    return names->n > 0 && bsearch(&name, names->v, names->n, sizeof *names->v, by_name);
}

int qdrant_ready(struct qdrant *q, struct err *e)
{
    cleanup_reply struct http_reply reply = {0};
    return ask(q, &(struct question){.method = "GET", .path = "/readyz", .without_key = true}, &reply, e);
}

int qdrant_version(struct qdrant *q, char *out, size_t size, struct err *e)
{
    cleanup_reply struct http_reply reply = {0};
    *out = 0;
    if (ask(q, &(struct question){.method = "GET", .path = "/", .without_key = true}, &reply, e) != 0)
        return -1;
    cleanup_json cJSON *o = cJSON_Parse(reply.body);
    const char *version = json_string(o, "version");
    if (version)
        (void)snprintf(out, size, "%s", version);
    return 0;
}

/* The value of the label id="..." in a line of Prometheus' text format, unescaped in place. NULL when there
 * is none. */
static char *label_id(char *line)
{
    char *id = strstr(line, "{id=\""), *to;
    if (!id)
        return NULL;
    id += 5;
    to = id;
    for (const char *p = id; *p && *p != '"'; p++) {
        if (*p == '\\' && p[1])
            *to++ = *++p == 'n' ? '\n' : *p;
        else
            *to++ = *p;
    }
    *to = 0;
    return id;
}

int qdrant_state(struct qdrant *q, struct qdrant_state *out, struct err *e)
{
    static const char making[] = "snapshot_creation_running", mode[] = "app_status_recovery_mode ",
                      recovery[] = "snapshot_recovery_running{";
    cleanup_reply struct http_reply reply = {0};
    *out = (struct qdrant_state){0};
    if (ask(q, &(struct question){.method = "GET", .path = "/metrics"}, &reply, e) != 0)
        return -1;
    for (char *save = NULL, *line = strtok_r(reply.body, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        const char *value = strrchr(line, ' ');
        if (!value || !(strtod(value, NULL) > 0))
            continue;
        if (strncmp(line, mode, sizeof mode - 1) == 0)
            out->recovery_mode = true;
        if (strncmp(line, recovery, sizeof recovery - 1) == 0)
            out->recovering = true;
        char *id = strncmp(line, making, sizeof making - 1) == 0 ? label_id(line) : NULL;
        if (id && !string_list_add(&out->making.v, &out->making.n, id)) {
            qdrant_names_free(&out->making);
            return err_set(e, ENOMEM, "cannot read /metrics", NULL, NULL);
        }
    }
    names_sort(&out->making);
    return 0;
}

int qdrant_collections(struct qdrant *q, struct qdrant_names *out, struct err *e)
{
    struct question what = {.method = "GET", .path = "/collections"};
    cleanup_json cJSON *whole = NULL;
    const cJSON *list = json_member(ask_json(q, &what, &whole, e), "collections"), *c;
    *out = (struct qdrant_names){0};
    if (!whole || !cJSON_IsArray(list))
        return whole ? garbled(&what, e) : -1;
    cJSON_ArrayForEach(c, list)
    {
        const char *name = json_string(c, "name");
        out->odd += !name;
        if (name && !string_list_add(&out->v, &out->n, name)) {
            qdrant_names_free(out);
            return err_set(e, ENOMEM, "cannot list collections", NULL, NULL);
        }
    }
    names_sort(out);
    return 0;
}

int qdrant_points(struct qdrant *q, const char *collection, int64_t *out, struct err *e)
{
    char path[PATH_SIZE];
    struct question what = {.method = "GET", .path = path};
    cleanup_json cJSON *whole = NULL;
    uint64_t n = 0;
    *out = -1;
    if (!path_of(path, collection, ""))
        return no_path(collection, e);
    const cJSON *result = ask_json(q, &what, &whole, e);
    if (!result)
        return -1;
    if (json_size(result, "points_count", &n))
        *out = (int64_t)n;
    return 0;
}

static bool get_snapshot(const cJSON *o, struct qdrant_snapshot *out)
{
    const char *name = json_string(o, "name"), *created = json_string(o, "creation_time");
    *out = (struct qdrant_snapshot){0};
    if (!name || (size_t)snprintf(out->name, sizeof out->name, "%s", name) >= sizeof out->name ||
        !json_size(o, "size", &out->size))
        return false;
    const char *sha256 = json_string(o, "checksum");
    out->made = sha256 != NULL;
    (void)snprintf(out->sha256, sizeof out->sha256, "%s", sha256 && strlen(sha256) == 64 ? sha256 : "");
    out->created = utc_loose(created);
    return true;
}

void qdrant_snapshots_free(struct qdrant_snapshots *list)
{
    free(list->v);
    *list = (struct qdrant_snapshots){0};
}

int qdrant_snapshots(struct qdrant *q, const char *collection, struct qdrant_snapshots *out, struct err *e)
{
    char path[PATH_SIZE];
    struct question what = {.method = "GET", .path = path};
    cleanup_json cJSON *whole = NULL;
    *out = (struct qdrant_snapshots){0};
    if (!path_of(path, collection, "/snapshots"))
        return no_path(collection, e);
    const cJSON *list = ask_json(q, &what, &whole, e), *o;
    if (!list || !cJSON_IsArray(list))
        return list ? garbled(&what, e) : -1;
    out->v = calloc((size_t)cJSON_GetArraySize(list) + 1, sizeof *out->v);
    if (!out->v)
        return err_set(e, ENOMEM, "cannot list snapshots", NULL, NULL);
    cJSON_ArrayForEach(o, list)
    {
        if (!get_snapshot(o, &out->v[out->n++])) {
            qdrant_snapshots_free(out);
            return garbled(&what, e);
        }
    }
    return 0;
}

int qdrant_snapshot_make(struct qdrant *q, const char *collection, long timeout_ms,
                         struct qdrant_snapshot *out, struct err *e)
{
    char path[PATH_SIZE];
    struct question what = {.method = "POST", .path = path, .total_ms = timeout_ms};
    cleanup_json cJSON *whole = NULL;
    if (!path_of(path, collection, "/snapshots?wait=true"))
        return no_path(collection, e);
    const cJSON *result = ask_json(q, &what, &whole, e);
    if (!result)
        return -1;
    return get_snapshot(result, out) ? 0 : garbled(&what, e);
}

long qdrant_snapshot_delete(struct qdrant *q, const char *collection, const char *shard, const char *name)
{
    char path[PATH_SIZE], rest[PATH_SIZE];
    cleanup_curl char *file = curl_easy_escape(NULL, name, 0);
    struct http_reply reply = {0};
    struct err e;
    bool of_shard = shard && *shard;
    int n = file ? snprintf(rest, sizeof rest, "%s%s/snapshots/%s", of_shard ? "/shards/" : "",
                            of_shard ? shard : "", file)
                 : -1;
    if (n < 0 || (size_t)n >= sizeof rest || !path_of(path, collection, rest))
        return 0;
    int rc = send_question(q, &(struct question){.method = "DELETE", .path = path, .total_ms = DELETE_MS},
                           &reply, &e);
    long status = rc == 0 ? reply.status : 0;
    http_reply_free(&reply);
    return status;
}

int qdrant_status(struct qdrant *q, const char *collection, char *out, size_t size, struct err *e)
{
    char path[PATH_SIZE];
    struct question what = {.method = "GET", .path = path};
    cleanup_json cJSON *whole = NULL;
    *out = 0;
    if (!path_of(path, collection, ""))
        return no_path(collection, e);
    const cJSON *result = ask_json(q, &what, &whole, e);
    const char *status = json_string(result, "status");
    if (!result)
        return -1;
    return status && (size_t)snprintf(out, size, "%s", status) < size ? 0 : garbled(&what, e);
}

/* Strict mode may forbid it, or have no read left. */
static bool count_forbidden(const struct qdrant_answer *a)
{
    return a->status == 429 || ((a->status == 400 || a->status == 403) && strstr(a->said, "Exact search"));
}

int qdrant_count(struct qdrant *q, const char *collection, int64_t *out, struct err *e)
{
    char path[PATH_SIZE];
    struct question what = {.method = "POST", .path = path, .json = "{\"exact\":true}", .total_ms = COUNT_MS};
    cleanup_reply struct http_reply reply = {0};
    struct qdrant_answer other;
    uint64_t n = 0;
    if (!path_of(path, collection, "/points/count"))
        return no_path(collection, e);
    if (ask_hear(q, &what, &reply, &other, e) != 0) {
        struct err why = {0};
        if (!count_forbidden(&other) || qdrant_points(q, collection, out, &why) != 0 || *out < 0)
            return -1;
        if (e)
            *e = (struct err){0};
        return 0;
    }
    cleanup_json cJSON *whole = cJSON_ParseWithOpts(reply.body, NULL, 1);
    if (!json_size(json_member(whole, "result"), "count", &n))
        return garbled(&what, e);
    *out = (int64_t)n;
    return 0;
}

/* Qdrant refuses a key before it reads the body, and closes: whoever was still sending sees no answer. The
 * same without a body, which a good key is told is no form. Returns -1. */
static int upload_cut(struct qdrant *q, const char *path, struct qdrant_answer *answer, struct err *e)
{
    struct question what = {.method = "POST", .path = path};
    struct http_reply reply;
    struct err ignored;
    if (send_question(q, &what, &reply, &ignored) != 0)
        return -1;
    if (denial_of(reply.status, reply.body ? reply.body : "") != DENIAL_NONE) {
        (void)answered(&what, &reply, e);
        if (answer) {
            answer->status = reply.status;
            (void)text_printable(reply.body, answer->said, sizeof answer->said);
        }
    }
    http_reply_free(&reply);
    return -1;
}

/* "priority=snapshot": without it Qdrant takes what its other replicas have for newer. "no_sync" leaves these
 * as they are; never "replica": into a shard with another Active one it stops consensus on all nodes
 * (1.18.2). */
int qdrant_upload(struct qdrant *q, const struct qdrant_upload *u, long timeout_ms, struct err *e)
{
    char path[PATH_SIZE], rest[200];
    struct http_upload file = {
        .field = "snapshot", .name = u->name, .size = u->size, .read = u->read, .arg = u->arg};
    struct question what = {.method = "POST", .path = path, .total_ms = timeout_ms, .upload = &file};
    cleanup_reply struct http_reply reply = {0};
    (void)snprintf(rest, sizeof rest, "%s%.20s/snapshots/upload?priority=%s&wait=true&checksum=%s",
                   u->shard ? "/shards/" : "", u->shard ? u->shard : "", u->placed ? "no_sync" : "snapshot",
                   u->sha256);
    if (!path_of(path, u->collection, rest))
        return no_path(u->collection, e);
    int rc = ask_hear(q, &what, &reply, u->answer, e);
    bool cut = rc != 0 && e && e->code < QDRANT_REFUSED && e->code != ECANCELED;
    return cut ? upload_cut(q, path, u->answer, e) : rc;
}

int qdrant_recover(struct qdrant *q, const char *collection, const char *location, const char *sha256,
                   long timeout_ms, struct err *e)
{
    char path[PATH_SIZE];
    cleanup_reply struct http_reply reply = {0};
    cleanup_json cJSON *body = cJSON_CreateObject();
    bool good = cJSON_AddStringToObject(body, "location", location) &&
                cJSON_AddStringToObject(body, "priority", "snapshot") &&
                (!sha256 || cJSON_AddStringToObject(body, "checksum", sha256));
    cleanup_free char *text = good ? cJSON_PrintUnformatted(body) : NULL;
    struct question what = {.method = "PUT", .path = path, .total_ms = timeout_ms, .json = text};
    if (!text)
        return err_set(e, ENOMEM, "cannot ask Qdrant", NULL, NULL);
    return path_of(path, collection, "/snapshots/recover?wait=true") ? ask(q, &what, &reply, e)
                                                                     : no_path(collection, e);
}

struct cJSON *qdrant_ask(struct qdrant *q, const struct qdrant_ask *a, struct err *e)
{
    char path[PATH_SIZE];
    struct question what = {
        .method = a->method, .path = path, .total_ms = a->total_ms, .json = a->json, .keep = a->keep};
    cleanup_json cJSON *whole = NULL;
    if (!path_of(path, a->collection, a->path))
        return (void)no_path(a->collection, e), NULL;
    if (!ask_json(q, &what, &whole, e))
        return NULL;
    cJSON *out = whole;
    whole = NULL;
    return out;
}
