/* What the health check asks, and what its answers mean, as pure functions over plain data: no system call is
 * made here, so that tables in tests/unit/test_health.c can drive it through every case. The subcommand
 * around it is check, the sockets are ask. */
#ifndef ENTRYPOINT_HEALTH_H
#define ENTRYPOINT_HEALTH_H
#include "entrypoint/address.h"
#include "entrypoint/ask.h"
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HEALTH_GOOD = 0,
    HEALTH_BAD = 1,
    HEALTH_WITHIN_MS = 800, /* for the answers. Qdrant 1.18 thinks up to 500 ms before it answers /readyz
                               by 503 (READY_CHECK_TIMEOUT in its src/common/health.rs) */
    HEALTH_LINES_MAX = 3072 /* less than PIPE_BUF: a pipe takes it as a whole */
};

struct health_plan {
    struct address qdrant, replicator;
    bool qdrant_tls;      /* only whether it takes connections */
    bool ask_replicator;  /* else `why_not` says why */
    bool replicator_lost; /* it should be asked and cannot be */
    bool strict;          /* the replicator's troubles count */
    bool restore;         /* RESTORE_ON_EMPTY: an empty disk has to be restored before this is healthy */
    int64_t start_seconds;
    char marker[PATH_MAX]; /* the replicator's note of that on this disk; empty: it may be on EFS */
    char why_not[256];
};

/* A variable's value, or NULL: getenv, or a test's table. */
typedef const char *health_lookup(const char *name);
/* False: a setting is wrong, and `error` names it. What is wrong with a setting of the backups is not among
 * those: that must not make Qdrant unhealthy, and is said in the replicator's line. */
bool health_plan(struct health_plan *p, health_lookup *get, char *error, size_t size);
/* Whether the container's age can change the judgement. Only then /proc is looked at. */
bool health_wants_age(const struct health_plan *p, const struct ask *qdrant);
/* Writes a line for each, returns the exit code. `age`: the container's, in seconds; -1: not known. */
int health_judge(const struct health_plan *p, const struct ask *qdrant, const struct ask *replicator,
                 int64_t age, char *lines, size_t size);
/* The same for a restore at boot: whether the container's age, and whether what the marker says can change
 * the judgement. */
bool health_restore_wants_age(const struct health_plan *p, const struct ask *restored);
bool health_restore_wants_marker(const struct health_plan *p, const struct ask *restored);
/* Appends its line; false: unhealthy, whatever the rest is. `restored` is the replicator's answer to
 * /restored, `marker` the beginning of the marker, or NULL. */
bool health_judge_restore(const struct health_plan *p, const struct ask *restored, const char *marker,
                          int64_t age, char *lines, size_t size);
/* Field 22 of /proc/PID/stat, when that process started, in ticks since the machine did; -1 without one. */
int64_t health_start_ticks(const char *stat);
#endif
