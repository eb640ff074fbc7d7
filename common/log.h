/* Log lines on stderr: one JSON object a line, or text. A thread of its own writes from a bounded queue,
 * since stderr is a pipe that the container's log driver may leave full: then lines are dropped and
 * counted, and no caller ever waits. */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H
#include <stdbool.h>

struct cJSON;
enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* LOG_LEVEL's words: debug, info, warn, error. False on any other. */
bool log_level_parse(const char *text, enum log_level *out);
/* Start the writing thread. `program` must stay valid. */
void log_open(const char *program, enum log_level level, bool text);
/* Write out what is queued, for at most a second, and stop. Lines after it are dropped. */
void log_close(void);
/* `event` is a short stable word for machines; the rest is for people. */
void log_line(enum log_level level, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The same with members of its own, for queries over many lines. Takes ownership of `fields`, an object
 * (NULL: none, so that a caller without memory still gets its line out). */
void log_fields(enum log_level level, const char *event, struct cJSON *fields, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* The last LOG_RECENT lines of level warn and error, for whoever shows the state: an array of
 * {time, level, event, message, collection?}, newest first. They are kept whether or not stderr takes them.
 * Long messages are cut. Caller frees; NULL without memory. */
enum { LOG_RECENT = 50 };
struct cJSON *log_recent(void);
#endif
