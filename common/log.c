#include "common/log.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/text.h"
#include "common/base/thread.h"
#include "common/json.h"
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { QUEUE_MAX = 1024, MESSAGE_MAX = 2048, RECENT_MESSAGE = 1024 };

/* The globals of the program, as stderr is one: any thread may log, also before and after `running`. */
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t more;
    pthread_t thread;
    char *line[QUEUE_MAX];
    unsigned head, count, dropped;
    bool running, stop, text, busy;
    enum log_level level;
    const char *program;
} q = {.mutex = PTHREAD_MUTEX_INITIALIZER,
       .more = PTHREAD_COND_INITIALIZER,
       .level = LOG_INFO,
       .program = "qdrant"};

/* What went wrong lately. Has a mutex of its own, under which bytes are copied and nothing else is done. */
struct recent {
    enum log_level level;
    char when[40], event[64], collection[256], message[RECENT_MESSAGE];
};
static struct {
    pthread_mutex_t mutex;
    struct recent line[LOG_RECENT];
    unsigned next, count;
} recent = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static const char *const names[] = {"debug", "info", "warn", "error"};

bool log_level_parse(const char *text, enum log_level *out)
{
    for (int i = 0; i <= (int)LOG_ERROR; i++)
        if (strcmp(text, names[i]) == 0) {
            *out = (enum log_level)i;
            return true;
        }
    return false;
}

static void write_all(const char *s)
{
    size_t left = strlen(s);
    while (left > 0) {
        ssize_t n = write(STDERR_FILENO, s, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* nobody reads: there is no other place to say so */
        s += n;
        left -= (size_t)n;
    }
}

static char *as_text(const char *when, enum log_level level, const char *event, const char *message,
                     const cJSON *fields)
{
    char *line = NULL, *more = fields && fields->child ? cJSON_PrintUnformatted(fields) : NULL;
    int n = asprintf(&line, "%s %-5s %s: %s%s%s\n", when, names[level], event, message, more ? " " : "",
                     more ? more : "");
    cJSON_free(more);
    if (n < 0)
        return NULL;
    /* A name may hold a newline or an escape sequence, or turn around what is read. */
    size_t size = 4 * (size_t)n + 2;
    char *plain = malloc(size);
    line[n - 1] = 0;
    if (plain) {
        (void)text_printable(line, plain, size - 1);
        strcat(plain, "\n");
    }
    free(line);
    return plain;
}

static char *as_json(const char *when, enum log_level level, const char *event, const char *message,
                     cJSON *fields)
{
    char *line = NULL;
    cJSON *o = cJSON_CreateObject();
    if (o && cJSON_AddStringToObject(o, "time", when) && cJSON_AddStringToObject(o, "level", names[level]) &&
        cJSON_AddStringToObject(o, "program", q.program) && cJSON_AddStringToObject(o, "event", event) &&
        cJSON_AddStringToObject(o, "message", message)) {
        while (fields && fields->child) {
            cJSON *f = cJSON_DetachItemViaPointer(fields, fields->child);
            if (!cJSON_AddItemToObject(o, f->string, f))
                cJSON_Delete(f);
        }
        cleanup_json_text char *json = cJSON_PrintUnformatted(o);
        cleanup_free char *plain = json ? text_json(json) : NULL;
        if (plain && asprintf(&line, "%s\n", plain) < 0)
            line = NULL;
    }
    cJSON_Delete(o);
    return line;
}

static void remember(const char *when, enum log_level level, const char *event, const char *message,
                     const cJSON *fields)
{
    const char *collection = json_string(fields, "collection");
    (void)pthread_mutex_lock(&recent.mutex);
    struct recent *r = &recent.line[recent.next];
    recent.next = (recent.next + 1) % LOG_RECENT;
    recent.count += recent.count < LOG_RECENT;
    r->level = level;
    (void)snprintf(r->when, sizeof r->when, "%s", when);
    (void)snprintf(r->event, sizeof r->event, "%s", event);
    (void)snprintf(r->message, sizeof r->message, "%s", message);
    (void)snprintf(r->collection, sizeof r->collection, "%s", collection ? collection : "");
    (void)pthread_mutex_unlock(&recent.mutex);
}

static char *render(enum log_level level, const char *event, char *message, cJSON *fields)
{
    char when[UTC_TEXT];
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_REALTIME, &now); /* time() lags behind it by a tick */
    utc_text(now.tv_sec, when);
    text_make_utf8(message); /* cJSON passes bytes above 0x7f through: a line that is not UTF-8 is no JSON */
    for (cJSON *f = fields ? fields->child : NULL; f; f = f->next)
        if (cJSON_IsString(f))
            text_make_utf8(f->valuestring);
    if (level >= LOG_WARN)
        remember(when, level, event, message, fields);
    return q.text ? as_text(when, level, event, message, fields)
                  : as_json(when, level, event, message, fields);
}

