#include "replicator/status/status_http.h"
#include "common/json.h"
#include "common/base/listens.h"
#include "common/base/clock.h"
#include "common/base/thread.h"
#include "common/log.h"
#include "replicator/status/connections.h"
#include "replicator/status/host_name.h"
#include "replicator/status/prometheus.h"
#include "replicator/status/page.h"
#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CONNECTIONS = 256,
    CROWDED =
        128, /* of whoever it be: from here on each new one costs the one that rests longest its place */
    FOR_THE_LOOPBACK = 64, /* the health check and its like: others do not get the last ones */
    OF_ONE_ADDRESS = 32,   /* not this machine's own */
    IDLE_SECONDS = 10,
    REQUEST_MS = 15000, /* bytes that drip are never idle */
    ANSWER_MS = 30000,
    LOOK_MS = 1000,
    CONNECTION_BYTES = 16384, /* for a request's headers and what is sent of the answer at a time */
    TEXT_MAX = 128,
};

struct status_http {
    struct status *status;
    struct MHD_Daemon *daemon;
    struct connections *connections;
    pthread_t thread;
    bool running;
    int wake_fd;
    atomic_bool leave;
    unsigned port;
    bool loopback;        /* then only a browser on this machine, or at the end of a tunnel, can ask */
    char bound[TEXT_MAX]; /* the address as a Host header has it, without the port */
    char policy[512];     /* of the page */
    char token[STATUS_TOKEN_MAX + 1];
    char node[TEXT_MAX * 2], hosts[STATUS_HOSTS_MAX];
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
    const char *port;
    if (!listens_split(listen, host, sizeof host, &port) ||
        !(listens_port(port) || strcmp(port, "0") == 0) || /* 0: any that is free */
        getaddrinfo(host, port, &hints, &found) != 0)
        return err_set(e, 0, "no address to listen on:", listen, advice);
    memcpy(out, found->ai_addr, found->ai_addrlen);
    *length = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

int status_http_check(const char *listen, struct err *e)
{
    union address address;
    socklen_t length;
    return address_of(listen, &address, &length, e);
}

/* What became of the address: the port, whether it is a loopback, how a Host header has it. */
static void note_address(struct status_http *s, const union address *a)
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

static int bind_to(struct status_http *s, int fd, union address *a, socklen_t length, const char *listen_at,
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
static int listen_on(struct status_http *s, const char *listen_at, struct err *e)
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
    const char *type, *allow, *ask; /* NULL: no such header */
    const char *text;
    size_t size;
    enum MHD_ResponseMemoryMode mode; /* MHD_RESPMEM_MUST_FREE: text is freed in any case */
};

static bool add_headers(const struct status_http *s, struct MHD_Response *r, const struct answer *a)
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
        {MHD_HTTP_HEADER_WWW_AUTHENTICATE, a->ask},
    };
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
        if (headers[i][1] && MHD_add_response_header(r, headers[i][0], headers[i][1]) != MHD_YES)
            return false;
    return true;
}

static enum MHD_Result no_memory(struct MHD_Connection *c, struct status_http *s)
{
    return MHD_queue_response(c, MHD_HTTP_INTERNAL_SERVER_ERROR, s->no_memory);
}

static enum MHD_Result send_answer(struct MHD_Connection *c, struct status_http *s, const struct answer *a)
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
static enum MHD_Result send_json(struct MHD_Connection *c, struct status_http *s, unsigned status, cJSON *o)
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

static enum MHD_Result send_error(struct MHD_Connection *c, struct status_http *s, unsigned status,
                                  const char *text)
{
    const struct answer a = {.status = status,
                             .type = "application/json",
                             .allow = status == MHD_HTTP_METHOD_NOT_ALLOWED ? "GET, HEAD" : NULL,
                             .ask = status == MHD_HTTP_UNAUTHORIZED ? "Basic realm=\"backups\"" : NULL,
                             .text = text,
                             .size = strlen(text),
                             .mode = MHD_RESPMEM_PERSISTENT};
    return send_answer(c, s, &a);
}

static enum MHD_Result send_page(struct MHD_Connection *c, struct status_http *s)
{
    struct answer a = {
        .status = MHD_HTTP_OK, .type = "text/html; charset=utf-8", .mode = MHD_RESPMEM_PERSISTENT};
    a.text = page_html(&a.size);
    return send_answer(c, s, &a);
}

static enum MHD_Result send_metrics(struct MHD_Connection *c, struct status_http *s)
{
    struct answer a = {.status = MHD_HTTP_OK, .type = PROMETHEUS_TYPE, .mode = MHD_RESPMEM_MUST_FREE};
    cJSON *document = status_document(s->status, time(NULL));
    a.text = document ? prometheus_write(document, &a.size) : NULL;
    cJSON_Delete(document);
    return send_answer(c, s, &a);
}

static bool is_well(const cJSON *health)
{
    return json_says(health, "status", "ok") || json_says(health, "status", "degraded");
}

