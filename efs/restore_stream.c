#include "efs/restore_stream.h"
#include "common/files.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

enum { CHUNK = 1 << 20 };
static const char ADVICE[] = "take another backup";

struct restore_stream {
    const struct manifest *m;
    struct copy_watch watch;
    const atomic_bool *stop;
    const struct restore_origin *origin; /* NULL: EFS, or it was told to end */
    bool elsewhere;                      /* not on EFS */
    int fd;
    char path[PATH_MAX];
    ZSTD_DCtx *zstd; /* NULL: stored as is */
    EVP_MD_CTX *original, *stored;
    char *in; /* stored bytes that zstd has not taken yet */
    ZSTD_inBuffer src;
    size_t left; /* what zstd said last: 0 between frames */
    uint64_t size, stored_size;
    bool ended, proven;
    struct err failed;
};

void restore_close(struct restore_stream *s)
{
    if (!s)
        return;
    if (s->fd >= 0)
        (void)close(s->fd); /* only read */
    if (s->origin && s->fd >= 0)
        (void)s->origin->end(s->origin->arg, NULL); /* nobody wants the rest */
    (void)ZSTD_freeDCtx(s->zstd);
    EVP_MD_CTX_free(s->original);
    EVP_MD_CTX_free(s->stored);
    free(s->in);
    free(s);
}

static bool digest_new(EVP_MD_CTX **d)
{
    *d = EVP_MD_CTX_new();
    return *d && EVP_DigestInit_ex(*d, EVP_sha256(), NULL) == 1;
}

static bool set_up(struct restore_stream *s)
{
    bool packed = strcmp(s->m->codec, "none") != 0;
    s->in = malloc(CHUNK);
    s->src.src = s->in;
    s->zstd = packed ? ZSTD_createDCtx() : NULL;
    s->left = packed; /* an empty file holds no frame: cut short */
    return s->in && (s->zstd || !packed) && digest_new(&s->original) && digest_new(&s->stored);
}

struct restore_stream *restore_open(const struct backup *b, const struct copy_watch *watch,
                                    const atomic_bool *stop, struct err *e)
{
    return restore_open_from(NULL, b, watch, stop, e);
}

static int open_file(const char *path, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(e, errno, "cannot read", path, NULL);
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* advice only */
    return fd;
}

struct restore_stream *restore_open_from(const struct restore_origin *origin, const struct backup *b,
                                         const struct copy_watch *watch, const atomic_bool *stop,
                                         struct err *e)
{
    struct restore_stream *s = calloc(1, sizeof *s);
    if (!s)
        return (void)err_set(e, ENOMEM, "cannot read", b->data, NULL), NULL;
    s->m = &b->m;
    s->stop = stop;
    s->fd = -1;
    if (watch)
        s->watch = *watch;
    if (files_join(s->path, sizeof s->path, b->dir, b->data, e) != 0)
        return restore_close(s), NULL;
    if (!set_up(s)) {
        (void)err_set(e, ENOMEM, "cannot read", s->path, NULL);
        return restore_close(s), NULL;
    }
    s->origin = origin;
    s->elsewhere = origin != NULL;
    s->fd = origin ? origin->open(origin->arg, b, e) : open_file(s->path, e);
    return s->fd >= 0 ? s : (restore_close(s), NULL);
}

static int wrong(struct restore_stream *s, const char *what)
{
    return err_set(&s->failed, 0, what, s->path, ADVICE);
}

static bool digest_is(EVP_MD_CTX *d, const char want[65])
{
    unsigned char raw[EVP_MAX_MD_SIZE];
    char hex[65];
    unsigned n = 0;
    if (EVP_DigestFinal_ex(d, raw, &n) != 1 || n != 32)
        return false;
    for (unsigned i = 0; i < n; i++)
        (void)snprintf(hex + (size_t)i * 2, 3, "%02x", raw[i]);
    return strcmp(hex, want) == 0;
}

