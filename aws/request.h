/* One signed request to a service of AWS, and its reply. Tried again, with a pause that grows, when the
 * network or the service fails in a way that passes; once more with new keys when the old ones are refused,
 * and once more by the service's clock when ours is wrong. What a reply means is its caller's to know. */
#ifndef AWS_REQUEST_H
#define AWS_REQUEST_H
#include "aws/credentials.h"
#include "aws/error.h"
#include "common/http.h"
#include <stdatomic.h>
#include <stdbool.h>

enum { AWS_TRIES = 3 };
struct aws_client; /* one thread at a time; keeps its connection */
struct aws_client_options {
    const char *ca_file;     /* see common/http.h */
    const atomic_bool *stop; /* must outlive the caller; may be NULL */
    unsigned patience_s;     /* no try may take longer, nor stand still so long; 0: what each call says */
};
/* `credentials` must outlive it. NULL without memory. */
struct aws_client *aws_client_new(struct credentials *credentials, const struct aws_client_options *o);
void aws_client_free(struct aws_client *c);

struct aws_call {
    const char *service, *region;
    const char *endpoint;       /* "https://host[:port]" */
    const char *method, *path;  /* `path` and `query` encoded; `query` without '?' */
    const char *query;          /* may be NULL */
    const char *const *headers; /* "Name: value", NULL behind them; all are signed */
    const void *body;
    size_t body_size;
    const char *body_sha256; /* hex; NULL: found out here */
    long total_ms, stall_s;  /* of one try; see common/http.h */
    size_t reply_max;
    int (*write)(void *arg, const void *data, size_t n); /* see common/http.h */
    void *write_arg;
    bool no_resend; /* a break of the connection is for the caller to mend */
    /* Finds the code and the message in a reply. */
    void (*explain)(const struct http_reply *reply, struct aws_error *f);
    bool error_in_200_body; /* ask it also about replies with status 200; a code there is a failure */
};
/* 0: the service did it. 1: it said no, `f` says why. -1: there was no answer, and `e` says why; codes as of
 * http_do. `reply` may hold a secret: its caller wipes and frees it. */
int aws_request(struct aws_client *c, const struct aws_call *call, struct http_reply *reply,
                struct aws_error *f, struct err *e);
/* For callers that try again by themselves: does the code of a failed call say that it may pass? And the
 * pause before repetition `try` (from 1); false when asked to stop. */
bool aws_may_pass(int code);
bool aws_pause(const struct aws_client *c, int try);
bool aws_stopped(const struct aws_client *c);
#endif
