/* Log lines on stderr for a process that must never wait: one JSON object a line (time, level, program,
 * event, message), or text with LOG_FORMAT=text. Stderr is a pipe to the container's log driver, and a driver
 * in blocking mode that nobody serves leaves it full: then the line is lost, counted, and the count told with
 * the next line that gets through. No queue, no thread: whoever needs those uses common/log. */
#ifndef ENTRYPOINT_LOG_H
#define ENTRYPOINT_LOG_H

enum say_level { SAY_DEBUG, SAY_INFO, SAY_WARN, SAY_ERROR };

/* Level and format from LOG_LEVEL and LOG_FORMAT; a wrong value is said and the default used. */
void say_open(void);
/* `event` is a short stable word for machines; the rest is for people. Values from the environment may be in
 * any encoding: what is not UTF-8 comes out as U+FFFD. */
void say(enum say_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* In a forked child, which is not the one to tell how many lines its parent lost. */
void say_in_child(void);
#endif