static enum MHD_Result send_health(struct MHD_Connection *c, struct status_http *s)
{
    cJSON *health = status_health(s->status, time(NULL));
    return send_json(c, s, is_well(health) ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, health);
}

static enum MHD_Result send_restored(struct MHD_Connection *c, struct status_http *s)
{
    bool pending = true;
    cJSON *restored = status_restored(s->status, time(NULL), &pending);
    return send_json(c, s, pending ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_OK, restored);
}

static enum MHD_Result route(struct MHD_Connection *c, struct status_http *s, const char *path)
{
    if (strcmp(path, "/health") == 0)
        return send_health(c, s);
    if (strcmp(path, "/restored") == 0)
        return send_restored(c, s);
    if (strcmp(path, "/status") == 0)
        return send_json(c, s, MHD_HTTP_OK, status_document(s->status, time(NULL)));
    if (strcmp(path, "/metrics") == 0)
        return send_metrics(c, s);
    if (strcmp(path, "/") == 0)
        return send_page(c, s);
    return send_error(c, s, MHD_HTTP_NOT_FOUND,
                      "{\"error\":\"not found; there are /, /status, /metrics, /health and /restored\"}");
}

/* The port does not matter: a tunnel has another one. */
static bool host_is_ours(const struct status_http *s, struct MHD_Connection *c)
{
    const char *host = MHD_lookup_connection_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST);
    const struct host_names names = {
        .loopback = s->loopback, .bound = s->bound, .node = s->node, .more = s->hosts};
    return !host || host_name_is_ours(&names, host); /* no Host header: not a browser */
}

/* ---- the token ---- */

static bool is_token(const struct status_http *s, const char *given)
{
    size_t n = strlen(s->token);
    return strlen(given) == n && CRYPTO_memcmp(given, s->token, n) == 0;
}

/* "user:password" in base64. */
static bool is_password(const struct status_http *s, const char *encoded)
{
    unsigned char text[2 * STATUS_TOKEN_MAX];
    size_t n = strlen(encoded);
    if (n % 4 != 0 || n / 4 * 3 >= sizeof text)
        return false;
    int length = EVP_DecodeBlock(text, (const unsigned char *)encoded, (int)n);
    text[length > 0 ? length : 0] = 0; /* padding is NUL bytes */
    const char *colon = strchr((const char *)text, ':');
    bool good = length > 0 && colon && is_token(s, colon + 1);
    OPENSSL_cleanse(text, sizeof text);
    return good;
}

static bool has_token(const struct status_http *s, struct MHD_Connection *c)
{
    const char *said = MHD_lookup_connection_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_AUTHORIZATION);
    if (!s->token[0])
        return false;
    if (said && strncasecmp(said, "Bearer ", 7) == 0)
        return is_token(s, said + 7);
    return said && strncasecmp(said, "Basic ", 6) == 0 && is_password(s, said + 6);
}

static bool may_ask(const struct status_http *s, struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    return !s->token[0] || (info && info->client_addr && connections_local(info->client_addr)) ||
           has_token(s, c);
}

/* A load balancer has no token, and wants no more than the code. */
static enum MHD_Result refuse(struct MHD_Connection *c, struct status_http *s, const char *path)
{
    static const char why[] = "{\"error\":\"the rest is for who has the token of STATUS_TOKEN_FILE\"}";
    bool pending = false;
    cJSON *said = NULL;
    unsigned code = MHD_HTTP_UNAUTHORIZED;
    if (strcmp(path, "/health") == 0) {
        said = status_health(s->status, time(NULL));
        code = is_well(said) ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
    } else if (strcmp(path, "/restored") == 0) {
        said = status_restored(s->status, time(NULL), &pending);
        code = pending ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_OK;
    }
    cJSON_Delete(said);
    return send_error(c, s, code, why);
}

static enum MHD_Result answer(void *arg, struct MHD_Connection *c, const char *path, const char *method,
                              const char *version, const char *upload, size_t *upload_size, void **seen)
{
    static char once;
    struct status_http *s = arg;
    (void)version, (void)upload, (void)upload_size;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return send_error(c, s, MHD_HTTP_METHOD_NOT_ALLOWED, "{\"error\":\"only GET and HEAD\"}");
    if (!*seen) { /* libmicrohttpd calls first with the headers, then again when the request is complete */
        *seen = &once;
        return MHD_YES;
    }
    connections_asked(c);
    /* No page makes a browser send the token under the page's own name. */
    if (!host_is_ours(s, c) && !has_token(s, c))
        return send_error(
            c, s, MHD_HTTP_MISDIRECTED_REQUEST,
            "{\"error\":\"this Host is not served here; use an address, or set STATUS_HOSTS\"}");
    return may_ask(s, c) ? route(c, s, path) : refuse(c, s, path);
}

/* ---- life ---- */

