#include "efs/data/copy.h"
#include "common/base/cleanup.h"
#include "common/base/files.h"
#include "efs/data/hasher.h"
#include "efs/data/sink.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <zstd.h>

enum { CHUNK = 1 << 20 };

static ssize_t read_some(int fd, void *buf, size_t most)
{
    ssize_t n;
    do
        n = read(fd, buf, most);
    while (n < 0 && errno == EINTR);
    return n;
}

/* The state of one copy. */
struct pipe {
    ZSTD_CCtx *zstd;         /* NULL: stored as is */
    struct hasher *original; /* `out` has one for the stored bytes, unless they are the same */
    char *in, *last;         /* `last` may still be hashed */
    char *packed;
    struct sink out;
    struct err *e;
};
static void pipe_free(struct pipe *p)
{
    (void)ZSTD_freeCCtx(p->zstd);
    hasher_free(p->original); /* before what they hash */
    hasher_free(p->out.hash);
    free(p->in);
    free(p->last);
    free(p->packed);
}

static int compress_chunk(struct pipe *p, size_t n, bool last)
{
    ZSTD_inBuffer in = {p->in, n, 0};
    size_t left;
    do {
        ZSTD_outBuffer out = {p->packed, CHUNK, 0};
        left = ZSTD_compressStream2(p->zstd, &out, &in, last ? ZSTD_e_end : ZSTD_e_continue);
        if (ZSTD_isError(left))
            return err_set(p->e, 0, ZSTD_getErrorName(left), p->out.path, NULL);
        if (sink_write(&p->out, p->packed, out.pos, p->e) != 0)
            return -1;
    } while (last ? left != 0 : in.pos < in.size);
    return 0;
}

static int pipe_open(struct pipe *p, const struct copy_options *o)
{
    bool ok = (p->in = malloc(CHUNK)) && (p->last = malloc(CHUNK)) && (p->original = hasher_new());
    if (ok && o->level > 0) {
        p->packed = malloc(CHUNK);
        p->out.hash = hasher_new();
        p->zstd = ZSTD_createCCtx();
        ok = p->packed && p->out.hash && p->zstd &&
             !ZSTD_isError(ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_compressionLevel, o->level)) &&
             !ZSTD_isError(ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_checksumFlag, 1));
        if (ok && o->threads > 0) /* a zstd without threads refuses: then one thread it is */
            (void)ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_nbWorkers, o->threads);
    }
    return ok ? 0 : err_set(p->e, ENOMEM, "cannot start copying to", p->out.path, NULL);
}

int copy_store_from(const struct copy_source *in, int out, const char *out_path, const struct copy_options *o,
                    struct copy_result *r, struct err *e)
{
    __attribute__((cleanup(pipe_free))) struct pipe p = {.out = {.fd = out, .path = out_path}, .e = e};
    memset(r, 0, sizeof *r);
    if (pipe_open(&p, o) != 0)
        return -1;
    for (;;) {
        if (o->stop && atomic_load(o->stop))
            return err_set(e, ECANCELED, "stopped copying", in->path, NULL);
        char *next = p.last;
        ssize_t n = in->read(in->arg, next, CHUNK, e);
        if (n < 0)
            return -1;
        if (!hasher_add(p.original, next, (size_t)n)) /* which waits for the one before */
            return err_set(e, EIO, "cannot hash", in->path, NULL);
        p.last = p.in;
        p.in = next;
        if ((p.zstd ? compress_chunk(&p, (size_t)n, n == 0) : sink_write(&p.out, p.in, (size_t)n, e)) != 0)
            return -1;
        if (n == 0)
            break;
        if (o->watch && o->watch->bytes)
            o->watch->bytes((size_t)n, o->watch->arg);
        r->size += (uint64_t)n;
    }
    if (!hasher_hex(p.original, r->sha256) || (p.out.hash && !hasher_hex(p.out.hash, r->stored_sha256)))
        return err_set(e, EIO, "cannot hash", in->path, NULL);
    r->stored_size = p.out.size;
    if (!p.out.hash)
        memcpy(r->stored_sha256, r->sha256, sizeof r->stored_sha256);
    return 0;
}

/* A file that is read once. */
struct read_once {
    int fd;
    const char *path;
    off_t at, last; /* where it is, and what was read before that */
};
static ssize_t read_once(void *arg, void *buf, size_t n, struct err *e)
{
    struct read_once *f = arg;
    if (f->last > 0)
        (void)posix_fadvise(f->fd, f->at - f->last, f->last, POSIX_FADV_DONTNEED);
    ssize_t got = read_some(f->fd, buf, n);
    if (got < 0)
        return (void)err_set(e, errno, "cannot read", f->path, NULL), -1;
    f->last = got;
    f->at += got;
    return got;
}

