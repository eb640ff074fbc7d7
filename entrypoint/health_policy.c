#include "entrypoint/health_policy.h"
#include "common/base/listens.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { START_SECONDS_MAX = 24 * 3600, TIMEOUT_SECONDS_MAX = 60, VALUE_SHOWN = 100, BODY_SHOWN = 600 };

/* Bytes from outside on one line of a terminal: white space as a blank, what else is no printable ASCII as
 * '?'. */
static const char *printable(const char *bytes, size_t n, char *out, size_t size)
{
    static const char more[] = "...";
    size_t length = n < size ? n : size - sizeof more;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)bytes[i];
        bool blank = c == '\t' || c == '\r' || c == '\n';
        out[i] = blank ? ' ' : '?';
        if (c >= 0x20 && c < 0x7f)
            out[i] = (char)c;
    }
    (void)snprintf(out + length, size - length, "%s", length < n ? more : "");
    return out;
}

static bool wrong(char *error, size_t size, const char *name, const char *value, const char *use)
{
    char shown[VALUE_SHOWN + 4];
    (void)snprintf(error, size, "%s=%s is not allowed; use %s", name,
                   printable(value, strlen(value), shown, sizeof shown), use);
    return false;
}

/* What --help prints and what counts when a variable is not set: the one place of these defaults. A text in
 * `words` is for people alone. */
static const struct row {
    const char *name, *help, *standard, *words;
} rows[] = {
    {"EFS_ROOT", "without it the replicator is not asked", "", "no backups"},
    {"STATUS_LISTEN", "where the replicator is asked; off", "127.0.0.1:6336", NULL},
    {"RESTORE_ON_EMPTY", "while that goes on the container is healthy", "never", NULL},
    {"HEALTH_QDRANT", "where Qdrant is asked: host:port, http:// or https://", "",
     "QDRANT__SERVICE__HOST and QDRANT__SERVICE__HTTP_PORT"},
    {"HEALTH_STRICT", "1: a replicator that fails or is gone makes the container unhealthy", "0", NULL},
    /* A machine whose CPUs are busy answers late: ECS would kill the task, and with it its disk. */
    {"HEALTH_TIMEOUT_SECONDS", "the check is over within so many seconds, 1 to 60", "10", NULL},
    {"HEALTH_START_SECONDS", "so long after its start the container is healthy with a Qdrant that starts",
     "0", NULL},
};

bool health_help(size_t i, char *line, size_t size)
{
    if (i >= sizeof rows / sizeof *rows)
        return false;
    (void)snprintf(line, size, "  %-26s %s (%s)\n", rows[i].name, rows[i].help,
                   rows[i].words ? rows[i].words : rows[i].standard);
    return true;
}

/* NULL: not set, and without a default. Empty counts as unset, as everywhere in the entrypoint. */
static const char *value(health_lookup *get, const char *name)
{
    const char *v = get(name);
    if (v && *v)
        return v;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].name, name) == 0)
            return *rows[i].standard ? rows[i].standard : NULL;
    return NULL;
}

/* host:port or http://host:port; https:// says that TLS is on, http:// that it is not, whatever Qdrant's
 * setting says: something in front of it may speak TLS or take it off. */
static bool plan_override(struct health_plan *p, const char *given, char *error, size_t size)
{
    static const char http[] = "http://", https[] = "https://";
    char copy[128];
    const char *rest = given;
    if (strncmp(given, http, sizeof http - 1) == 0) {
        rest += sizeof http - 1;
        p->qdrant_tls = false;
    } else if (strncmp(given, https, sizeof https - 1) == 0) {
        rest += sizeof https - 1;
        p->qdrant_tls = true;
    }
    size_t n = strlen(rest);
    if (rest != given && n > 0 && rest[n - 1] == '/')
        n--;
    if (n < sizeof copy) {
        memcpy(copy, rest, n);
        copy[n] = '\0';
        if (address_parse(&p->qdrant, copy))
            return true;
    }
    return wrong(error, size, "HEALTH_QDRANT", given,
                 "host:port or http://host:port, where the host is a number or localhost");
}

static bool plan_qdrant(struct health_plan *p, health_lookup *get, char *error, size_t size)
{
    const char *given = value(get, "HEALTH_QDRANT");
    struct listens at;
    listens_read(&at, get);
    p->qdrant_tls = at.tls;
    if (given)
        return plan_override(p, given, error, size);
    if (address_port(at.port) == 0)
        return wrong(error, size, "QDRANT__SERVICE__HTTP_PORT", at.port, "a number from 1 to 65535");
    if (address_make(&p->qdrant, at.host, address_port(at.port)))
        return true;
    return wrong(
        error, size, "QDRANT__SERVICE__HOST", at.host,
        "a number for the health check, or set HEALTH_QDRANT=host:port: no names are looked up here");
}

