#include "common/http.h"
#include "common/base/cleanup.h"
#include "common/ca_bundle.h"
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { CONNECT_MS = 2000, TOTAL_MS = 30000, REPLY_MAX = 1 << 20, HEADERS_MAX = 64 << 10, LOOK_MS = 250 };

struct http {
    CURL *curl;
    CURLM *multi; /* holds the connection; curl_easy_perform would look at `stop` once a second only */
};
struct buffer {
    char *data;
    size_t n, max;
    bool full;
};

struct http *http_new(void)
{
    struct http *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    h->curl = curl_easy_init();
    h->multi = curl_multi_init();
    if (!h->curl || !h->multi)
        return http_free(h), NULL;
    return h;
}

void http_free(struct http *h)
{
    if (!h)
        return;
    curl_easy_cleanup(h->curl);
    (void)curl_multi_cleanup(h->multi); /* nothing is attached any more */
    free(h);
}

static size_t take(char *data, size_t size, size_t n, void *arg)
{
    struct buffer *b = arg;
    size_t more = size * n;
    b->full = b->full || more > b->max - b->n;
    char *grown = b->full ? NULL : realloc(b->data, b->n + more + 1);
    if (!grown)
        return 0; /* curl ends the transfer */
    memcpy(grown + b->n, data, more);
    b->data = grown;
    b->n += more;
    grown[b->n] = 0;
    return more;
}

/* The body: pieces of a good one go to who asked for them. */
struct body {
    struct buffer kept;
    CURL *curl;
    int (*write)(void *arg, const void *data, size_t n);
    void *arg;
    bool refused;
};
static size_t take_body(char *data, size_t size, size_t n, void *arg)
{
    struct body *b = arg;
    long status = 0;
    if (!b->write || curl_easy_getinfo(b->curl, CURLINFO_RESPONSE_CODE, &status) != CURLE_OK ||
        status / 100 != 2)
        return take(data, size, n, &b->kept);
    b->refused = b->write(b->arg, data, size * n) != 0;
    return b->refused ? 0 : size * n;
}

/* The form of an upload, and whether its reader gave up. */
struct form {
    const struct http_upload *upload;
    curl_mime *mime;
    bool refused;
};
static void form_free(struct form *f) { curl_mime_free(f->mime); }

static size_t give_body(char *out, size_t size, size_t n, void *arg)
{
    struct form *f = arg;
    ssize_t got = f->upload->read(f->upload->arg, out, size * n);
    f->refused = got < 0;
    return got < 0 ? CURL_READFUNC_ABORT : (size_t)got;
}

/* Without a way to rewind: what was sent once cannot be sent again, so a lost connection is an error. */
static bool set_upload(CURL *c, struct form *f)
{
    if (!f->upload)
        return true;
    f->mime = curl_mime_init(c);
    curl_mimepart *part = f->mime ? curl_mime_addpart(f->mime) : NULL;
    return part && curl_mime_name(part, f->upload->field) == CURLE_OK &&
           curl_mime_data_cb(part, (curl_off_t)f->upload->size, give_body, NULL, NULL, f) == CURLE_OK &&
           curl_mime_filename(part, f->upload->name) == CURLE_OK &&
           curl_mime_type(part, "application/octet-stream") == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_MIMEPOST, f->mime) == CURLE_OK;
}

static void slist_free(struct curl_slist **list) { curl_slist_free_all(*list); }
#define cleanup_slist __attribute__((cleanup(slist_free)))

/* Also keeps curl from adding what we did not ask for: a request that is signed must go as it was signed, and
 * "Expect: 100-continue" would cost a second with servers that do not know it. */
static struct curl_slist *header_list(const char *const *headers)
{
    struct curl_slist *list = curl_slist_append(NULL, "Expect:");
    for (; list && headers && *headers; headers++) {
        struct curl_slist *longer = curl_slist_append(list, *headers);
        if (!longer)
            curl_slist_free_all(list);
        list = longer;
    }
    return list;
}

static bool set_body(CURL *c, const struct http_request *r)
{
    if (!r->body)
        return true;
    return curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body_size) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_POSTFIELDS, r->body) == CURLE_OK;
}

/* A folder of authorities that is the library's own would be trusted beside the file. */
static bool set_authorities(CURL *c, const struct http_request *r)
{
    const char *file = r->ca_file ? r->ca_file : ca_bundle();
    return !file || (curl_easy_setopt(c, CURLOPT_CAINFO, file) == CURLE_OK &&
                     curl_easy_setopt(c, CURLOPT_CAPATH, NULL) == CURLE_OK);
}

static bool set_times(CURL *c, const struct http_request *r)
{
    return curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, r->connect_ms ? r->connect_ms : CONNECT_MS) ==
               CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, r->total_ms ? r->total_ms : TOTAL_MS) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, r->stall_s ? 1L : 0L) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, r->stall_s) == CURLE_OK;
}

