/* A thread that waits on a hard NFS mount sleeps where only a signal that kills wakes it (TASK_KILLABLE,
 * Linux include/linux/sched.h): one that has a handler stays pending until the server answers, the second one
 * as well as the first, and its flag is never set. So all signals are blocked, and a thread of its own takes
 * them with sigwait(3). It touches no EFS, and its _exit kills the others. */
#include "efs/cli/cli.h"
#include "common/base/thread.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

static atomic_bool stop;
static sigset_t signals;
static void (*abandon_work)(void);

/* Until another one comes, or the time is over. */
static void give_time(void)
{
    struct timespec left = {.tv_sec = CMD_STOP_MS / 1000, .tv_nsec = CMD_STOP_MS % 1000 * 1000000L};
    while (sigtimedwait(&signals, NULL, &left) < 0 && errno == EINTR)
        ;
}

_Noreturn static void end(int number)
{
    if (abandon_work)
        abandon_work();
    cmd_complain("ended by signal %d; what it waited for does not answer", number);
    _exit(128 + number);
}

static void *wait_for_signals(void *arg)
{
    int number = 0;
    (void)arg;
    while (sigwait(&signals, &number) != 0)
        ;
    atomic_store(&stop, true);
    give_time();
    end(number);
}

const atomic_bool *cmd_catch_signals(bool hangup, void (*abandon)(void))
{
    pthread_t thread;
    abandon_work = abandon;
    (void)sigemptyset(&signals); /* these cannot fail with these numbers */
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGTERM);
    if (hangup)
        (void)sigaddset(&signals, SIGHUP);
    (void)signal(SIGPIPE, SIG_IGN); /* a pipe that is closed is an error like others */
    if (pthread_sigmask(SIG_BLOCK, &signals, NULL) == 0 &&
        thread_start(&thread, "signals", wait_for_signals, NULL) == 0)
        return (void)pthread_detach(thread), &stop;
    /* Without a thread they end us as they always do. */
    (void)pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
    return &stop;
}