static void plan_replicator(struct health_plan *p, health_lookup *get)
{
    const char *listen = value(get, "STATUS_LISTEN");
    if (!value(get, "EFS_ROOT")) {
        (void)snprintf(p->why_not, sizeof p->why_not, "not asked: EFS_ROOT is not set, no backups are made");
    } else if (strcmp(listen, "off") == 0) {
        (void)snprintf(p->why_not, sizeof p->why_not, "not asked: STATUS_LISTEN is off");
    } else if (address_parse(&p->replicator, listen)) {
        p->ask_replicator = true;
    } else {
        char text[sizeof p->why_not - 32];
        (void)wrong(text, sizeof text, "STATUS_LISTEN", listen,
                    "host:port, where the host is a number or localhost");
        (void)snprintf(p->why_not, sizeof p->why_not, "cannot be asked: %s", text);
        p->replicator_lost = true;
    }
}

static void plan_restore(struct health_plan *p, health_lookup *get)
{
    p->restore = value(get, "EFS_ROOT") && strcmp(value(get, "RESTORE_ON_EMPTY"), "never") != 0;
}

/* A whole number without sign or blanks. */
static bool whole_number(const char *text, int64_t least, int64_t most, int64_t *out)
{
    char *end = NULL;
    *out = strtol(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && *out >= least && *out <= most;
}

bool health_plan(struct health_plan *p, health_lookup *get, char *error, size_t size)
{
    const char *strict = value(get, "HEALTH_STRICT");
    const char *start = value(get, "HEALTH_START_SECONDS");
    const char *timeout = value(get, "HEALTH_TIMEOUT_SECONDS");
    *p = (struct health_plan){.strict = strcmp(strict, "1") == 0};
    if (!p->strict && strcmp(strict, "0") != 0)
        return wrong(error, size, "HEALTH_STRICT", strict, "0 or 1");
    if (!whole_number(start, 0, START_SECONDS_MAX, &p->start_seconds))
        return wrong(error, size, "HEALTH_START_SECONDS", start, "a whole number from 0 to 86400");
    if (!whole_number(timeout, 1, TIMEOUT_SECONDS_MAX, &p->within_ms))
        return wrong(error, size, "HEALTH_TIMEOUT_SECONDS", timeout, "a whole number from 1 to 60");
    p->within_ms = p->within_ms * 1000 - HEALTH_OWN_MS;
    plan_replicator(p, get);
    plan_restore(p, get);
    return plan_qdrant(p, get, error, size);
}

int64_t health_start_ticks(const char *stat)
{
    /* "1 (name) S 0 …": the name may have anything in it, blanks and parentheses too. What follows the last
     * parenthesis begins with field 3. */
    const char *at = strrchr(stat, ')');
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    if (!at || at[1] < '0' || at[1] > '9')
        return -1;
    return strtoll(at + 1, NULL, 10);
}

/* The lines in the making. What does not fit is cut; all parts are bounded, so that all fit. */
struct lines {
    char *text;
    size_t length, size;
};

static void add(struct lines *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct lines *l, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    int n = vsnprintf(l->text + l->length, l->size - l->length, format, values);
    va_end(values);
    if (n > 0)
        l->length = (size_t)n < l->size - l->length ? l->length + (size_t)n : l->size - 1;
}

static void add_body(struct lines *l, const struct probe *a)
{
    char shown[BODY_SHOWN];
    size_t n = 0;
    const char *body = probe_body(a, &n);
    while (body && n > 0 && strchr(" \t\r\n", body[n - 1]))
        n--; /* NUL, too, which strchr finds in every string */
    if (body && n > 0)
        add(l, ": %s", printable(body, n, shown, sizeof shown));
}

/* Why there is no answer that can be taken for good. */
static void add_trouble(struct lines *l, const struct probe *a)
{
    const char *at = a->at.text;
    long long ms = (long long)a->ms;
    switch (a->end) {
    case PROBE_ANSWERED:
        add(l, "%s answered %d (%lld ms)", at, a->status, ms);
        add_body(l, a);
        return;
    case PROBE_ACCEPTED: add(l, "%s accepts connections (%lld ms)", at, ms); return;
    case PROBE_FAILED:
        if (a->error == ECONNREFUSED)
            add(l, "nothing listens at %s (connection refused)", at);
        else
            add(l, "cannot ask %s: %s", at, strerror(a->error));
        return;
    case PROBE_NO_PEER: add(l, "no connection to %s within %lld ms", at, ms); return;
    case PROBE_SILENT: add(l, "no answer from %s within %lld ms", at, ms); return;
    case PROBE_CLOSED: add(l, "%s closed the connection without an answer", at); return;
    case PROBE_NOT_HTTP: add(l, "what %s answers is not HTTP", at); return;
    }
}

/* Qdrant 1.18 opens its port when its collections are loaded, and answers /readyz by 503 until it has caught
 * up with its cluster; once it was ready it stays so (its src/common/health.rs). Only these two look like a
 * start. Whoever hangs with its port open does not. */
static bool looks_like_a_start(const struct probe *qdrant)
{
    return (qdrant->end == PROBE_FAILED && qdrant->error == ECONNREFUSED) ||
           (qdrant->end == PROBE_ANSWERED && qdrant->status == 503);
}

bool health_wants_age(const struct health_plan *p, const struct probe *qdrant)
{
    return p->start_seconds > 0 && looks_like_a_start(qdrant);
}

static bool judge_qdrant(struct lines *l, const struct health_plan *p, const struct probe *a, int64_t age)
{
    bool starts = health_wants_age(p, a) && age >= 0 && age < p->start_seconds;
    if (a->end == PROBE_ANSWERED && a->status == 200) {
        add(l, "qdrant: ready (%lld ms)\n", (long long)a->ms);
        return true;
    }
    add(l, "qdrant: %s", a->end == PROBE_ACCEPTED ? "" : starts ? "starting: " : "not ready: ");
    add_trouble(l, a);
    if (a->end == PROBE_ACCEPTED)
        add(l, "; it speaks TLS, so no more is checked");
    else if (a->end == PROBE_CLOSED || a->end == PROBE_NOT_HTTP)
        add(l, "; if it speaks TLS, set QDRANT__SERVICE__ENABLE_TLS=true");
    else if (health_wants_age(p, a) && age < 0)
        add(l, "; HEALTH_START_SECONDS is no help, /proc does not tell the container's age");
    else if (starts)
        add(l, "; for %lld s of HEALTH_START_SECONDS=%lld", (long long)age, (long long)p->start_seconds);
    add(l, "\n");
    return starts || a->end == PROBE_ACCEPTED;
}

static bool judge_replicator(struct lines *l, const struct health_plan *p, const struct probe *a)
{
    if (!p->ask_replicator) {
        add(l, "replicator: %s\n", p->why_not);
        return !p->replicator_lost;
    }
    bool good = a->end == PROBE_ANSWERED && a->status == 200;
    if (good) {
        add(l, "replicator: ok (%lld ms)", (long long)a->ms);
        add_body(l, a);
    } else {
        add(l, "replicator: %s", a->end == PROBE_ANSWERED ? "failing: " : "not answering: ");
        add_trouble(l, a);
        if (a->end != PROBE_ANSWERED)
            add(l, "; its lines in the container's log say whether it runs");
    }
    add(l, "\n");
    return good;
}

int health_judge(const struct health_plan *p, const struct probe *qdrant, const struct probe *replicator,
                 int64_t age, char *lines, size_t size)
{
    struct lines l = {.text = lines, .size = size};
    bool good = judge_qdrant(&l, p, qdrant, age);
    bool replicates = judge_replicator(&l, p, replicator);
    return good && (replicates || !p->strict) ? HEALTH_GOOD : HEALTH_BAD;
}

static bool answered(const struct health_plan *p, const struct probe *restored)
{
    return p->ask_replicator && restored->end == PROBE_ANSWERED;
}

static bool is_over(const struct health_plan *p, const struct probe *restored)
{
    return answered(p, restored) && restored->status == 200;
}

/* The replicator prints its JSON without blanks, and a quote inside a text there has a backslash before it.
 */
static bool says(const struct probe *restored, const char *what)
{
    size_t n = 0;
    const char *body = probe_body(restored, &n);
    return body && memmem(body, n, what, strlen(what));
}

static bool has_failed(const struct probe *restored) { return says(restored, "\"state\":\"failed\""); }
static bool progresses(const struct probe *restored) { return says(restored, "\"progressing\":true"); }

/* Qdrant runs only once its disk is whole: who sees it needs no word of the replicator. */
static bool is_in(const struct probe *qdrant)
{
    return qdrant->end == PROBE_ANSWERED || qdrant->end == PROBE_ACCEPTED;
}

bool health_restore_wants_age(const struct health_plan *p, const struct probe *qdrant,
                              const struct probe *restored)
{
    return p->restore && p->start_seconds > 0 && !is_over(p, restored) && !is_in(qdrant) &&
           !(answered(p, restored) && (has_failed(restored) || progresses(restored)));
}

enum health_restore health_judge_restore(const struct health_plan *p, const struct probe *qdrant,
                                         const struct probe *restored, int64_t age, char *lines, size_t size)
{
    struct lines l = {.text = lines, .length = strlen(lines), .size = size};
    bool starts = health_restore_wants_age(p, qdrant, restored) && age >= 0 && age < p->start_seconds;
    bool over = is_over(p, restored), let_in = !answered(p, restored) && is_in(qdrant);
    bool works = answered(p, restored) && progresses(restored);
    if (!p->restore)
        return HEALTH_RESTORE_OVER;
    if (over)
        add(&l, "restore: not pending (%lld ms)", (long long)restored->ms);
    else
        add(&l, "restore: %s: ",
            let_in            ? "over, Qdrant was let in"
            : works || starts ? "under way"
                              : "not done");
    if (over)
        add_body(&l, restored);
    else if (p->ask_replicator)
        add_trouble(&l, restored);
    else
        add(&l, "replicator %s", p->why_not);
    if (starts)
        add(&l, "; for %lld s of HEALTH_START_SECONDS=%lld", (long long)age, (long long)p->start_seconds);
    add(&l, "\n");
    return over || let_in    ? HEALTH_RESTORE_OVER
           : works || starts ? HEALTH_RESTORE_UNDER_WAY
                             : HEALTH_RESTORE_BAD;
}