int copy_store(int in, const char *in_path, int out, const char *out_path, const struct copy_options *o,
               struct copy_result *r, struct err *e)
{
    struct read_once file = {.fd = in, .path = in_path};
    const struct copy_source source = {read_once, &file, in_path};
    (void)posix_fadvise(in, 0, 0, POSIX_FADV_SEQUENTIAL); /* advice only */
    int rc = copy_store_from(&source, out, out_path, o, r, e);
    (void)posix_fadvise(in, 0, 0, POSIX_FADV_DONTNEED); /* what read-ahead brought back */
    return rc;
}

/* The state of one check. */
struct check {
    ZSTD_DCtx *zstd;                  /* NULL: stored as is */
    struct hasher *original, *stored; /* the latter NULL: stored as is, the same */
    char *in, *last;                  /* stored bytes; `last` may still be hashed */
    char *plain, *before;             /* original ones, likewise */
    size_t left;                      /* what zstd said last: 0 between frames */
    uint64_t most;                    /* original bytes that there may be */
    int out;
    const char *path;
    struct copy_result *result;
    struct err *e;
};
static void check_free(struct check *c)
{
    (void)ZSTD_freeDCtx(c->zstd);
    hasher_free(c->original); /* before what they hash */
    hasher_free(c->stored);
    free(c->in);
    free(c->last);
    free(c->plain);
    free(c->before);
}

static int original_bytes(struct check *c, const char *data, size_t n)
{
    if (!hasher_add(c->original, data, n))
        return err_set(c->e, EIO, "cannot hash", c->path, NULL);
    c->result->size += n;
    if (c->result->size > c->most)
        return err_set(c->e, 0, "more bytes than the manifest says in", c->path, "take another backup");
    return c->out < 0 ? 0 : files_write_all(c->out, data, n, "the output", c->e);
}

static int decompress_chunk(struct check *c, size_t n)
{
    ZSTD_inBuffer src = {c->in, n, 0};
    bool full = false;
    while (src.pos < src.size || full) {
        char *next = c->before;
        c->before = c->plain;
        c->plain = next;
        ZSTD_outBuffer dst = {c->plain, CHUNK, 0};
        c->left = ZSTD_decompressStream(c->zstd, &dst, &src);
        if (ZSTD_isError(c->left))
            return err_set(c->e, 0, ZSTD_getErrorName(c->left), c->path, "take another backup");
        if (original_bytes(c, c->plain, dst.pos) != 0)
            return -1;
        full = dst.pos == dst.size && c->left != 0;
    }
    return 0;
}

static int check_open(struct check *c, bool compressed)
{
    c->left = compressed ? 1 : 0; /* an empty file holds no frame: cut short */
    if ((c->in = malloc(CHUNK)) && (c->last = malloc(CHUNK)) && (c->original = hasher_new()) &&
        (!compressed || ((c->plain = malloc(CHUNK)) && (c->before = malloc(CHUNK)) &&
                         (c->zstd = ZSTD_createDCtx()) && (c->stored = hasher_new()))))
        return 0;
    return err_set(c->e, ENOMEM, "cannot check", c->path, NULL);
}

int copy_check(int in, const char *in_path, int out, bool compressed, uint64_t most,
               const struct copy_watch *watch, struct copy_result *r, struct err *e)
{
    __attribute__((cleanup(check_free))) struct check c = {
        .out = out, .path = in_path, .most = most, .result = r, .e = e};
    memset(r, 0, sizeof *r);
    if (check_open(&c, compressed) != 0)
        return -1;
    (void)posix_fadvise(in, 0, 0, POSIX_FADV_SEQUENTIAL);
    for (ssize_t n; (n = read_some(in, c.last, CHUNK)) != 0;) {
        if (n < 0)
            return err_set(e, errno, "cannot read", in_path, NULL);
        char *next = c.last;
        c.last = c.in;
        c.in = next;
        r->stored_size += (uint64_t)n;
        if (c.stored && !hasher_add(c.stored, c.in, (size_t)n)) /* which waits for the one before */
            return err_set(e, EIO, "cannot hash", in_path, NULL);
        if ((compressed ? decompress_chunk(&c, (size_t)n) : original_bytes(&c, c.in, (size_t)n)) != 0)
            return -1;
        (void)posix_fadvise(in, (off_t)r->stored_size - n, n, POSIX_FADV_DONTNEED);
        if (watch && watch->bytes)
            watch->bytes((size_t)n, watch->arg);
    }
    if (c.left != 0)
        return err_set(e, 0, "compressed data is cut short in", in_path, "take another backup");
    if (!hasher_hex(c.original, r->sha256) || (c.stored && !hasher_hex(c.stored, r->stored_sha256)))
        return err_set(e, EIO, "cannot hash", in_path, NULL);
    if (!c.stored)
        memcpy(r->stored_sha256, r->sha256, sizeof r->stored_sha256);
    return 0;
}
