/* qdrant-entrypoint: PID 1 of the container. Starts Qdrant and the replicator, forwards signals, reaps,
 * restarts the replicator, ends with Qdrant's exit code. As `qdrant-entrypoint health` the container's health
 * check. libc only. qdrant-entrypoint(8) tells the rest. */
#include "entrypoint/answer.h"
#include "entrypoint/health_command.h"
#include "entrypoint/log.h"
#include "entrypoint/spawn.h"
#include "entrypoint/supervise.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* A descriptor of ours that landed on a missing 0, 1 or 2 would be taken for Qdrant's stdin or stderr. */
static void fill_std_fds(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        (void)close(fd); /* nothing was written */
}

int main(int argc, char **argv)
{
    static struct settings settings;
    static struct supervisor supervisor;
    fill_std_fds();
#ifndef __SANITIZE_ADDRESS__ /* the leak checker must be able to look */
    /* Keys are in our environment, and /proc/1/environ would show them. It is told below if it can be. */
    bool hidden = prctl(PR_SET_DUMPABLE, 0) == 0;
#else
    bool hidden = true;
#endif
    if (health_command_is_meant(argc, argv))
        return health_command_run(argc, argv);
    if (answer_is_meant(argc, argv))
        return answer_run(argc, argv);
    say_open();
    if (!hidden)
        say(SAY_WARN, "failed", "prctl PR_SET_DUMPABLE: %s", strerror(errno));
    settings_read(&settings, argc, argv);
    if (supervisor_open(&supervisor, &settings) != 0 || supervisor_start(&supervisor) != 0) {
        say(SAY_ERROR, "no_backups", "cannot supervise: %s; Qdrant runs alone and NO BACKUPS ARE MADE",
            strerror(errno));
        spawn_become(settings.qdrant_argv);
    }
    return supervisor_run(&supervisor);
}
