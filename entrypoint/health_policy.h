/* What the health check asks, and what its answers mean, as pure functions over plain data: no system call is
 * made here, so that tables in tests/unit/entrypoint/test_health_policy.c can drive it through every case.
 * The subcommand around it is check, the sockets are ask. */
#ifndef ENTRYPOINT_HEALTH_POLICY_H
#define ENTRYPOINT_HEALTH_POLICY_H
#include "entrypoint/address.h"
#include "entrypoint/http_probe.h"
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HEALTH_GOOD = 0,
    HEALTH_BAD = 1,
    HEALTH_OWN_MS =
        200,                /* of HEALTH_TIMEOUT_SECONDS, for what is done before and after the questions; the
                               rest is for the answers. Qdrant 1.18 thinks up to 500 ms before it answers /readyz
                               by 503 (READY_CHECK_TIMEOUT in its src/common/health.rs), which fits into a second */
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
    int64_t within_ms; /* for the answers */
    char why_not[256];
};

/* For --help: the line of setting number `i`; false: there is none. */
bool health_help(size_t i, char *line, size_t size);
/* A variable's value, or NULL: getenv, or a test's table. */
typedef const char *health_lookup(const char *name);
/* False: a setting is wrong, and `error` names it. What is wrong with a setting of the backups is not among
 * those: that must not make Qdrant unhealthy, and is said in the replicator's line. */
bool health_plan(struct health_plan *p, health_lookup *get, char *error, size_t size);
/* Whether the container's age can change the judgement. Only then /proc is looked at. */
bool health_wants_age(const struct health_plan *p, const struct probe *qdrant);
/* Writes a line for each, returns the exit code. `age`: the container's, in seconds; -1: not known. */
int health_judge(const struct health_plan *p, const struct probe *qdrant, const struct probe *replicator,
                 int64_t age, char *lines, size_t size);
/* The same for a restore at boot, during which there is no Qdrant. */
bool health_restore_wants_age(const struct health_plan *p, const struct probe *qdrant,
                              const struct probe *restored);
enum health_restore {
    HEALTH_RESTORE_OVER,      /* the rest decides */
    HEALTH_RESTORE_UNDER_WAY, /* healthy, whatever the rest is: a task that is replaced would begin anew */
    HEALTH_RESTORE_BAD,       /* unhealthy, whatever the rest is */
};
/* Appends its line. `restored` is the replicator's answer to /restored. */
enum health_restore health_judge_restore(const struct health_plan *p, const struct probe *qdrant,
                                         const struct probe *restored, int64_t age, char *lines, size_t size);
/* Field 22 of /proc/PID/stat, when that process started, in ticks since the machine did; -1 without one. */
int64_t health_start_ticks(const char *stat);
#endif
