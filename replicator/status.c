#include "replicator/status.h"
#include "replicator/metrics.h"
#include "replicator/page.h"
#include <arpa/inet.h>
#include <cjson/cJSON.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CONNECTIONS = 32,
    IDLE_SECONDS = 10,
    CONNECTION_BYTES = 16384, /* for a request's headers and what is sent of the answer at a time */
    TEXT_MAX = 128,
};

struct status {
    struct ledger *ledger;
    struct MHD_Daemon *daemon;
    unsigned port;
    bool loopback;        /* then only a browser on this machine, or at the end of a tunnel, can ask */
    char bound[TEXT_MAX]; /* the address as a Host header has it, without the port */
    char policy[512];     /* of the page */
    struct MHD_Response *no_memory; /* made ahead: for when there is no memory to make one */
};

/* ---- where to listen ---- */

union address {
    struct sockaddr_storage room; /* first, so that {0} clears all of it */
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static int address_of(const char *listen, union address *out, socklen_t *length, struct err *e)
{
    static const char advice[] =
        "use ADDRESS:PORT, such as 127.0.0.1:6336 or [::1]:6336, with the address as numbers";
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};
    struct addrinfo *found = NULL;
    char host[TEXT_MAX];
    const char *colon = strrchr(listen, ':');
    size_t n = colon ? (size_t)(colon - listen) : 0;
    if (!colon || !colon[1] || strspn(colon + 1, "0123456789") != strlen(colon + 1) ||
        strlen(colon + 1) > 5 || strtoul(colon + 1, NULL, 10) > 65535 || n >= sizeof host)
        return err_set(e, 0, "no address to listen on:", listen, advice);
    memcpy(host, listen, n);
    host[n] = 0;
    bool bracketed = n > 2 && host[0] == '[' && host[n - 1] == ']';
    if (bracketed) {
        memmove(host, host + 1, n - 2);
        host[n - 2] = 0;
    }
    if (n == 0 || strcasecmp(host, "localhost") == 0)
        (void)strcpy(host, "127.0.0.1"); /* not what a resolver says, which may wait for DNS */
    if (bracketed != (strchr(host, ':') != NULL) || getaddrinfo(host, colon + 1, &hints, &found) != 0)
        return err_set(e, 0, "no address to listen on:", listen, advice);
    memcpy(out, found->ai_addr, found->ai_addrlen);
    *length = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

int status_check(const char *listen, struct err *e)
{
    union address address;
    socklen_t length;
    return address_of(listen, &address, &length, e);
}

/* What became of the address: the port, whether it is a loopback, how a Host header has it. */
static void note_address(struct status *s, const union address *a)
{
    char text[INET6_ADDRSTRLEN] = "";
    if (a->any.sa_family == AF_INET6) {
        s->port = ntohs(a->v6.sin6_port);
        s->loopback = IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr);
        (void)inet_ntop(AF_INET6, &a->v6.sin6_addr, text, sizeof text);
        (void)snprintf(s->bound, sizeof s->bound, "[%s]", text);
    } else {
        s->port = ntohs(a->v4.sin_port);
        s->loopback = ntohl(a->v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
        (void)inet_ntop(AF_INET, &a->v4.sin_addr, s->bound, sizeof s->bound);
    }
}

static int bind_to(struct status *s, int fd, union address *a, socklen_t length, const char *listen_at,
                   struct err *e)
{
    const int on = 1;
    /* Else a restarted task on the same machine would wait for old connections to time out. */
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, &a->any, length) != 0 || listen(fd, CONNECTIONS) != 0)
        return err_set(e, errno, "cannot listen on", listen_at,
                       errno == EADDRINUSE
                           ? "another process has this port: set STATUS_LISTEN to another, or to off"
                           : "there is no status page; set STATUS_LISTEN");
    length = sizeof *a;
    if (getsockname(fd, &a->any, &length) != 0)
        return err_set(e, errno, "cannot listen on", listen_at, "there is no status page");
    note_address(s, a);
    return 0;
}

