#include "entrypoint/check.h"
#include "entrypoint/ask.h"
#include "entrypoint/health.h"
#include "entrypoint/policy.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { OUTPUT_WITHIN_MS = 100, MARKER_WITHIN_MS = 100 };

static const char usage[] =
    "usage: qdrant-entrypoint health\n"
    "Asks Qdrant whether it is ready, and the replicator whether backups are well and an empty disk is "
    "restored.\n"
    "Exit code: 0 healthy, 1 unhealthy, 64 a wrong setting or argument. Settings: HEALTH_QDRANT,\n"
    "HEALTH_STRICT, HEALTH_START_SECONDS; see qdrant-entrypoint(8).\n";

bool check_is_meant(int argc, char **argv) { return argc > 1 && strcmp(argv[1], "health") == 0; }

/* Whoever does not read us, or left, does not change the exit code, and does not keep us waiting: poll says
 * that a pipe has room for PIPE_BUF bytes. */
static void print(int fd, const char *text)
{
    struct pollfd room = {.fd = fd, .events = POLLOUT};
    (void)signal(SIGPIPE, SIG_IGN); /* cannot fail for this signal */
    if (poll(&room, 1, OUTPUT_WITHIN_MS) == 1 && (room.revents & POLLOUT))
        (void)!write(fd, text, strlen(text)); /* there is nobody else to tell */
}

/* Seconds since process 1 of this container started; -1: /proc does not tell. Under pidMode task that is the
 * task's age. Both clocks count from the machine's start, with the time it slept (proc_pid_stat(5)). */
static int64_t container_age(void)
{
    char stat[1024];
    struct timespec now;
    long per_second = sysconf(_SC_CLK_TCK);
    int fd = open("/proc/1/stat", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, stat, sizeof stat - 1);
    if (fd >= 0)
        (void)close(fd); /* only read from */
    if (n <= 0 || per_second <= 0 || clock_gettime(CLOCK_BOOTTIME, &now) != 0)
        return -1;
    stat[n] = '\0';
    int64_t start = health_start_ticks(stat);
    return start < 0 ? -1 : (int64_t)now.tv_sec - start / per_second;
}

/* The beginning of the marker; NULL when there is none. SNAPSHOTS_DIR may be on a mount that hangs all the
 * same: then the alarm ends this program, which is a failed check, and in time. */
static const char *marker(const char *path, char *text, size_t size)
{
    const struct itimerval alarm = {.it_value = {.tv_usec = MARKER_WITHIN_MS * 1000}}, off = {0};
    (void)setitimer(ITIMER_REAL, &alarm, NULL); /* cannot fail with these values */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);
    if (fd >= 0)
        (void)close(fd); /* only read from */
    (void)setitimer(ITIMER_REAL, &off, NULL);
    if (n <= 0)
        return NULL;
    text[n] = '\0';
    return text;
}

static const char *look_up(const char *name) { return getenv(name); }

static int wrong_use(const char *what)
{
    char line[HEALTH_LINES_MAX + 64];
    (void)snprintf(line, sizeof line, "qdrant-entrypoint health: %s\n", what);
    print(STDERR_FILENO, line);
    return EXIT_SETTING;
}

int check_run(int argc, char **argv)
{
    struct health_plan plan;
    char text[HEALTH_LINES_MAX], head[128];
    if (argc == 3 && (strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0)) {
        print(STDOUT_FILENO, usage);
        return HEALTH_GOOD;
    }
    if (argc > 2)
        return wrong_use("it takes no argument but --help");
    if (!health_plan(&plan, look_up, text, sizeof text))
        return wrong_use(text);
    struct ask asks[ASK_AT_ONCE] = {{.at = plan.qdrant, .path = plan.qdrant_tls ? NULL : "/readyz"},
                                    {.at = plan.replicator, .path = "/health"},
                                    {.at = plan.replicator, .path = "/restored"}};
    ask_all(asks, !plan.ask_replicator ? 1 : plan.restore ? 3 : 2, HEALTH_WITHIN_MS);
    bool wants_age = health_wants_age(&plan, &asks[0]) || health_restore_wants_age(&plan, &asks[2]);
    int64_t age = wants_age ? container_age() : -1;
    int code = health_judge(&plan, &asks[0], &asks[1], age, text, sizeof text);
    const char *said =
        health_restore_wants_marker(&plan, &asks[2]) ? marker(plan.marker, head, sizeof head) : NULL;
    if (!health_judge_restore(&plan, &asks[2], said, age, text, sizeof text))
        code = HEALTH_BAD;
    print(STDOUT_FILENO, text);
    return code;
}
