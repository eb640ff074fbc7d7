#include "replicator/publish/stop_budget.h"
#include "common/log.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static long number(const char *name, long most)
{
    const char *said = getenv(name);
    char *end = NULL;
    long n = said && *said ? strtol(said, &end, 10) : -1;
    return n < 0 || n > most || *end ? -1 : n;
}

int stop_budget_fd(void)
{
    long n = number(STOP_BUDGET_WORD, 1 << 20);
    if (n < 3 || fcntl((int)n, F_SETFD, FD_CLOEXEC) != 0)
        return -1;
    return (int)n;
}

void stop_budget_say(int fd, enum stop_budget_word what)
{
    static const char *const words[] = {"snapshots\n", "snapshotted\n", "publishing\n"};
    if (fd >= 0 && write(fd, words[what], strlen(words[what])) < 0 && errno != EPIPE)
        log_line(LOG_WARN, "internal", "cannot tell the entrypoint what this stop needs: %s",
                 strerror(errno));
}

int64_t stop_budget_publishing(unsigned seconds)
{
    int64_t all = (int64_t)seconds * 1000;
    return all > STOP_BUDGET_OWN_MS ? all - STOP_BUDGET_OWN_MS : 0;
}

int64_t stop_budget_hold(void)
{
    long n = number(STOP_BUDGET_HOLD, 3600L * 1000);
    return n > 0 ? n : 0;
}