/* Many slow connections from outside must not silence /health and /restored for this machine. */
static enum MHD_Result let_in(void *arg, const struct sockaddr *from, socklen_t length)
{
    struct status_http *s = arg;
    (void)length;
    const union MHD_DaemonInfo *info =
        s->daemon ? MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS) : NULL;
    return !info || connections_local(from) || info->num_connections < CONNECTIONS - FOR_THE_LOOPBACK
               ? MHD_YES
               : MHD_NO;
}

/* Until libmicrohttpd or connections_look have something to do. */
static int wait_ms(struct status_http *s, bool open)
{
    MHD_UNSIGNED_LONG_LONG timeout = 0;
    int most = open ? LOOK_MS : -1;
    if (MHD_get_timeout(s->daemon, &timeout) != MHD_YES)
        return most;
    return timeout < (unsigned)LOOK_MS ? (int)timeout : most < 0 ? LOOK_MS : most;
}

/* A thread of our own in place of libmicrohttpd's: that one calls nobody by the clock. */
static void *serve(void *arg)
{
    struct status_http *s = arg;
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    struct pollfd fds[] = {{.fd = info ? info->epoll_fd : -1, .events = POLLIN},
                           {.fd = s->wake_fd, .events = POLLIN}};
    bool open = false;
    while (!atomic_load(&s->leave)) {
        if (poll(fds, 2, wait_ms(s, open)) < 0 && errno != EINTR) {
            log_line(LOG_ERROR, "internal", "poll: %s", strerror(errno));
            clock_sleep(LOOK_MS);
        }
        (void)MHD_run(s->daemon); /* fails for none that runs alone */
        open = connections_look(s->connections);
    }
    return NULL;
}

static int start(struct status_http *s, const char *listen_at, struct err *e)
{
    static const char sorry[] = "{\"error\":\"no memory\"}";
    if (!page_policy(s->policy, sizeof s->policy))
        return err_set(e, 0, "the status page cannot be served", NULL, NULL);
    s->no_memory =
        MHD_create_response_from_buffer(sizeof sorry - 1, (void *)(uintptr_t)sorry, MHD_RESPMEM_PERSISTENT);
    if (!s->no_memory)
        return err_set(e, ENOMEM, "the status page cannot be served", NULL, NULL);
    const struct connections_limits limits = {.crowded = CROWDED,
                                              .of_one_address = OF_ONE_ADDRESS,
                                              .request_ms = REQUEST_MS,
                                              .answer_ms = ANSWER_MS};
    s->connections = connections_new(&limits);
    if (!s->connections)
        return err_set(e, ENOMEM, "the status page cannot be served", NULL, NULL);
    int fd = listen_on(s, listen_at, e);
    if (fd < 0)
        return -1;
    /* From here on libmicrohttpd closes the socket, also when it does not start. */
    s->daemon = MHD_start_daemon(
        MHD_USE_EPOLL, 0, let_in, s, answer, s, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)CONNECTIONS, MHD_OPTION_NOTIFY_CONNECTION, connections_notify, s->connections,
        MHD_OPTION_NOTIFY_COMPLETED, connections_completed, s->connections, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)IDLE_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES, MHD_OPTION_END);
    s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int why = s->daemon && s->wake_fd >= 0 ? thread_start(&s->thread, "status-http", serve, s) : errno;
    s->running = why == 0;
    if (!s->running)
        return err_set(e, why, "the HTTP server does not start on", listen_at, "there is no status page");
    return 0;
}

struct status_http *status_http_start(const struct status_http_options *o, struct status *l, struct err *e)
{
    struct status_http *s = calloc(1, sizeof *s);
    if (!s) {
        (void)err_set(e, ENOMEM, "the status page cannot be served", NULL, NULL);
        return NULL;
    }
    s->status = l;
    s->wake_fd = -1;
    (void)snprintf(s->token, sizeof s->token, "%s", o->token ? o->token : "");
    (void)snprintf(s->node, sizeof s->node, "%s", o->node ? o->node : "");
    (void)snprintf(s->hosts, sizeof s->hosts, "%s", o->hosts ? o->hosts : "");
    if (start(s, o->listen, e) == 0)
        return s;
    status_http_stop(s);
    return NULL;
}

unsigned status_http_port(const struct status_http *s) { return s->port; }

void status_http_stop(struct status_http *s)
{
    if (!s)
        return;
    atomic_store(&s->leave, true);
    if (s->running && eventfd_write(s->wake_fd, 1) == 0)
        (void)pthread_join(s->thread, NULL); /* it waits for nothing else */
    if (s->wake_fd >= 0)
        (void)close(s->wake_fd); /* nothing was written */
    if (s->daemon)
        MHD_stop_daemon(s->daemon);
    if (s->no_memory)
        MHD_destroy_response(s->no_memory);
    connections_free(s->connections);
    OPENSSL_cleanse(s, sizeof *s);
    free(s);
}
