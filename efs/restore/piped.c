#include "efs/restore/piped.h"
#include "common/base/files.h"
#include "common/base/thread.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

enum { PIPE = 1 << 20 };

static int put(void *to, const void *data, size_t n)
{
    const struct piped *p = to;
    return files_write_all(p->in, data, n, "a pipe", NULL);
}

/* Signals are for the one that waits; a pipe that nobody reads is EPIPE then. */
static void *run(void *arg)
{
    struct piped *p = arg;
    sigset_t all;
    (void)sigfillset(&all);                       /* cannot fail */
    (void)pthread_sigmask(SIG_BLOCK, &all, NULL); /* cannot fail with SIG_BLOCK */
    p->why = (struct err){0};
    p->rc = p->send(p->arg, put, p, &p->why);
    (void)close(p->in); /* a pipe keeps nothing back; its other end sees the end */
    return NULL;
}

static int open_pipe(void *arg, const struct backup *b, struct err *e)
{
    struct piped *p = arg;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return err_set(e, errno, "cannot read", b->data, NULL);
    (void)fcntl(ends[0], F_SETPIPE_SZ, PIPE); /* fewer turns; without it, more */
    p->in = ends[1];
    int rc = thread_start(&p->sender, p->thread, run, p);
    if (rc == 0)
        return ends[0];
    (void)close(ends[0]); /* nothing was written */
    (void)close(ends[1]);
    return err_set(e, rc, "cannot start a thread to read", b->data, NULL);
}

static int end_pipe(void *arg, struct err *e)
{
    struct piped *p = arg;
    (void)pthread_join(p->sender, NULL); /* it ends by itself: at its end, or at the pipe's */
    if (p->rc != 0 && e)
        *e = p->why;
    return p->rc;
}

struct restore_origin piped_origin(struct piped *p)
{
    return (struct restore_origin){open_pipe, end_pipe, p};
}