/* Stored bytes into `out`; 0 at the end of the file. */
static ssize_t stored_bytes(struct restore_stream *s, void *out, size_t n)
{
    ssize_t got;
    if (s->stop && atomic_load(s->stop))
        return err_set(&s->failed, ECANCELED, "stopped reading", s->path, NULL);
    do
        got = read(s->fd, out, n);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return err_set(&s->failed, errno, "cannot read", s->path, NULL);
    if (got > 0 && EVP_DigestUpdate(s->stored, out, (size_t)got) != 1)
        return err_set(&s->failed, ENOMEM, "cannot hash", s->path, NULL);
    s->stored_size += (uint64_t)got;
    s->ended = got == 0;
    if (s->ended && s->origin) {
        const struct restore_origin *origin = s->origin;
        s->origin = NULL;
        if (origin->end(origin->arg, &s->failed) != 0)
            return -1;
    }
    /* It is read once; the page cache is Qdrant's. */
    (void)posix_fadvise(s->fd, (off_t)s->stored_size - got, got, POSIX_FADV_DONTNEED);
    if (got > 0 && s->watch.bytes)
        s->watch.bytes((size_t)got, s->watch.arg);
    return got;
}

/* At least one original byte, 0 at the end. */
static ssize_t unpack(struct restore_stream *s, char *out, size_t n)
{
    ZSTD_outBuffer dst = {out, n, 0};
    while (dst.pos == 0) {
        if (s->src.pos == s->src.size) {
            ssize_t got = stored_bytes(s, s->in, CHUNK);
            if (got < 0)
                return -1;
            s->src.pos = 0;
            s->src.size = (size_t)got;
        }
        /* Also at the end of the file: what did not fit into `out` before is still inside zstd. */
        size_t had = s->src.size;
        if (had == 0 && s->left == 0)
            return 0;
        s->left = ZSTD_decompressStream(s->zstd, &dst, &s->src);
        if (ZSTD_isError(s->left))
            return wrong(s, ZSTD_getErrorName(s->left));
        if (had == 0 && dst.pos == 0)
            return s->left == 0 ? 0 : wrong(s, "compressed data is cut short in");
    }
    return (ssize_t)dst.pos;
}

static ssize_t pull(struct restore_stream *s, char *out, size_t n)
{
    ssize_t got = s->zstd ? unpack(s, out, n) : stored_bytes(s, out, n);
    if (got > 0 && EVP_DigestUpdate(s->original, out, (size_t)got) != 1)
        return err_set(&s->failed, ENOMEM, "cannot hash", s->path, NULL);
    if (got > 0)
        s->size += (uint64_t)got;
    return got;
}

/* All original bytes are there: is that the end, and are they what the manifest says? */
static int prove(struct restore_stream *s)
{
    char more = 0;
    ssize_t got = pull(s, &more, 1);
    if (got < 0)
        return -1;
    if (got > 0)
        return wrong(s, "more bytes than the manifest says in");
    if (s->stored_size != s->m->content.stored_size || !digest_is(s->stored, s->m->content.stored_sha256))
        return wrong(s, s->elsewhere ? "the bytes differ from the SHA-256 that they were stored with:"
                                     : "stored bytes differ from the manifest's SHA-256:");
    if (!digest_is(s->original, s->m->content.sha256))
        return wrong(s, "the snapshot inside differs from the manifest's SHA-256:");
    s->proven = true;
    return 0;
}

static ssize_t fill(struct restore_stream *s, char *out, size_t n)
{
    size_t done = 0;
    while (done < n && s->size < s->m->content.size) {
        uint64_t left = s->m->content.size - s->size;
        ssize_t got = pull(s, out + done, left < n - done ? (size_t)left : n - done);
        if (got < 0)
            return -1;
        if (got == 0)
            return wrong(s, "fewer bytes than the manifest says in");
        done += (size_t)got;
    }
    if (s->size == s->m->content.size && !s->proven && prove(s) != 0)
        return -1;
    return (ssize_t)done;
}

ssize_t restore_read(struct restore_stream *s, void *out, size_t n, struct err *e)
{
    ssize_t got = s->failed.text[0] ? -1 : fill(s, out, n);
    if (got < 0 && e)
        *e = s->failed;
    return got;
}