/* A socket that listens, or -1. */
static int listen_on(struct status *s, const char *listen_at, struct err *e)
{
    union address a = {0};
    socklen_t length = 0;
    if (address_of(listen_at, &a, &length, e) != 0)
        return -1;
    int fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_set(e, errno, "cannot listen on", listen_at, "there is no status page");
    if (bind_to(s, fd, &a, length, listen_at, e) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

/* ---- answers ---- */

struct answer {
    unsigned status;
    const char *type, *allow; /* `allow` NULL: no such header */
    const char *text;
    size_t size;
    enum MHD_ResponseMemoryMode mode; /* MHD_RESPMEM_MUST_FREE: text is freed in any case */
};

static bool add_headers(const struct status *s, struct MHD_Response *r, const struct answer *a)
{
    bool page = strncmp(a->type, "text/html", 9) == 0;
    const char *const headers[][2] = {
        {MHD_HTTP_HEADER_CONTENT_TYPE, a->type},
        {MHD_HTTP_HEADER_CACHE_CONTROL, "no-store"},
        {"X-Content-Type-Options", "nosniff"},
        {"X-Frame-Options", "DENY"},
        {"Referrer-Policy", "no-referrer"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"Content-Security-Policy", page ? s->policy : "default-src 'none'; frame-ancestors 'none'"},
        {MHD_HTTP_HEADER_ALLOW, a->allow},
    };
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
        if (headers[i][1] && MHD_add_response_header(r, headers[i][0], headers[i][1]) != MHD_YES)
            return false;
    return true;
}

static enum MHD_Result no_memory(struct MHD_Connection *c, struct status *s)
{
    return MHD_queue_response(c, MHD_HTTP_INTERNAL_SERVER_ERROR, s->no_memory);
}

static enum MHD_Result send_answer(struct MHD_Connection *c, struct status *s, const struct answer *a)
{
    struct MHD_Response *r =
        a->text ? MHD_create_response_from_buffer(a->size, (void *)(uintptr_t)a->text, a->mode) : NULL;
    if (!r) {
        if (a->mode == MHD_RESPMEM_MUST_FREE)
            free((void *)(uintptr_t)a->text);
        return no_memory(c, s);
    }
    enum MHD_Result rc = add_headers(s, r, a) ? MHD_queue_response(c, a->status, r) : no_memory(c, s);
    MHD_destroy_response(r);
    return rc;
}

/* Takes ownership of `o`, which may be NULL. */
static enum MHD_Result send_json(struct MHD_Connection *c, struct status *s, unsigned status, cJSON *o)
{
    char *text = o ? cJSON_PrintUnformatted(o) : NULL; /* from malloc: no hooks are set */
    cJSON_Delete(o);
    const struct answer a = {.status = status,
                             .type = "application/json",
                             .text = text,
                             .size = text ? strlen(text) : 0,
                             .mode = MHD_RESPMEM_MUST_FREE};
    return send_answer(c, s, &a);
}

static enum MHD_Result send_error(struct MHD_Connection *c, struct status *s, unsigned status,
                                  const char *text)
{
    const struct answer a = {.status = status,
                             .type = "application/json",
                             .allow = status == MHD_HTTP_METHOD_NOT_ALLOWED ? "GET, HEAD" : NULL,
                             .text = text,
                             .size = strlen(text),
                             .mode = MHD_RESPMEM_PERSISTENT};
    return send_answer(c, s, &a);
}

static enum MHD_Result send_page(struct MHD_Connection *c, struct status *s)
{
    struct answer a = {
        .status = MHD_HTTP_OK, .type = "text/html; charset=utf-8", .mode = MHD_RESPMEM_PERSISTENT};
    a.text = page_html(&a.size);
    return send_answer(c, s, &a);
}

static enum MHD_Result send_metrics(struct MHD_Connection *c, struct status *s)
{
    struct answer a = {.status = MHD_HTTP_OK, .type = METRICS_TYPE, .mode = MHD_RESPMEM_MUST_FREE};
    cJSON *document = ledger_status(s->ledger, time(NULL));
    a.text = document ? metrics_print(document, &a.size) : NULL;
    cJSON_Delete(document);
    return send_answer(c, s, &a);
}

static enum MHD_Result send_health(struct MHD_Connection *c, struct status *s)
{
    cJSON *health = ledger_health(s->ledger, time(NULL));
    const char *status = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(health, "status"));
    bool ok = status && strcmp(status, "ok") == 0;
    return send_json(c, s, ok ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, health);
}

static enum MHD_Result send_restored(struct MHD_Connection *c, struct status *s)
{
    bool pending = true;
    cJSON *restored = ledger_restored(s->ledger, &pending);
    return send_json(c, s, pending ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_OK, restored);
}

static enum MHD_Result route(struct MHD_Connection *c, struct status *s, const char *path)
{
    if (strcmp(path, "/health") == 0)
        return send_health(c, s);
    if (strcmp(path, "/restored") == 0)
        return send_restored(c, s);
    if (strcmp(path, "/status") == 0)
        return send_json(c, s, MHD_HTTP_OK, ledger_status(s->ledger, time(NULL)));
    if (strcmp(path, "/metrics") == 0)
        return send_metrics(c, s);
    if (strcmp(path, "/") == 0)
        return send_page(c, s);
    return send_error(c, s, MHD_HTTP_NOT_FOUND,
                      "{\"error\":\"not found; there are /, /status, /metrics, /health and /restored\"}");
}

/* On the loopback, a page in a browser of this machine can ask only under a name of its own that it has made
 * to point here (DNS rebinding). The port does not matter: a tunnel has another one. */
static bool host_is_ours(const struct status *s, const char *host)
{
    const char *const names[] = {"localhost", "127.0.0.1", "[::1]", s->bound};
    if (!s->loopback || !host)
        return true; /* no Host header: not a browser */
    const char *end = *host == '[' ? strchr(host, ']') : strchr(host, ':');
    size_t n = !end ? strlen(host) : (size_t)(end - host) + (*host == '[');
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i]) == n && strncasecmp(names[i], host, n) == 0)
            return true;
    return false;
}

