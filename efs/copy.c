#include "efs/copy.h"
#include "common/cleanup.h"
#include "common/files.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <zstd.h>

enum { CHUNK = 1 << 20 };

struct digest {
    EVP_MD_CTX *ctx;
};
static void digest_free(struct digest *d) { EVP_MD_CTX_free(d->ctx); }
static bool digest_open(struct digest *d)
{
    d->ctx = EVP_MD_CTX_new();
    return d->ctx && EVP_DigestInit_ex(d->ctx, EVP_sha256(), NULL) == 1;
}
static bool digest_hex(struct digest *d, char hex[65])
{
    unsigned char raw[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (EVP_DigestFinal_ex(d->ctx, raw, &n) != 1 || n != 32)
        return false;
    for (unsigned i = 0; i < 32; i++)
        (void)snprintf(hex + i * 2, 3, "%02x", raw[i]);
    return true;
}

static ssize_t read_chunk(int fd, char *buf)
{
    ssize_t n;
    do
        n = read(fd, buf, CHUNK);
    while (n < 0 && errno == EINTR);
    return n;
}

struct pipe {
    ZSTD_CCtx *zstd;
    struct digest original, stored;
    char *in, *packed;
    int out;
    const char *out_path;
    struct copy_result *result;
    struct err *e;
};
static void pipe_free(struct pipe *p)
{
    (void)ZSTD_freeCCtx(p->zstd);
    digest_free(&p->original);
    digest_free(&p->stored);
    free(p->in);
    free(p->packed);
}

static int emit(struct pipe *p, const char *data, size_t n)
{
    if (n == 0)
        return 0;
    if (EVP_DigestUpdate(p->stored.ctx, data, n) != 1)
        return err_set(p->e, EIO, "cannot hash", p->out_path, NULL);
    p->result->stored_size += n;
    return files_write_all(p->out, data, n, p->out_path, p->e);
}

static int compress_chunk(struct pipe *p, size_t n, bool last)
{
    ZSTD_inBuffer in = {p->in, n, 0};
    size_t left;
    do {
        ZSTD_outBuffer out = {p->packed, CHUNK, 0};
        left = ZSTD_compressStream2(p->zstd, &out, &in, last ? ZSTD_e_end : ZSTD_e_continue);
        if (ZSTD_isError(left))
            return err_set(p->e, 0, ZSTD_getErrorName(left), p->out_path, NULL);
        if (emit(p, p->packed, out.pos) != 0)
            return -1;
    } while (last ? left != 0 : in.pos < in.size);
    return 0;
}

static int pipe_open(struct pipe *p, const struct copy_options *o)
{
    p->in = malloc(CHUNK);
    p->packed = malloc(CHUNK);
    bool ok = p->in && p->packed && digest_open(&p->original) && digest_open(&p->stored);
    if (ok && o->level > 0) {
        p->zstd = ZSTD_createCCtx();
        ok = p->zstd && !ZSTD_isError(ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_compressionLevel, o->level)) &&
             !ZSTD_isError(ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_checksumFlag, 1));
        if (ok && o->threads > 0) /* a zstd without threads refuses: then one thread it is */
            (void)ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_nbWorkers, o->threads);
    }
    return ok ? 0 : err_set(p->e, ENOMEM, "cannot start copying to", p->out_path, NULL);
}

int copy_store(int in, const char *in_path, int out, const char *out_path, const struct copy_options *o,
               struct copy_result *r, struct err *e)
{
    __attribute__((cleanup(pipe_free))) struct pipe p = {.out = out, .out_path = out_path, .result = r, .e = e};
    memset(r, 0, sizeof *r);
    if (pipe_open(&p, o) != 0)
        return -1;
    (void)posix_fadvise(in, 0, 0, POSIX_FADV_SEQUENTIAL); /* advice only */
    for (;;) {
        if (o->stop && atomic_load(o->stop))
            return err_set(e, ECANCELED, "stopped copying", in_path, NULL);
        ssize_t n = read_chunk(in, p.in);
        if (n < 0)
            return err_set(e, errno, "cannot read", in_path, NULL);
        if (n > 0 && EVP_DigestUpdate(p.original.ctx, p.in, (size_t)n) != 1)
            return err_set(e, EIO, "cannot hash", in_path, NULL);
        if ((p.zstd ? compress_chunk(&p, (size_t)n, n == 0) : emit(&p, p.in, (size_t)n)) != 0)
            return -1;
        if (n == 0)
            break;
        (void)posix_fadvise(in, (off_t)r->size, n, POSIX_FADV_DONTNEED);
        r->size += (uint64_t)n;
    }
    if (!digest_hex(&p.original, r->sha256) || !digest_hex(&p.stored, r->stored_sha256))
        return err_set(e, EIO, "cannot hash", in_path, NULL);
    return 0;
}

struct check {
    ZSTD_DCtx *zstd;
    struct digest original, stored;
    char *in, *plain;
};
static void check_free(struct check *c)
{
    (void)ZSTD_freeDCtx(c->zstd);
    digest_free(&c->original);
    digest_free(&c->stored);
    free(c->in);
    free(c->plain);
}

static int original_bytes(struct check *c, const char *data, size_t n, int out, struct copy_result *r,
                          const char *path, struct err *e)
{
    if (n > 0 && EVP_DigestUpdate(c->original.ctx, data, n) != 1)
        return err_set(e, EIO, "cannot hash", path, NULL);
    r->size += n;
    return out < 0 ? 0 : files_write_all(out, data, n, "the output", e);
}

int copy_check(int in, const char *in_path, int out, bool compressed, struct copy_result *r, struct err *e)
{
    __attribute__((cleanup(check_free))) struct check c = {.in = malloc(CHUNK), .plain = malloc(CHUNK)};
    size_t left = compressed ? 1 : 0; /* an empty file holds no frame: cut short */
    memset(r, 0, sizeof *r);
    if (compressed)
        c.zstd = ZSTD_createDCtx();
    if (!c.in || !c.plain || (compressed && !c.zstd) || !digest_open(&c.original) || !digest_open(&c.stored))
        return err_set(e, ENOMEM, "cannot check", in_path, NULL);
    for (;;) {
        ssize_t n = read_chunk(in, c.in);
        if (n < 0)
            return err_set(e, errno, "cannot read", in_path, NULL);
        if (n == 0)
            break;
        r->stored_size += (uint64_t)n;
        if (EVP_DigestUpdate(c.stored.ctx, c.in, (size_t)n) != 1)
            return err_set(e, EIO, "cannot hash", in_path, NULL);
        if (!compressed) {
            if (original_bytes(&c, c.in, (size_t)n, out, r, in_path, e) != 0)
                return -1;
            continue;
        }
        ZSTD_inBuffer src = {c.in, (size_t)n, 0};
        bool full = false;
        while (src.pos < src.size || full) {
            ZSTD_outBuffer dst = {c.plain, CHUNK, 0};
            left = ZSTD_decompressStream(c.zstd, &dst, &src);
            if (ZSTD_isError(left))
                return err_set(e, 0, ZSTD_getErrorName(left), in_path, "take another backup");
            if (original_bytes(&c, c.plain, dst.pos, out, r, in_path, e) != 0)
                return -1;
            full = dst.pos == dst.size && left != 0;
        }
    }
    if (left != 0)
        return err_set(e, 0, "compressed data is cut short in", in_path, "take another backup");
    if (!digest_hex(&c.original, r->sha256) || !digest_hex(&c.stored, r->stored_sha256))
        return err_set(e, EIO, "cannot hash", in_path, NULL);
    return 0;
}