/* With the mutex held, which is let go while writing. */
static void write_out_locked(char *line)
{
    q.busy = true;
    (void)pthread_mutex_unlock(&q.mutex);
    write_all(line);
    free(line);
    (void)pthread_mutex_lock(&q.mutex);
    q.busy = false;
}

static void *writer(void *arg)
{
    (void)arg;
    (void)pthread_mutex_lock(&q.mutex);
    for (;;) {
        while (q.count == 0 && !q.stop)
            (void)pthread_cond_wait(&q.more, &q.mutex);
        if (q.count == 0)
            break;
        char *line = q.line[q.head];
        q.head = (q.head + 1) % QUEUE_MAX;
        q.count--;
        write_out_locked(line);
        if (q.dropped > 0) {
            char text[96];
            (void)snprintf(text, sizeof text, "%u log lines were dropped: nobody read them in time",
                           q.dropped);
            q.dropped = 0;
            char *said = render(LOG_WARN, "log_dropped", text, NULL);
            if (said)
                write_out_locked(said);
        }
    }
    (void)pthread_mutex_unlock(&q.mutex);
    return NULL;
}

void log_open(const char *program, enum log_level level, bool text)
{
    q.program = program;
    q.level = level;
    q.text = text;
    if (!q.running && thread_start(&q.thread, "log", writer, NULL) == 0)
        q.running = true; /* without a thread, lines are written by their callers */
}

/* By the monotonic clock, and by looking: a stop is rare, and must not wait for a wall clock that was set
 * back. */
void log_close(void)
{
    int64_t end = clock_ms() + 1000;
    if (!q.running)
        return;
    (void)pthread_mutex_lock(&q.mutex);
    q.stop = true;
    (void)pthread_cond_signal(&q.more);
    bool left = q.count > 0 || q.busy;
    while (left && clock_ms() < end) {
        (void)pthread_mutex_unlock(&q.mutex);
        clock_sleep(2);
        (void)pthread_mutex_lock(&q.mutex);
        left = q.count > 0 || q.busy;
    }
    (void)pthread_mutex_unlock(&q.mutex);
    if (!left && pthread_join(q.thread, NULL) == 0)
        q.running = false;
}

static void put(char *line)
{
    (void)pthread_mutex_lock(&q.mutex);
    bool direct = !q.running && !q.stop;
    if (!direct && !q.stop && q.count < QUEUE_MAX) {
        q.line[(q.head + q.count++) % QUEUE_MAX] = line;
        line = NULL;
        (void)pthread_cond_signal(&q.more);
    } else if (!direct) {
        q.dropped++;
    }
    (void)pthread_mutex_unlock(&q.mutex);
    if (direct)
        write_all(line);
    free(line);
}

static void log_va(enum log_level level, const char *event, cJSON *fields, const char *fmt, va_list ap)
    __attribute__((format(printf, 4, 0)));
static void log_va(enum log_level level, const char *event, cJSON *fields, const char *fmt, va_list ap)
{
    char message[MESSAGE_MAX];
    if (level < q.level && level < LOG_WARN)
        return;
    (void)vsnprintf(message, sizeof message, fmt, ap);
    char *line = render(level, event, message, fields); /* which remembers it, also when it is not written */
    if (line && level >= q.level)
        put(line);
    else
        free(line);
}

void log_line(enum log_level level, const char *event, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    log_va(level, event, NULL, fmt, ap);
    va_end(ap);
}

void log_fields(enum log_level level, const char *event, cJSON *fields, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    log_va(level, event, fields, fmt, ap);
    va_end(ap);
    cJSON_Delete(fields);
}

static bool add_recent(cJSON *list, struct recent *r)
{
    cJSON *o = json_append_object(list);
    text_make_utf8(r->message); /* it may have been cut inside a character */
    text_make_utf8(r->collection);
    return o && cJSON_AddStringToObject(o, "time", r->when) &&
           cJSON_AddStringToObject(o, "level", names[r->level]) &&
           cJSON_AddStringToObject(o, "event", r->event) &&
           cJSON_AddStringToObject(o, "message", r->message) &&
           (!r->collection[0] || cJSON_AddStringToObject(o, "collection", r->collection));
}

cJSON *log_recent(void)
{
    unsigned n = 0;
    cleanup_free struct recent *copy =
        malloc(sizeof recent.line); /* so that JSON is made without the mutex */
    cJSON *list = cJSON_CreateArray();
    bool ok = copy && list;
    (void)pthread_mutex_lock(&recent.mutex);
    for (; ok && n < recent.count; n++)
        copy[n] = recent.line[(recent.next + 2 * LOG_RECENT - 1 - n) % LOG_RECENT];
    (void)pthread_mutex_unlock(&recent.mutex);
    for (unsigned i = 0; ok && i < n; i++)
        ok = add_recent(list, &copy[i]);
    if (!ok)
        cJSON_Delete(list);
    return ok ? list : NULL;
}
