/* Log lines on stderr: one JSON object a line, or text with LOG_FORMAT=text. A thread of its own
 * writes from a bounded queue, since stderr is a pipe that the container's log driver may leave
 * full: then lines are dropped and counted, and no caller ever waits. */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H
enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
/* Level and format from LOG_LEVEL and LOG_FORMAT. 0, or -1 when a value is wrong. */
int log_open(const char *program);
/* Write out what is queued, for at most a second, and stop. */
void log_close(void);
/* `event` is a short stable word for machines; the rest is for people. */
void log_line(enum log_level level, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
#endif