static bool set_up(CURL *c, const struct http_request *r, struct curl_slist *headers, char *why,
                   struct body *body, struct buffer *head)
{
    curl_easy_reset(c); /* keeps the connection */
    return headers && curl_easy_setopt(c, CURLOPT_URL, r->url) == CURLE_OK && set_body(c, r) &&
           curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L) == CURLE_OK && /* "." is a name here, not a place */
           /* else http_header() finds those of a proxy's "200 Connection established" */
           curl_easy_setopt(c, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L) == CURLE_OK && set_times(c, r) &&
           curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_NOBODY, strcmp(r->method, "HEAD") == 0 ? 1L : 0L) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, r->method) == CURLE_OK &&
           (r->proxy || curl_easy_setopt(c, CURLOPT_NOPROXY, "*") == CURLE_OK) && set_authorities(c, r) &&
           curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_WRITEDATA, body) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, take) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_HEADERDATA, head) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_ERRORBUFFER, why) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_TCP_KEEPALIVE, 1L) == CURLE_OK && /* a peer that is gone is noticed */
           curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
}

static CURLcode result_of(CURLM *multi)
{
    int left;
    for (CURLMsg *m; (m = curl_multi_info_read(multi, &left));)
        if (m->msg == CURLMSG_DONE)
            return m->data.result;
    return CURLE_FAILED_INIT;
}

/* curl's own time-outs end it, or `stop` within LOOK_MS. */
static CURLcode perform(struct http *h, const atomic_bool *stop)
{
    int running = 0;
    CURLcode rc = CURLE_OK;
    if (curl_multi_add_handle(h->multi, h->curl) != CURLM_OK)
        return CURLE_FAILED_INIT;
    do {
        if (stop && atomic_load(stop))
            rc = CURLE_ABORTED_BY_CALLBACK;
        else if (curl_multi_perform(h->multi, &running) != CURLM_OK ||
                 (running && curl_multi_poll(h->multi, NULL, 0, LOOK_MS, NULL) != CURLM_OK))
            rc = CURLE_FAILED_INIT;
    } while (rc == CURLE_OK && running);
    if (rc == CURLE_OK)
        rc = result_of(h->multi);
    (void)curl_multi_remove_handle(h->multi, h->curl); /* was added above */
    return rc;
}

static int code_of(CURLcode rc, bool full, bool refused)
{
    if (refused)
        return EIO;
    switch (rc) {
    case CURLE_ABORTED_BY_CALLBACK: return ECANCELED;
    case CURLE_OPERATION_TIMEDOUT: return ETIMEDOUT;
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST: return ECONNREFUSED;
    case CURLE_WRITE_ERROR: return full ? EFBIG : ENOMEM;
    case CURLE_OUT_OF_MEMORY: return ENOMEM;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE: return EKEYREJECTED;
    default: return EPROTO;
    }
}

static int failed(const struct http_request *r, CURLcode rc, bool full, bool refused, const char *why,
                  struct err *e)
{
    char text[700];
    int code = code_of(rc, full, refused);
    const char *said = code == ECANCELED ? "asked to stop"
                       : refused         ? "its reader gave up"
                       : code == EFBIG   ? "the reply is longer than any that makes sense"
                       : *why            ? why
                                         : curl_easy_strerror(rc);
    (void)snprintf(text, sizeof text, "%s %.300s: %.300s", r->method, r->url, said);
    (void)err_set(e, 0, text, NULL,
                  code == EKEYREJECTED ? "give the authority that signed its certificate; "
                                         "verification is never turned off"
                                       : NULL);
    if (e)
        e->code = code;
    return -1;
}

int http_do(struct http *h, const struct http_request *r, struct http_reply *reply, struct err *e)
{
    char why[CURL_ERROR_SIZE] = "";
    cleanup_slist struct curl_slist *headers = header_list(r->headers);
    __attribute__((cleanup(form_free))) struct form form = {.upload = r->upload};
    struct buffer head = {.max = HEADERS_MAX};
    struct body body = {.kept.max = r->reply_max ? r->reply_max : REPLY_MAX,
                        .curl = h->curl,
                        .write = r->write,
                        .arg = r->write_arg};
    *reply = (struct http_reply){0};
    CURLcode rc = CURLE_OUT_OF_MEMORY;
    if (set_up(h->curl, r, headers, why, &body, &head) && set_upload(h->curl, &form))
        rc = perform(h, r->stop);
    if (rc == CURLE_OK)
        rc = curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &reply->status);
    if (!body.kept.data && rc == CURLE_OK && !(body.kept.data = strdup("")))
        rc = CURLE_OUT_OF_MEMORY;
    *reply = (struct http_reply){
        .status = reply->status, .body = body.kept.data, .size = body.kept.n, .headers = head.data};
    if (rc == CURLE_OK)
        return 0;
    http_reply_free(reply);
    return failed(r, rc, body.kept.full || head.full, body.refused || form.refused, why, e);
}

void http_reply_free(struct http_reply *reply)
{
    free(reply->body);
    free(reply->headers);
    *reply = (struct http_reply){0};
}

bool http_header(const struct http_reply *reply, const char *name, char *out, size_t size)
{
    size_t n = strlen(name);
    for (const char *line = reply->headers; line && *line;
         line += strcspn(line, "\n") + (strchr(line, '\n') != NULL))
        if (strncasecmp(line, name, n) == 0 && line[n] == ':') {
            const char *value = line + n + 1 + strspn(line + n + 1, " \t");
            size_t length = strcspn(value, "\r\n");
            return (size_t)snprintf(out, size, "%.*s", (int)length, value) < size;
        }
    return false;
}
