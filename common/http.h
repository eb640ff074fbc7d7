/* One HTTP exchange, over libcurl: bounded in time and size, and never sent anywhere but to the host it is
 * for. Redirects are not followed, since a key would go along; proxies are used only where asked for. Blocks
 * its caller, and gives up soon after *stop is set. */
#ifndef COMMON_HTTP_H
#define COMMON_HTTP_H
#include "common/base/err.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A connection that is kept for the next request. One thread at a time. */
struct http;
struct http *http_new(void); /* NULL without memory. curl_global_init must have been called. */
void http_free(struct http *h);
static inline void http_freep(struct http **h) { http_free(*h); }
#define cleanup_http __attribute__((cleanup(http_freep)))

/* A form with one file, sent while it is read: never all of it in memory. */
struct http_upload {
    const char *field, *name; /* of the form; of the file */
    uint64_t size;
    /* Up to `n` more bytes, 0 at the end; -1: give up with EIO. The end comes after `size` bytes, or the
     * server never gets a whole request. */
    ssize_t (*read)(void *arg, void *out, size_t n);
    void *arg;
};
struct http_request {
    const char *method, *url;
    const char *const *headers; /* "Name: value" lines, the last one NULL; may be NULL */
    const void *body;           /* sent with its length; NULL for none */
    size_t body_size;
    const char *ca_file;       /* PEM file of the only authorities to trust; NULL: common/ca_bundle.h's */
    long connect_ms, total_ms; /* 0: 2 s, 30 s */
    size_t reply_max;          /* a longer body is an error; 0: 1 MiB */
    bool proxy;                /* obey HTTPS_PROXY and NO_PROXY */
    const atomic_bool *stop;   /* set: give up with ECANCELED; may be NULL */
    long stall_s;              /* give up when nothing moves for so long; 0: only total_ms counts */
    /* Takes the body of a 2xx reply piece by piece, of any size; other bodies go to reply->body as ever. Not
     * 0: give up with EIO. May be NULL. */
    int (*write)(void *arg, const void *data, size_t n);
    void *write_arg;
    const struct http_upload *upload; /* in place of `body`; may be NULL */
};
struct http_reply {
    long status;
    char *body; /* with a NUL behind it, "" when there is none */
    size_t size;
    char *headers; /* as they came, a line each */
};
/* 0 when there was a whole reply, whatever its status. Else -1, and `e` says what could not be reached and
 * why; its code is ECANCELED, ETIMEDOUT, ECONNREFUSED, EFBIG, EKEYREJECTED (the certificate), EIO (`write`,
 * `upload`) or EPROTO. */
int http_do(struct http *h, const struct http_request *r, struct http_reply *reply, struct err *e);
void http_reply_free(struct http_reply *reply);
#define cleanup_reply __attribute__((cleanup(http_reply_free)))
/* The value of a reply's header; false when there is none or it does not fit. */
bool http_header(const struct http_reply *reply, const char *name, char *out, size_t size);
#endif
