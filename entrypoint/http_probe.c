#include "entrypoint/http_probe.h"
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { STATUS_LINE_MAX = 256 };

static int64_t now_ms(void)
{
    struct timespec t = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail with this clock */
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int probe_status(const char *reply, size_t n)
{
    static const char form[] = "HTTP/1.d ddd"; /* d: a digit (RFC 9112, 4) */
    enum { LENGTH = sizeof form - 1, CODE = LENGTH - 3 };
    for (size_t i = 0; i < n && i < LENGTH; i++)
        if (form[i] == 'd' ? reply[i] < '0' || reply[i] > '9' : reply[i] != form[i])
            return -1;
    if (n > LENGTH && reply[LENGTH] != ' ' && reply[LENGTH] != '\r' && reply[LENGTH] != '\n')
        return -1;
    if (!memchr(reply, '\n', n < STATUS_LINE_MAX ? n : STATUS_LINE_MAX))
        return n < STATUS_LINE_MAX ? 0 : -1;
    int code = (reply[CODE] - '0') * 100 + (reply[CODE + 1] - '0') * 10 + (reply[CODE + 2] - '0');
    return code < 100 ? -1 : code;
}

const char *probe_body(const struct probe *a, size_t *n)
{
    static const char end[] = "\r\n\r\n";
    const char *found = memmem(a->reply, a->length, end, sizeof end - 1);
    if (!found)
        return NULL;
    found += sizeof end - 1;
    *n = a->length - (size_t)(found - a->reply);
    return found;
}

/* `end` is how it went if no status line is there. With one, what happens to the rest does not matter. */
static void finish(struct probe *a, enum probe_end end, int error)
{
    a->end = a->status > 0 ? PROBE_ANSWERED : end;
    a->error = error;
    if (a->status <= 0)
        a->ms = now_ms() - a->begun;
    if (a->fd >= 0)
        (void)close(a->fd); /* nothing was promised on it */
    a->fd = -1;
    a->step = PROBE_OVER;
}

/* 0: connected, or on the way. */
static int dial(struct probe *a)
{
    a->fd = socket(a->at.to.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (a->fd < 0)
        return -1;
    return connect(a->fd, &a->at.to.any, a->at.length) == 0 || errno == EINPROGRESS ? 0 : -1;
}

static void begin(struct probe *a)
{
    a->begun = now_ms();
    a->step = PROBE_CONNECTING;
    int rc = dial(a);
    /* A container without IPv6, which is Docker's default, has no ::1; a server that listens on :: is there
     * all the same, for IPv4. */
    if (rc != 0 && a->at.dual && (errno == EADDRNOTAVAIL || errno == EAFNOSUPPORT || errno == ENETUNREACH)) {
        if (a->fd >= 0)
            (void)close(a->fd);
        (void)address_make(&a->at, "127.0.0.1", ntohs(a->at.to.v6.sin6_port)); /* is a number */
        rc = dial(a);
    }
    if (rc != 0)
        finish(a, PROBE_FAILED, errno);
}

static void connected(struct probe *a)
{
    char request[256];
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(a->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
        error = errno;
    if (error != 0 || !a->path) {
        finish(a, error != 0 ? PROBE_FAILED : PROBE_ACCEPTED, error);
        return;
    }
    int n = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n",
                     a->path, a->at.text);
    /* A fresh socket's buffer takes so little as a whole (tcp(7): 4 KiB at least). */
    ssize_t sent = send(a->fd, request, (size_t)n, MSG_NOSIGNAL);
    if (sent == n)
        a->step = PROBE_READING;
    else
        finish(a, PROBE_FAILED, sent < 0 ? errno : ENOBUFS);
}

static void take(struct probe *a)
{
    ssize_t n = recv(a->fd, a->reply + a->length, sizeof a->reply - a->length, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        finish(a, n < 0 ? PROBE_FAILED : PROBE_CLOSED, n < 0 ? errno : 0);
        return;
    }
    a->length += (size_t)n;
    if (a->status == 0) {
        a->status = probe_status(a->reply, a->length);
        a->ms = now_ms() - a->begun;
    }
    if (a->status < 0 || a->length == sizeof a->reply)
        finish(a, PROBE_NOT_HTTP, 0);
}

/* Waits for the next event of any. False: there is nothing to wait for any more. */
static bool turn(struct probe *asks, size_t n, int64_t until)
{
    struct pollfd fds[PROBE_AT_ONCE];
    bool open = false;
    int64_t left = until - now_ms();
    for (size_t i = 0; i < n; i++) {
        bool over = asks[i].step == PROBE_OVER;
        fds[i] = (struct pollfd){.fd = over ? -1 : asks[i].fd, /* poll passes over -1 */
                                 .events = asks[i].step == PROBE_CONNECTING ? POLLOUT : POLLIN};
        open = open || !over;
    }
    if (!open || left <= 0)
        return false;
    int ready = poll(fds, n, (int)left);
    for (size_t i = 0; i < n; i++) {
        if (asks[i].step == PROBE_OVER)
            continue;
        if (ready < 0 && errno != EINTR)
            finish(&asks[i], PROBE_FAILED, errno);
        else if (ready > 0 && fds[i].revents && asks[i].step == PROBE_CONNECTING)
            connected(&asks[i]);
        else if (ready > 0 && fds[i].revents)
            take(&asks[i]);
    }
    return true;
}

void probe_all(struct probe *asks, size_t n, int64_t within_ms)
{
    int64_t until = now_ms() + within_ms;
    for (size_t i = 0; i < n; i++)
        begin(&asks[i]);
    while (turn(asks, n, until))
        ;
    for (size_t i = 0; i < n; i++)
        if (asks[i].step != PROBE_OVER)
            finish(&asks[i], asks[i].step == PROBE_CONNECTING ? PROBE_NO_PEER : PROBE_SILENT, 0);
}
