#include "entrypoint/health_command.h"
#include "entrypoint/http_probe.h"
#include "entrypoint/health_policy.h"
#include "entrypoint/supervise_policy.h"
#include "entrypoint/qdrant_files.h"
#include "entrypoint/settings.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { OUTPUT_WITHIN_MS = 100 };

static const char usage[] =
    "usage: qdrant-entrypoint health\n"
    "Asks Qdrant whether it is ready, and the replicator whether backups are well and an empty disk is "
    "restored.\n"
    "Exit code: 0 healthy, 1 unhealthy, 64 a wrong setting or argument.\n"
    "Settings, from the environment; see qdrant-entrypoint(8):\n";

bool health_command_is_meant(int argc, char **argv) { return argc > 1 && strcmp(argv[1], "health") == 0; }

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

static const char *look_up(const char *name) { return qdrant_files_value(name); }

static int wrong_use(const char *what)
{
    char line[HEALTH_LINES_MAX + 64];
    (void)snprintf(line, sizeof line, "qdrant-entrypoint health: %s\n", what);
    print(STDERR_FILENO, line);
    return EXIT_SETTING;
}

/* Where Qdrant listens, if only its files say so: half of the time is for that at most. */
static void ask_files(void)
{
    static const char *const enough[] = {"QDRANT__SERVICE__HOST", "QDRANT__SERVICE__HTTP_PORT",
                                         "QDRANT__SERVICE__ENABLE_TLS"};
    char program[PATH_MAX], text[HEALTH_LINES_MAX];
    struct health_plan plan;
    size_t n = 0;
    while (n < sizeof enough / sizeof *enough && getenv(enough[n]))
        n++;
    if (n == sizeof enough / sizeof *enough || getenv("HEALTH_QDRANT") ||
        !health_plan(&plan, look_up, text, sizeof text))
        return;
    settings_replicator(program, sizeof program);
    qdrant_files_note_init();
    if (qdrant_files_ask(program, (int)plan.within_ms / 2) != 0)
        print(STDERR_FILENO,
              "qdrant-entrypoint health: Qdrant's configuration files cannot be read; only its "
              "variables count\n");
}

static int64_t now_ms(void)
{
    struct timespec t = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail for this clock */
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int health_command_run(int argc, char **argv)
{
    struct health_plan plan;
    char text[HEALTH_LINES_MAX];
    if (argc == 3 && (strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0)) {
        char line[256];
        print(STDOUT_FILENO, usage);
        for (size_t i = 0; health_help(i, line, sizeof line); i++)
            print(STDOUT_FILENO, line);
        return HEALTH_GOOD;
    }
    if (argc > 2)
        return wrong_use("it takes no argument but --help");
    int64_t begun = now_ms();
    ask_files();
    if (!health_plan(&plan, look_up, text, sizeof text))
        return wrong_use(text);
    plan.within_ms -= now_ms() - begun;
    struct probe asks[PROBE_AT_ONCE] = {{.at = plan.qdrant, .path = plan.qdrant_tls ? NULL : "/readyz"},
                                        {.at = plan.replicator, .path = "/health"},
                                        {.at = plan.replicator, .path = "/restored"}};
    probe_all(asks, !plan.ask_replicator ? 1 : plan.restore ? 3 : 2, plan.within_ms);
    bool wants_age = health_wants_age(&plan, &asks[0]) || health_restore_wants_age(&plan, &asks[0], &asks[2]);
    int64_t age = wants_age ? container_age() : -1;
    int code = health_judge(&plan, &asks[0], &asks[1], age, text, sizeof text);
    switch (health_judge_restore(&plan, &asks[0], &asks[2], age, text, sizeof text)) {
    case HEALTH_RESTORE_OVER: break;
    case HEALTH_RESTORE_UNDER_WAY: code = HEALTH_GOOD; break;
    case HEALTH_RESTORE_BAD: code = HEALTH_BAD; break;
    }
    print(STDOUT_FILENO, text);
    return code;
}
