#include "efs/repo/reader.h"
#include "common/base/files.h"
#include "efs/data/hasher.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

enum { CHUNK = 1 << 20 };
static const char ADVICE[] = "take another backup";

struct backup_reader {
    const struct manifest *m;
    struct copy_watch watch;
    const atomic_bool *stop;
    const struct restore_origin *origin; /* NULL: EFS, or it was told to end */
    bool elsewhere;                      /* not on EFS */
    int fd;
    char path[PATH_MAX];
    ZSTD_DCtx *zstd;       /* NULL: stored as is, or a delta */
    struct layers *layers; /* what a delta is made of, else NULL */
    struct hasher *original, *stored;
    char *in[2]; /* stored bytes: those that zstd has not taken yet, and those that may still be hashed */
    int reading; /* which of them is which */
    char *lent;  /* NULL, or two pieces that backup_reader_borrow gives out in turn */
    bool second; /* the next one */
    ZSTD_inBuffer src;
    size_t left; /* what zstd said last: 0 between frames */
    uint64_t size, stored_size;
    bool ended, proven;
    struct err failed;
};

void backup_reader_close(struct backup_reader *s)
{
    if (!s)
        return;
    if (s->fd >= 0)
        (void)close(s->fd); /* only read */
    if (s->origin && s->fd >= 0)
        (void)s->origin->end(s->origin->arg, NULL); /* nobody wants the rest */
    (void)ZSTD_freeDCtx(s->zstd);
    layers_free(s->layers);
    hasher_free(s->original); /* before what they hash */
    hasher_free(s->stored);
    free(s->in[0]);
    free(s->in[1]);
    free(s->lent);
    free(s);
}

static bool set_up(struct backup_reader *s)
{
    bool packed = s->m->bases.n == 0 && strcmp(s->m->codec, "none") != 0;
    if (packed &&
        (!(s->in[0] = malloc(CHUNK)) || !(s->in[1] = malloc(CHUNK)) || !(s->zstd = ZSTD_createDCtx())))
        return false;
    s->left = packed; /* an empty file holds no frame: cut short */
    /* What is stored as is has one hash for both; of a delta that of its own bytes is for `verify`: what is
     * made of it is proven as a whole. */
    return (s->original = hasher_new()) && (!packed || (s->stored = hasher_new()));
}

struct backup_reader *backup_reader_open(const struct backup *b, const struct copy_watch *watch,
                                         const atomic_bool *stop, struct err *e)
{
    return backup_reader_open_from(NULL, b, watch, stop, e);
}

static int open_file(const struct backup *b, struct err *e)
{
    int fd = backup_open_data(b, e);
    if (fd >= 0)
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* advice only */
    return fd;
}

struct backup_reader *backup_reader_open_from(const struct restore_origin *origin, const struct backup *b,
                                              const struct copy_watch *watch, const atomic_bool *stop,
                                              struct err *e)
{
    struct backup_reader *s = calloc(1, sizeof *s);
    if (!s)
        return (void)err_set(e, ENOMEM, "cannot read", b->data, NULL), NULL;
    s->m = &b->m;
    s->stop = stop;
    s->fd = -1;
    if (watch)
        s->watch = *watch;
    if (files_join(s->path, sizeof s->path, b->dir, b->data, e) != 0)
        return backup_reader_close(s), NULL;
    if (!set_up(s)) {
        (void)err_set(e, ENOMEM, "cannot read", s->path, NULL);
        return backup_reader_close(s), NULL;
    }
    s->origin = origin;
    s->elsewhere = origin != NULL;
    if (b->m.bases.n > 0) {
        int rc = origin ? err_set(e, 0, "a delta is read from EFS alone:", s->path, NULL)
                        : backup_open_layers(b, &s->layers, e);
        return rc == 0 ? s : (backup_reader_close(s), NULL);
    }
    s->fd = origin ? origin->open(origin->arg, b, e) : open_file(b, e);
    return s->fd >= 0 ? s : (backup_reader_close(s), NULL);
}

static int wrong(struct backup_reader *s, const char *what)
{
    return err_set(&s->failed, 0, what, s->path, ADVICE);
}

