#include "entrypoint/health.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { START_SECONDS_MAX = 24 * 3600, VALUE_SHOWN = 100, BODY_SHOWN = 600 };

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

/* Empty counts as unset, as everywhere in the entrypoint. */
static const char *value(health_lookup *get, const char *name, const char *standard)
{
    const char *v = get(name);
    return v && *v ? v : standard;
}

/* What Qdrant takes for true (config-rs, Value::into_bool). Anything else that it takes is false, and with
 * what it does not take it does not start. */
static bool qdrant_true(const char *v)
{
    static const char *const words[] = {"1", "true", "on", "yes"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasecmp(v, words[i]) == 0)
            return true;
    return false;
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
    const char *given = value(get, "HEALTH_QDRANT", NULL);
    const char *host = value(get, "QDRANT__SERVICE__HOST", "0.0.0.0");
    const char *port = value(get, "QDRANT__SERVICE__HTTP_PORT", "6333");
    p->qdrant_tls = qdrant_true(value(get, "QDRANT__SERVICE__ENABLE_TLS", "false"));
    if (given)
        return plan_override(p, given, error, size);
    if (address_port(port) == 0)
        return wrong(error, size, "QDRANT__SERVICE__HTTP_PORT", port, "a number from 1 to 65535");
    if (address_make(&p->qdrant, host, address_port(port)))
        return true;
    return wrong(
        error, size, "QDRANT__SERVICE__HOST", host,
        "a number for the health check, or set HEALTH_QDRANT=host:port: no names are looked up here");
}

