/* The status document in Prometheus' text format, version 0.0.4. A pure function. Collections are labels: a
 * node has tens of them, hundreds at most. */
#ifndef REPLICATOR_STATUS_PROMETHEUS_H
#define REPLICATOR_STATUS_PROMETHEUS_H
#include <stddef.h>

struct cJSON;
#define PROMETHEUS_TYPE "text/plain; version=0.0.4; charset=utf-8"
/* Caller frees; NULL without memory. */
char *prometheus_write(const struct cJSON *status, size_t *size);
#endif
