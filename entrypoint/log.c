#include "entrypoint/log.h"
#include "common/base/utc.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* How a line gets out without waiting. */
enum way {
    WAY_FILE,   /* a regular file: a plain write */
    WAY_OWN,    /* our own non-blocking description of the same pipe or terminal */
    WAY_SHARED, /* the description that Qdrant has too */
};

static struct {
    int fd;
    enum way way;
    enum say_level level;
    bool text;
    unsigned long lost;
} out = {.fd = STDERR_FILENO, .way = WAY_SHARED, .level = SAY_INFO};

static const char *const level_names[] = {"debug", "info", "warn", "error"};

/* A line in the making. Up to PIPE_BUF bytes go into a pipe as a whole or not at all (pipe(7)), and so do not
 * mix with Qdrant's lines. */
struct line {
    char text[PIPE_BUF];
    size_t length, room; /* `room` keeps back what the end needs */
};
#define ELLIPSIS "..."

static bool add(struct line *l, const char *bytes, size_t n)
{
    if (n > l->room - l->length)
        return false;
    memcpy(l->text + l->length, bytes, n);
    l->length += n;
    return true;
}

/* Length of the well-formed UTF-8 character at `s`, or minus the length of what is ill-formed there (Unicode,
 * table 3-7 and "maximal subpart"). The NUL at the end is no continuation byte and so stops it. */
static int character(const unsigned char *s)
{
    static const struct {
        unsigned char first, last, low, high, length; /* low and high bound the second byte */
    } forms[] = {
        {0x00, 0x7f, 0x00, 0x00, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (s[0] < forms[i].first || s[0] > forms[i].last)
            continue;
        for (int k = 1; k < forms[i].length; k++)
            if (s[k] < (k == 1 ? forms[i].low : 0x80) || s[k] > (k == 1 ? forms[i].high : 0xbf))
                return -k;
        return forms[i].length;
    }
    return -1;
}

/* `s` as the inside of a JSON string; as text the same without the escapes of quote and backslash. Control
 * characters are escaped in both: a value must not start a line or move the cursor of a terminal. */
static void add_escaped(struct line *l, const char *s)
{
    const unsigned char *p = (const unsigned char *)s;
    while (*p) {
        char code[8];
        int n = character(p);
        unsigned c = n == 2 ? (p[0] & 0x1fU) << 6 | (p[1] & 0x3fU) : n == 1 ? p[0] : 0xffff;
        bool fits = true;
        if (n < 0)
            fits = add(l, "\xef\xbf\xbd", 3);
        else if (c < 0x20 || (c >= 0x7f && c < 0xa0))
            fits = add(l, code, (size_t)snprintf(code, sizeof code, "\\u%04x", c));
        else if (!out.text && (c == '"' || c == '\\'))
            fits = add(l, c == '"' ? "\\\"" : "\\\\", 2);
        else
            fits = add(l, (const char *)p, (size_t)n);
        if (!fits) {
            l->room += strlen(ELLIPSIS);
            (void)add(l, ELLIPSIS, strlen(ELLIPSIS));
            return;
        }
        p += n < 0 ? -n : n;
    }
}

static void render(struct line *l, enum say_level level, const char *event, const char *message)
{
    static const char json_end[] = "\"}\n", text_end[] = "\n";
    const char *end = out.text ? text_end : json_end;
    char when[UTC_TEXT];
    utc_text(time(NULL), when);
    const char *head = out.text ? "%s %-5s %s: "
                                : "{\"time\":\"%s\",\"level\":\"%s\",\"program\":\"qdrant-entrypoint\","
                                  "\"event\":\"%s\",\"message\":\"";
    /* Time, level and event are ours and short. */
    l->length = (size_t)snprintf(l->text, sizeof l->text, head, when, level_names[level], event);
    l->room = sizeof l->text - strlen(end) - strlen(ELLIPSIS);
    add_escaped(l, message);
    l->room = sizeof l->text;
    (void)add(l, end, strlen(end));
}

static bool put(struct line *l)
{
    struct iovec v = {.iov_base = l->text, .iov_len = l->length};
    if (out.way == WAY_SHARED) {
        struct pollfd room = {.fd = out.fd, .events = POLLOUT};
        if (poll(&room, 1, 0) != 1 || !(room.revents & POLLOUT))
            return false;
        /* Qdrant may fill the pipe between poll and write. Linux 6.4 and later can be told not to wait. */
        ssize_t n = pwritev2(out.fd, &v, 1, -1, RWF_NOWAIT);
        if (n >= 0 || errno != EOPNOTSUPP)
            return n == (ssize_t)l->length;
    }
    return writev(out.fd, &v, 1) == (ssize_t)l->length;
}

void say(enum say_level level, const char *event, const char *format, ...)
{
    char message[PIPE_BUF];
    struct line l;
    va_list values;
    int kept = errno;
    if (level < out.level)
        return;
    if (out.lost > 0) {
        (void)snprintf(message, sizeof message, "%lu log lines were lost: nobody read stderr", out.lost);
        render(&l, SAY_WARN, "lines_lost", message);
        if (put(&l))
            out.lost = 0;
    }
    va_start(values, format);
    (void)vsnprintf(message, sizeof message, format, values);
    va_end(values);
    render(&l, level, event, message);
    if (!put(&l))
        out.lost++;
    errno = kept;
}

void say_in_child(void) { out.lost = 0; }

/* O_NONBLOCK belongs to the open file description, and Qdrant's stderr is the same one: setting it there
 * would make Qdrant's own writes fail. Opened once more by way of /proc we get a description of our own. A
 * regular file is not opened again, since it would be written from its start. Under another user than the
 * pipe's owner, and for a socket, the open fails. */
static void choose_way(void)
{
    struct stat st;
    if (fstat(STDERR_FILENO, &st) != 0)
        return;
    if (S_ISREG(st.st_mode))
        out.way = WAY_FILE;
    if (!S_ISFIFO(st.st_mode) && !S_ISCHR(st.st_mode))
        return;
    /* O_NOCTTY: as leader of a session PID 1 would make a terminal its own by opening it. */
    int own = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (own >= 0) {
        out.fd = own;
        out.way = WAY_OWN;
    }
}

void say_open(void)
{
    const char *level = getenv("LOG_LEVEL"), *format = getenv("LOG_FORMAT");
    bool level_known = !level || !*level, format_known = !format || !*format;
    choose_way();
    for (size_t i = 0; !level_known && i < sizeof level_names / sizeof *level_names; i++)
        if (strcmp(level, level_names[i]) == 0) {
            out.level = (enum say_level)i;
            level_known = true;
        }
    if (!format_known) {
        out.text = strcmp(format, "text") == 0;
        format_known = out.text || strcmp(format, "json") == 0;
    }
    if (!level_known)
        say(SAY_ERROR, "wrong_setting",
            "LOG_LEVEL=%.200s is not allowed; use debug, info, warn or error (info is used)", level);
    if (!format_known)
        say(SAY_ERROR, "wrong_setting", "LOG_FORMAT=%.200s is not allowed; use json or text (json is used)",
            format);
}