static void plan_replicator(struct health_plan *p, health_lookup *get)
{
    const char *listen = value(get, "STATUS_LISTEN", "127.0.0.1:6336");
    if (!value(get, "EFS_ROOT", NULL)) {
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

/* Whether `path` is `root` or in it, as text: a look could hang. */
static bool is_below(const char *path, const char *root)
{
    size_t n = strlen(root);
    while (n > 0 && root[n - 1] == '/')
        n--;
    return strncmp(path, root, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

/* Where the replicator has its marker: in SNAPSHOTS_DIR, as it reads that. */
static void plan_restore(struct health_plan *p, health_lookup *get)
{
    const char *root = value(get, "EFS_ROOT", NULL);
    const char *dir = value(get, "SNAPSHOTS_DIR", NULL);
    p->restore = root && strcmp(value(get, "RESTORE_ON_EMPTY", "never"), "never") != 0;
    if (!p->restore)
        return;
    if (!dir)
        dir = value(get, "QDRANT__STORAGE__SNAPSHOTS_PATH", "/qdrant/snapshots");
    int n =
        snprintf(p->marker, sizeof p->marker, "%s%s/.boot-restore.json", *dir == '/' ? "" : "/qdrant/", dir);
    if (n < 0 || (size_t)n >= sizeof p->marker || is_below(p->marker, root))
        p->marker[0] = '\0';
}

bool health_plan(struct health_plan *p, health_lookup *get, char *error, size_t size)
{
    const char *strict = value(get, "HEALTH_STRICT", "0");
    const char *start = value(get, "HEALTH_START_SECONDS", "0");
    char *end = NULL;
    *p = (struct health_plan){.strict = strcmp(strict, "1") == 0};
    if (!p->strict && strcmp(strict, "0") != 0)
        return wrong(error, size, "HEALTH_STRICT", strict, "0 or 1");
    p->start_seconds = strtol(start, &end, 10);
    if (*start < '0' || *start > '9' || *end || p->start_seconds > START_SECONDS_MAX)
        return wrong(error, size, "HEALTH_START_SECONDS", start, "a whole number from 0 to 86400");
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

static void add_body(struct lines *l, const struct ask *a)
{
    char shown[BODY_SHOWN];
    size_t n = 0;
    const char *body = ask_body(a, &n);
    while (body && n > 0 && strchr(" \t\r\n", body[n - 1]))
        n--; /* NUL, too, which strchr finds in every string */
    if (body && n > 0)
        add(l, ": %s", printable(body, n, shown, sizeof shown));
}

/* Why there is no answer that can be taken for good. */
static void add_trouble(struct lines *l, const struct ask *a)
{
    const char *at = a->at.text;
    long long ms = (long long)a->ms;
    switch (a->end) {
    case ASK_ANSWERED:
        add(l, "%s answered %d (%lld ms)", at, a->status, ms);
        add_body(l, a);
        return;
    case ASK_ACCEPTED: add(l, "%s accepts connections (%lld ms)", at, ms); return;
    case ASK_FAILED:
        if (a->error == ECONNREFUSED)
            add(l, "connection refused at %s", at);
        else
            add(l, "cannot ask %s: %s", at, strerror(a->error));
        return;
    case ASK_NO_PEER: add(l, "no connection to %s within %lld ms", at, ms); return;
    case ASK_SILENT: add(l, "no answer from %s within %lld ms", at, ms); return;
    case ASK_CLOSED: add(l, "%s closed the connection without an answer", at); return;
    case ASK_NOT_HTTP: add(l, "what %s answers is not HTTP", at); return;
    }
}

/* Qdrant 1.18 opens its port when its collections are loaded, and answers /readyz by 503 until it has caught
 * up with its cluster; once it was ready it stays so (its src/common/health.rs). Only these two look like a
 * start. Whoever hangs with its port open does not. */
static bool looks_like_a_start(const struct ask *qdrant)
{
    return (qdrant->end == ASK_FAILED && qdrant->error == ECONNREFUSED) ||
           (qdrant->end == ASK_ANSWERED && qdrant->status == 503);
}

bool health_wants_age(const struct health_plan *p, const struct ask *qdrant)
{
    return p->start_seconds > 0 && looks_like_a_start(qdrant);
}

static bool judge_qdrant(struct lines *l, const struct health_plan *p, const struct ask *a, int64_t age)
{
    bool starts = health_wants_age(p, a) && age >= 0 && age < p->start_seconds;
    if (a->end == ASK_ANSWERED && a->status == 200) {
        add(l, "qdrant: ready (%lld ms)\n", (long long)a->ms);
        return true;
    }
    add(l, "qdrant: %s", a->end == ASK_ACCEPTED ? "" : starts ? "starting: " : "not ready: ");
    add_trouble(l, a);
    if (a->end == ASK_ACCEPTED)
        add(l, "; it speaks TLS, so no more is checked");
    else if (a->end == ASK_CLOSED || a->end == ASK_NOT_HTTP)
        add(l, "; if it speaks TLS, set QDRANT__SERVICE__ENABLE_TLS=true");
    else if (health_wants_age(p, a) && age < 0)
        add(l, "; HEALTH_START_SECONDS is no help, /proc does not tell the container's age");
    else if (starts)
        add(l, "; for %lld s of HEALTH_START_SECONDS=%lld", (long long)age, (long long)p->start_seconds);
    add(l, "\n");
    return starts || a->end == ASK_ACCEPTED;
}

static bool judge_replicator(struct lines *l, const struct health_plan *p, const struct ask *a)
{
    if (!p->ask_replicator) {
        add(l, "replicator: %s\n", p->why_not);
        return !p->replicator_lost;
    }
    bool good = a->end == ASK_ANSWERED && a->status == 200;
    if (good) {
        add(l, "replicator: ok (%lld ms)", (long long)a->ms);
        add_body(l, a);
    } else {
        add(l, "replicator: %s", a->end == ASK_ANSWERED ? "failing: " : "no heartbeat: ");
        add_trouble(l, a);
    }
    add(l, "\n");
    return good;
}

int health_judge(const struct health_plan *p, const struct ask *qdrant, const struct ask *replicator,
                 int64_t age, char *lines, size_t size)
{
    struct lines l = {.text = lines, .size = size};
    bool good = judge_qdrant(&l, p, qdrant, age);
    bool replicates = judge_replicator(&l, p, replicator);
    return good && (replicates || !p->strict) ? HEALTH_GOOD : HEALTH_BAD;
}

static bool answered(const struct health_plan *p, const struct ask *restored)
{
    return p->ask_replicator && restored->end == ASK_ANSWERED;
}

static bool is_over(const struct health_plan *p, const struct ask *restored)
{
    return answered(p, restored) && restored->status == 200;
}

/* The replicator prints its JSON without blanks, and a quote inside a text there has a backslash before it.
 */
static bool has_failed(const struct ask *restored)
{
    static const char failed[] = "\"state\":\"failed\"";
    size_t n = 0;
    const char *body = ask_body(restored, &n);
    return body && memmem(body, n, failed, sizeof failed - 1);
}

bool health_restore_wants_marker(const struct health_plan *p, const struct ask *restored)
{
    return p->restore && p->marker[0] && !answered(p, restored);
}

bool health_restore_wants_age(const struct health_plan *p, const struct ask *restored)
{
    return p->restore && p->start_seconds > 0 && !is_over(p, restored) &&
           !(answered(p, restored) && has_failed(restored));
}

bool health_judge_restore(const struct health_plan *p, const struct ask *restored, const char *marker,
                          int64_t age, char *lines, size_t size)
{
    struct lines l = {.text = lines, .length = strlen(lines), .size = size};
    bool done = marker && strstr(marker, "\"state\":\"done\"");
    bool starts = health_restore_wants_age(p, restored) && age >= 0 && age < p->start_seconds;
    if (!p->restore)
        return true;
    if (is_over(p, restored))
        add(&l, "restore: not pending (%lld ms)", (long long)restored->ms);
    else if (!answered(p, restored) && done)
        add(&l, "restore: done, as its marker says; ");
    else
        add(&l, "restore: %s: ", starts ? "under way" : "not done");
    if (is_over(p, restored))
        add_body(&l, restored);
    else if (p->ask_replicator)
        add_trouble(&l, restored);
    else
        add(&l, "replicator %s", p->why_not);
    if (starts && !done)
        add(&l, "; for %lld s of HEALTH_START_SECONDS=%lld", (long long)age, (long long)p->start_seconds);
    add(&l, "\n");
    return is_over(p, restored) || (!answered(p, restored) && done) || starts;
}