static enum MHD_Result answer(void *arg, struct MHD_Connection *c, const char *path, const char *method,
                              const char *version, const char *upload, size_t *upload_size, void **seen)
{
    static char once;
    struct status *s = arg;
    (void)version, (void)upload, (void)upload_size;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return send_error(c, s, MHD_HTTP_METHOD_NOT_ALLOWED, "{\"error\":\"only GET and HEAD\"}");
    if (!*seen) { /* libmicrohttpd calls first with the headers, then again when the request is complete */
        *seen = &once;
        return MHD_YES;
    }
    if (!host_is_ours(s, MHD_lookup_connection_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST)))
        return send_error(c, s, MHD_HTTP_MISDIRECTED_REQUEST,
                          "{\"error\":\"this Host is not served here; use localhost or 127.0.0.1\"}");
    return route(c, s, path);
}

/* ---- life ---- */

static int start(struct status *s, const char *listen_at, struct err *e)
{
    static const char sorry[] = "{\"error\":\"no memory\"}";
    if (!page_policy(s->policy, sizeof s->policy))
        return err_set(e, 0, "the status page cannot be served", NULL, NULL);
    s->no_memory =
        MHD_create_response_from_buffer(sizeof sorry - 1, (void *)(uintptr_t)sorry, MHD_RESPMEM_PERSISTENT);
    if (!s->no_memory)
        return err_set(e, ENOMEM, "the status page cannot be served", NULL, NULL);
    int fd = listen_on(s, listen_at, e);
    if (fd < 0)
        return -1;
    /* From here on libmicrohttpd closes the socket, also when it does not start. */
    s->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, answer, s, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)IDLE_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES, MHD_OPTION_END);
    if (!s->daemon)
        return err_set(e, errno, "the HTTP server does not start on", listen_at, "there is no status page");
    return 0;
}

struct status *status_start(const struct status_options *o, struct ledger *l, struct err *e)
{
    struct status *s = calloc(1, sizeof *s);
    if (!s) {
        (void)err_set(e, ENOMEM, "the status page cannot be served", NULL, NULL);
        return NULL;
    }
    s->ledger = l;
    if (start(s, o->listen, e) == 0)
        return s;
    status_stop(s);
    return NULL;
}

unsigned status_port(const struct status *s) { return s->port; }

void status_stop(struct status *s)
{
    if (!s)
        return;
    if (s->daemon)
        MHD_stop_daemon(s->daemon);
    if (s->no_memory)
        MHD_destroy_response(s->no_memory);
    free(s);
}
