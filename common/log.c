#include "common/log.h"
#include <cjson/cJSON.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { QUEUE_MAX = 1024 };

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t more, empty;
    pthread_t thread;
    char *line[QUEUE_MAX];
    unsigned head, count, dropped;
    bool running, stop, text, busy;
    enum log_level level;
    const char *program;
} q = {.mutex = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER,
       .empty = PTHREAD_COND_INITIALIZER, .level = LOG_INFO, .program = "qdrant"};

static const char *const names[] = {"debug", "info", "warn", "error"};

static void write_all(const char *s)
{
    size_t left = strlen(s);
    while (left > 0) {
        ssize_t n = write(STDERR_FILENO, s, left);
        if (n <= 0)
            return; /* nobody reads: there is no other place to say so */
        s += n;
        left -= (size_t)n;
    }
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
        q.busy = true;
        (void)pthread_mutex_unlock(&q.mutex);
        write_all(line);
        free(line);
        (void)pthread_mutex_lock(&q.mutex);
        q.busy = false;
        if (q.count == 0)
            (void)pthread_cond_broadcast(&q.empty);
    }
    (void)pthread_mutex_unlock(&q.mutex);
    return NULL;
}

int log_open(const char *program)
{
    const char *level = getenv("LOG_LEVEL"), *format = getenv("LOG_FORMAT");
    int rc = 0;
    q.program = program;
    if (level && *level) {
        rc = -1;
        for (int i = 0; i < 4; i++)
            if (strcmp(level, names[i]) == 0) {
                q.level = (enum log_level)i;
                rc = 0;
            }
    }
    if (format && *format && strcmp(format, "json") != 0) {
        if (strcmp(format, "text") == 0)
            q.text = true;
        else
            rc = -1;
    }
    if (!q.running && pthread_create(&q.thread, NULL, writer, NULL) == 0)
        q.running = true;
    return rc;
}

void log_close(void)
{
    struct timespec end;
    if (!q.running)
        return;
    (void)clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += 1;
    (void)pthread_mutex_lock(&q.mutex);
    q.stop = true;
    (void)pthread_cond_signal(&q.more);
    int rc = 0;
    while ((q.count > 0 || q.busy) && rc == 0)
        rc = pthread_cond_timedwait(&q.empty, &q.mutex, &end);
    (void)pthread_mutex_unlock(&q.mutex);
    if (rc == 0 && pthread_join(q.thread, NULL) == 0)
        q.running = false;
}

static char *render(enum log_level level, const char *event, const char *message)
{
    char when[40];
    struct timespec now;
    struct tm tm;
    char *line = NULL;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (!gmtime_r(&now.tv_sec, &tm) || strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        return NULL;
    if (q.text) {
        if (asprintf(&line, "%s %-5s %s: %s\n", when, names[level], event, message) < 0)
            return NULL;
        return line;
    }
    cJSON *o = cJSON_CreateObject();
    if (o && cJSON_AddStringToObject(o, "time", when) && cJSON_AddStringToObject(o, "level", names[level]) &&
        cJSON_AddStringToObject(o, "program", q.program) && cJSON_AddStringToObject(o, "event", event) &&
        cJSON_AddStringToObject(o, "message", message)) {
        char *json = cJSON_PrintUnformatted(o);
        if (json && asprintf(&line, "%s\n", json) < 0)
            line = NULL;
        cJSON_free(json);
    }
    cJSON_Delete(o);
    return line;
}

void log_line(enum log_level level, const char *event, const char *fmt, ...)
{
    char message[2048];
    va_list ap;
    if (level < q.level)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    char *line = render(level, event, message);
    if (!line)
        return;
    (void)pthread_mutex_lock(&q.mutex);
    if (!q.running || q.stop) {
        (void)pthread_mutex_unlock(&q.mutex);
        write_all(line);
        free(line);
        return;
    }
    if (q.count == QUEUE_MAX) {
        q.dropped++;
        free(line);
    } else {
        q.line[(q.head + q.count++) % QUEUE_MAX] = line;
        (void)pthread_cond_signal(&q.more);
    }
    (void)pthread_mutex_unlock(&q.mutex);
}
