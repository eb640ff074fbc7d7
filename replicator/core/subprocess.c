#include "replicator/core/subprocess.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/fds.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { LOOK_MS = 100, TERM_MS = 1000, PIECE = 65536 };
extern char **environ;

struct child {
    const struct subprocess_options *o;
    pid_t pid;
    int out, errors; /* our ends of its pipes */
    size_t n;
    bool ended, too_long, given_up;
    int64_t kill_at; /* 0: it was not told to end */
};

static bool is_one_of(const char *variable, const char *const *names)
{
    size_t n = strcspn(variable, "=");
    for (; *names; names++) {
        size_t k = strlen(*names);
        bool prefix = k > 0 && (*names)[k - 1] == '*';
        if (prefix ? strncmp(variable, *names, k - 1) == 0 : k == n && strncmp(variable, *names, n) == 0)
            return true;
    }
    return false;
}

char **subprocess_environment(const char *const *without, char *const *more)
{
    size_t all = 0, n = 0, added = 0;
    while (environ[all])
        all++;
    while (more[added])
        added++;
    char **out = calloc(all + added + 1, sizeof *out);
    if (!out)
        return NULL;
    for (size_t i = 0; i < all; i++)
        if (!is_one_of(environ[i], without))
            out[n++] = environ[i];
    memcpy(out + n, more, added * sizeof *out);
    return out;
}

/* "…/qdrant-efs" beside "…/qdrant-replicator"; its bare name when there is none. */
static void find(const char *program, char out[PATH_MAX])
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = 0;
    char *slash = strrchr(self, '/');
    if (slash && (size_t)snprintf(out, PATH_MAX, "%.*s/%s", (int)(slash - self), self, program) < PATH_MAX &&
        access(out, X_OK) == 0)
        return;
    (void)snprintf(out, PATH_MAX, "%s", program);
}

/* In the child of a process with threads: system calls alone. */
_Noreturn static void become(const struct subprocess_options *o, const char *path, int out, int errors,
                             pid_t parent)
{
    sigset_t none;
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    (void)sigemptyset(&none); /* cannot fail */
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) == 0 && getppid() == parent && setpgid(0, 0) == 0 && null >= 0 &&
        dup2(null, 0) == 0 && dup2(out, 1) == 1 && dup2(errors, 2) == 2 && fds_keep_std() == 0 &&
        sigprocmask(SIG_SETMASK, &none, NULL) == 0)
        (void)execvpe(path, o->argv, o->environment);
    _exit(127);
}

static int start(struct child *c, struct err *e)
{
    char path[PATH_MAX];
    int out[2], errors[2];
    pid_t parent = getpid();
    find(c->o->program, path);
    if (pipe2(out, O_CLOEXEC) != 0)
        return err_set(e, errno, "cannot start", path, NULL);
    if (pipe2(errors, O_CLOEXEC) != 0) {
        (void)close(out[0]); /* pipes that nothing was written to, here and below */
        (void)close(out[1]);
        return err_set(e, errno, "cannot start", path, NULL);
    }
    c->pid = fork();
    int why = errno;
    if (c->pid == 0)
        become(c->o, path, out[1], errors[1], parent);
    (void)close(out[1]);
    (void)close(errors[1]);
    c->out = out[0];
    c->errors = errors[0];
    return c->pid > 0 ? 0 : err_set(e, why, "cannot start", path, NULL);
}

/* False at its end. */
static bool read_output(struct child *c, struct subprocess_result *r)
{
    char *grown = realloc(r->output, c->n + PIECE + 1);
    if (!grown)
        return c->too_long = true, false;
    r->output = grown;
    ssize_t n = read(c->out, grown + c->n, PIECE);
    c->n += n > 0 ? (size_t)n : 0;
    grown[c->n] = 0;
    c->too_long = c->n > c->o->output_max;
    return (n > 0 || (n < 0 && errno == EINTR)) && !c->too_long;
}

static bool read_errors(const struct child *c, struct subprocess_result *r)
{
    char piece[512];
    ssize_t n = read(c->errors, piece, sizeof piece);
    size_t have = strlen(r->errors), room = sizeof r->errors - 1;
    if (n <= 0)
        return n < 0 && errno == EINTR;
    if (have + (size_t)n > room) { /* its end is what tells */
        size_t drop = have + (size_t)n - room;
        memmove(r->errors, r->errors + drop, have - drop + 1);
        have -= drop;
    }
    memcpy(r->errors + have, piece, (size_t)n);
    r->errors[have + (size_t)n] = 0;
    return true;
}

/* TERM when it is time, KILL a little later. */
static void hasten(struct child *c)
{
    int64_t now = clock_ms();
    c->given_up = c->given_up || (c->o->give_up && !c->kill_at && c->o->give_up(c->o->arg));
    bool due = now >= c->o->end || c->too_long || c->given_up || (c->o->stop && atomic_load(c->o->stop));
    if (due && !c->kill_at) {
        c->kill_at = now + TERM_MS;
        (void)kill(c->pid, SIGTERM); /* cannot fail: it is not reaped */
    } else if (c->kill_at && now >= c->kill_at)
        (void)kill(-c->pid, SIGKILL);
}

static void attend(struct child *c, struct subprocess_result *r)
{
    bool out = true, errors = true;
    while (!c->ended) {
        struct pollfd fds[] = {{.fd = out ? c->out : -1, .events = POLLIN},
                               {.fd = errors ? c->errors : -1, .events = POLLIN}};
        (void)poll(fds, 2, LOOK_MS); /* what fails is a look too early */
        if (out && fds[0].revents)
            out = read_output(c, r);
        if (errors && fds[1].revents)
            errors = read_errors(c, r);
        hasten(c);
        /* One that hangs in the kernel, on a mount, is left behind with its pipes. */
        bool left = c->kill_at && clock_ms() > c->kill_at + TERM_MS;
        c->ended = (!out && !errors) || left;
        if (!out && !errors)
            while (waitpid(c->pid, &r->status, WNOHANG) == 0 && !left) {
                clock_sleep(LOOK_MS / 10);
                hasten(c);
                left = c->kill_at && clock_ms() > c->kill_at + TERM_MS;
            }
        else if (left)
            (void)waitpid(c->pid, &r->status, WNOHANG);
    }
}

int subprocess_run(const struct subprocess_options *o, struct subprocess_result *out, struct err *e)
{
    struct child c = {.o = o, .out = -1, .errors = -1};
    *out = (struct subprocess_result){.output = calloc(1, 1)};
    if (!out->output)
        return err_set(e, ENOMEM, "cannot start", o->program, NULL);
    int rc = start(&c, e);
    if (rc == 0)
        attend(&c, out);
    cleanup_closep(&c.out);
    cleanup_closep(&c.errors);
    if (rc != 0)
        return -1;
    if (c.kill_at)
        return err_set(e,
                       o->stop && atomic_load(o->stop) ? ECANCELED
                       : c.too_long                    ? EFBIG
                       : c.given_up                    ? EBUSY
                                                       : ETIMEDOUT,
                       "had to end", o->program, NULL);
    return 0;
}
