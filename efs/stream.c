#include "efs/stream.h"
#include "common/cleanup.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

struct stream {
    char path[4096];
    bool compressed;
    uint64_t size, given;
    char sha256[65];
    int in, out, pull; /* the file, and the two ends of the pipe; `in` and `out` are the thread's */
    pthread_t thread;
    bool joined;
    int rc; /* below: the thread's, until it is joined */
    struct copy_result result;
    struct err why;
};

static void *decompress(void *arg)
{
    struct stream *s = arg;
    s->rc = copy_check(s->in, s->path, s->out, s->compressed, NULL, &s->result, &s->why);
    (void)close(s->out); /* a pipe has nothing to lose; the reader sees the end by it */
    (void)close(s->in);  /* only read from */
    return NULL;
}

struct stream *stream_open(const struct stream_source *source, struct err *e)
{
    struct stream *s = calloc(1, sizeof *s);
    int ends[2];
    if (!s)
        return (void)err_set(e, ENOMEM, "cannot read", source->path, NULL), NULL;
    (void)snprintf(s->path, sizeof s->path, "%s", source->path);
    (void)snprintf(s->sha256, sizeof s->sha256, "%s", source->sha256);
    s->compressed = source->compressed;
    s->size = source->size;
    s->in = open(source->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (s->in < 0) {
        (void)err_set(e, errno, "cannot open", source->path, NULL);
        return free(s), NULL;
    }
    if (pipe2(ends, O_CLOEXEC) != 0) {
        (void)err_set(e, errno, "cannot make a pipe for", source->path, NULL);
        (void)close(s->in);
        return free(s), NULL;
    }
    (void)fcntl(ends[1], F_SETPIPE_SZ, 1 << 20); /* fewer switches between the two; the default does, too */
    s->pull = ends[0];
    s->out = ends[1];
    int rc = pthread_create(&s->thread, NULL, decompress, s);
    if (rc == 0)
        return s;
    (void)err_set(e, rc, "cannot start a thread for", source->path, NULL);
    (void)close(ends[0]);
    (void)close(ends[1]);
    (void)close(s->in);
    return free(s), NULL;
}

/* All bytes are out: was it all, and all good? */
static int verdict(struct stream *s, struct err *e)
{
    char more;
    if (s->given == s->size && read(s->pull, &more, 1) > 0)
        return err_set(e, 0, "longer than its manifest says:", s->path, "run qdrant-efs verify");
    if (!s->joined && pthread_join(s->thread, NULL) == 0)
        s->joined = true;
    if (s->rc != 0)
        return e ? (*e = s->why, -1) : -1;
    if (s->result.size != s->size || strcmp(s->result.sha256, s->sha256) != 0)
        return err_set(e, 0, "bytes differ from the manifest's SHA-256:", s->path, "run qdrant-efs verify");
    return 0;
}

ssize_t stream_read(struct stream *s, void *buf, size_t n, struct err *e)
{
    ssize_t got;
    if (s->given == s->size)
        return verdict(s, e) == 0 ? 0 : -1;
    if (n > s->size - s->given)
        n = (size_t)(s->size - s->given);
    do
        got = read(s->pull, buf, n);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return err_set(e, errno, "cannot read", s->path, NULL);
    if (got == 0)
        return verdict(s, e) == 0
                   ? err_set(e, 0, "shorter than its manifest says:", s->path, "run qdrant-efs verify")
                   : -1;
    s->given += (uint64_t)got;
    return s->given < s->size || verdict(s, e) == 0 ? got : -1;
}

void stream_close(struct stream *s)
{
    if (!s)
        return;
    (void)close(s->pull); /* the thread's next write fails, and it ends */
    if (!s->joined)
        (void)pthread_join(s->thread, NULL); /* ours, and joinable */
    free(s);
}
