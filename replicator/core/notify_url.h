/* NOTIFY_URL: where each good run is told, and each failure: a secret, since whoever has it can say that all
 * is well. By the convention of healthchecks.io a failure goes to the same address with /fail behind its
 * path. */
#ifndef REPLICATOR_CORE_NOTIFY_URL_H
#define REPLICATOR_CORE_NOTIFY_URL_H
#include <stdbool.h>
#include <stddef.h>

enum { NOTIFY_URL_MAX = 2048 };
/* http or https, with a host. Pure. */
bool notify_url_fits(const char *url);
/* The address for a failure. False when it does not fit, or is no such URL. Pure. */
bool notify_url_fail(const char *url, char out[NOTIFY_URL_MAX]);
/* Its host, for the log: the rest of it is the secret. Pure. */
void notify_url_host(const char *url, char *out, size_t size);
/* Of a file of one line; empty when there is none that fits. */
bool notify_url_read(const char *path, char out[NOTIFY_URL_MAX]);
#endif
