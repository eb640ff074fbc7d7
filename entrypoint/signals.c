#include "entrypoint/signals.h"
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/signalfd.h>

enum treatment { BY_DEFAULT, READ, IGNORED };

static enum treatment treatment(int sig)
{
    switch (sig) {
    case SIGTERM:
    case SIGINT:
    case SIGQUIT:
    case SIGHUP:
    case SIGUSR1:
    case SIGUSR2:
    case SIGCHLD: return READ;
    /* The kernel sends these when we did something wrong: going on would be worse than dying. */
    case SIGSEGV:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
    case SIGABRT:
    case SIGTRAP:
    case SIGSYS:
    /* Job control of a shell that we were started from. */
    case SIGTSTP:
    case SIGCONT: return BY_DEFAULT;
    default: return IGNORED;
    }
}

static void set(int sig, void (*to)(int))
{
    struct sigaction action = {.sa_handler = to};
    /* Fails for KILL and STOP, which cannot be changed, and for the two that libc keeps to itself. */
    (void)sigaction(sig, &action, NULL);
}

int signals_take(void)
{
    sigset_t read_set;
    (void)sigemptyset(&read_set); /* cannot fail on a valid set and signal */
    for (int sig = 1; sig <= SIGRTMAX; sig++) {
        if (treatment(sig) == READ)
            (void)sigaddset(&read_set, sig);
        /* CHLD must not be ignored, as some parents leave it: the kernel would then reap children by itself
         * and their exit codes would be lost (waitpid(2), NOTES). */
        set(sig, treatment(sig) == IGNORED ? SIG_IGN : SIG_DFL);
    }
    if (sigprocmask(SIG_SETMASK, &read_set, NULL) != 0)
        return -1;
    return signalfd(-1, &read_set, SFD_NONBLOCK | SFD_CLOEXEC);
}

void signals_give_back(void)
{
    sigset_t none;
    for (int sig = 1; sig <= SIGRTMAX; sig++)
        set(sig, SIG_DFL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL); /* cannot fail with a valid set */
}

const char *signals_name(int sig)
{
    const char *name = sigabbrev_np(sig);
    return name ? name : "unknown";
}