/* Stored bytes into `out`; 0 at the end of the file. */
static ssize_t stored_bytes(struct backup_reader *s, void *out, size_t n)
{
    ssize_t got;
    if (s->stop && atomic_load(s->stop))
        return err_set(&s->failed, ECANCELED, "stopped reading", s->path, NULL);
    do
        got = read(s->fd, out, n);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return err_set(&s->failed, errno, "cannot read", s->path, NULL);
    if (got > 0 && s->stored && !hasher_add(s->stored, out, (size_t)got))
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
static ssize_t unpack(struct backup_reader *s, char *out, size_t n)
{
    ZSTD_outBuffer dst = {out, n, 0};
    while (dst.pos == 0) {
        if (s->src.pos == s->src.size) {
            s->reading = !s->reading;
            ssize_t got = stored_bytes(s, s->in[s->reading], CHUNK);
            if (got < 0)
                return -1;
            s->src.src = s->in[s->reading];
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

/* The next bytes of a delta and what it is made of. */
static ssize_t made_bytes(struct backup_reader *s, char *out, size_t n)
{
    if (s->stop && atomic_load(s->stop))
        return err_set(&s->failed, ECANCELED, "stopped reading", s->path, NULL);
    ssize_t got = layers_read(s->layers, out, n, &s->failed);
    if (got > 0 && s->watch.bytes)
        s->watch.bytes((size_t)got, s->watch.arg);
    return got;
}

static ssize_t pull(struct backup_reader *s, char *out, size_t n)
{
    ssize_t got = s->layers ? made_bytes(s, out, n) : s->zstd ? unpack(s, out, n) : stored_bytes(s, out, n);
    if (got > 0)
        s->size += (uint64_t)got;
    return got;
}

/* All original bytes are there: is that the end, and are they what the manifest says? */
static int prove(struct backup_reader *s)
{
    char more = 0, original[65], stored[65];
    const struct copy_result *c = &s->m->content;
    ssize_t got = pull(s, &more, 1);
    if (got < 0)
        return -1;
    if (got > 0)
        return wrong(s, "more bytes than the manifest says in");
    if (!hasher_hex(s->original, original) || (s->stored && !hasher_hex(s->stored, stored)))
        return err_set(&s->failed, ENOMEM, "cannot hash", s->path, NULL);
    if (!s->layers &&
        (s->stored_size != c->stored_size || strcmp(s->stored ? stored : original, c->stored_sha256) != 0))
        return wrong(s, s->elsewhere ? "the bytes differ from the SHA-256 that they were stored with:"
                                     : "stored bytes differ from the manifest's SHA-256:");
    if (strcmp(original, c->sha256) != 0)
        return wrong(s, "the snapshot inside differs from the manifest's SHA-256:");
    s->proven = true;
    return 0;
}

/* What comes back may still be read by the hasher. */
static ssize_t fill(struct backup_reader *s, char *out, size_t n)
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
    if (!hasher_add(s->original, out, done))
        return err_set(&s->failed, ENOMEM, "cannot hash", s->path, NULL);
    if (s->size == s->m->content.size && !s->proven && prove(s) != 0)
        return -1;
    return (ssize_t)done;
}

ssize_t backup_reader_read(struct backup_reader *s, void *out, size_t n, struct err *e)
{
    ssize_t got = s->failed.text[0] ? -1 : fill(s, out, n);
    bool hashed = hasher_wait(s->original); /* `out` is the caller's from now on */
    if (got >= 0 && !hashed)
        got = err_set(&s->failed, ENOMEM, "cannot hash", s->path, NULL);
    if (got < 0 && e)
        *e = s->failed;
    return got;
}

ssize_t backup_reader_borrow(struct backup_reader *s, const void **out, struct err *e)
{
    ssize_t got = -1;
    if (!s->lent && !(s->lent = malloc(2 * CHUNK)))
        (void)err_set(&s->failed, ENOMEM, "cannot read", s->path, NULL);
    char *next =
        s->lent ? s->lent + (s->second ? CHUNK : 0) : NULL; /* of the other half some may be unhashed */
    s->second = !s->second;
    if (!s->failed.text[0])
        got = fill(s, next, CHUNK);
    *out = next;
    if (got < 0 && e)
        *e = s->failed;
    return got;
}
