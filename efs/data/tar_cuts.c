#include "efs/data/tar_cuts.h"
#include "common/archive.h"
#include "common/base/text.h"
#include "efs/data/recipe.h"
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SMALL = 2048,  /* pieces below this are glued together */
    GLUED = 16384, /* up to this */
    NESTED = 3,    /* a storage snapshot has collections' ones, and these have segments */
    BUFFER = 16384,
    MOST = 1 << 16, /* of a tar of very many tiny members, not each gets a piece of its own: memory */
};

void cuts_free(struct cuts *c)
{
    free(c->v);
    *c = (struct cuts){0};
}

struct cutter {
    int fd;
    const atomic_bool *stop;
    struct cuts *out;
    uint64_t end; /* how far it is cut */
    bool small;   /* the last piece is, and may grow */
    bool out_of_memory;
};

static void add(struct cutter *c, uint64_t key)
{
    if (c->out->n == c->out->room) {
        size_t room = c->out->room ? c->out->room * 2 : 256;
        struct cut *v = realloc(c->out->v, room * sizeof *v);
        if (!v) {
            c->out_of_memory = true;
            return;
        }
        c->out->v = v;
        c->out->room = room;
    }
    c->out->v[c->out->n++] = (struct cut){c->end, key};
}

/* The next piece ends at `end`. */
static void piece(struct cutter *c, uint64_t end, uint64_t key)
{
    bool small = end - c->end < SMALL, crowded = c->out->n >= MOST;
    const struct cut *last = c->out->n > 0 ? &c->out->v[c->out->n - 1] : NULL;
    bool glue =
        last && ((small && c->small && end - last->at < GLUED) || (crowded && end - last->at <= PIECE_MAX));
    if (!glue) {
        add(c, key);
        c->small = small;
    }
    c->end = end;
}

/* FNV-1a, 64 bits: it only says which pieces are worth a comparison. */
enum { FNV_PRIME_LOW = 0x1b3 };
static uint64_t hash(uint64_t h, const void *data, size_t n)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * ((UINT64_C(1) << 40) + FNV_PRIME_LOW);
    return h;
}
static const uint64_t FNV_START = UINT64_C(0xcbf29ce484222325);

static uint64_t key_at(uint64_t name, uint64_t offset)
{
    uint64_t key = hash(name, &offset, sizeof offset);
    return key ? key : 1;
}

/* Bytes [c->end, at) belong to no member. */
static void gap(struct cutter *c, uint64_t at)
{
    while (c->end < at)
        piece(c, at - c->end > PIECE_MAX ? c->end + PIECE_MAX : at, 0);
}

/* `n` bytes of a member from `at` of the file, whose first one is at `offset` of the member. */
static void extent(struct cutter *c, uint64_t at, uint64_t n, uint64_t offset, uint64_t name)
{
    if (at < c->end)
        return; /* not of a tar that makes sense */
    gap(c, at);
    for (uint64_t done = 0; done < n && !c->out_of_memory;) {
        uint64_t left = PIECE_MAX - (offset + done) % PIECE_MAX;
        uint64_t key = key_at(name, offset + done);
        done += left < n - done ? left : n - done;
        piece(c, at + done, key);
    }
}

/* A part of the file, as libarchive reads it. */
struct window {
    int fd;
    uint64_t start, size, at;
    char buffer[BUFFER];
};

static la_ssize_t window_read(struct archive *a, void *arg, const void **data)
{
    struct window *w = arg;
    size_t n = w->size - w->at < sizeof w->buffer ? (size_t)(w->size - w->at) : sizeof w->buffer;
    ssize_t got;
    do
        got = pread(w->fd, w->buffer, n, (off_t)(w->start + w->at));
    while (got < 0 && errno == EINTR);
    if (got < 0) {
        archive_set_error(a, errno, "cannot read");
        return -1;
    }
    w->at += (uint64_t)got;
    *data = w->buffer;
    return got;
}

/* The data of members are passed over. */
static la_int64_t window_skip(struct archive *a, void *arg, la_int64_t n)
{
    struct window *w = arg;
    (void)a;
    if (n < 0 || (uint64_t)n > w->size - w->at)
        n = (la_int64_t)(w->size - w->at);
    w->at += (uint64_t)n;
    return n;
}

static void cut_tar(struct cutter *c, uint64_t start, uint64_t size, uint64_t name, int depth);

/* A member whose bytes begin at `at` of the file, at most up to `end`. */
static void cut_member(struct cutter *c, struct archive_entry *entry, uint64_t at, uint64_t end, uint64_t of,
                       int depth)
{
    const char *path = archive_entry_pathname(entry);
    la_int64_t size = archive_entry_size(entry), offset, n;
    if (!path || archive_entry_filetype(entry) != AE_IFREG || size <= 0 || at >= end)
        return;
    uint64_t name = hash(of, path, strlen(path) + 1);
    if (archive_entry_sparse_reset(entry) > 0) {
        while (archive_entry_sparse_next(entry, &offset, &n) == ARCHIVE_OK && n >= 0 && offset >= 0 &&
               (uint64_t)n <= end - at) {
            extent(c, at, (uint64_t)n, (uint64_t)offset, name);
            at += (uint64_t)n;
        }
        return;
    }
    if ((uint64_t)size > end - at)
        return;
    if (depth < NESTED && (text_ends(path, ".tar") || text_ends(path, ".snapshot")))
        cut_tar(c, at, (uint64_t)size, name, depth + 1);
    uint64_t done = c->end > at ? c->end - at : 0; /* the rest was not cut as a tar */
    if (done < (uint64_t)size)
        extent(c, at + done, (uint64_t)size - done, done, name);
}

static void cut_tar(struct cutter *c, uint64_t start, uint64_t size, uint64_t name, int depth)
{
    struct window *w = malloc(sizeof *w);
    cleanup_archive struct archive *a = archive_read_new();
    struct archive_entry *entry;
    if (!w || !a) {
        c->out_of_memory = true;
        free(w);
        return;
    }
    w->fd = c->fd;
    w->start = start;
    w->size = size;
    w->at = 0;
    if (archive_read_support_format_tar(a) == ARCHIVE_OK &&
        archive_read_set_read_callback(a, window_read) == ARCHIVE_OK &&
        archive_read_set_skip_callback(a, window_skip) == ARCHIVE_OK &&
        archive_read_set_callback_data(a, w) == ARCHIVE_OK && archive_read_open1(a) == ARCHIVE_OK)
        while (!c->out_of_memory && !(c->stop && atomic_load(c->stop)) &&
               archive_read_next_header(a, &entry) == ARCHIVE_OK) {
            /* What the format has taken of its input ends where the member's data begin. */
            la_int64_t at = archive_filter_bytes(a, 0);
            if (at >= 0 && (uint64_t)at <= size)
                cut_member(c, entry, start + (uint64_t)at, start + size, name, depth);
        }
    (void)archive_read_free(a);
    a = NULL;
    free(w);
}

int tar_cuts(int fd, uint64_t size, const atomic_bool *stop, struct cuts *out, struct err *e)
{
    struct cutter c = {.fd = fd, .stop = stop, .out = out};
    *out = (struct cuts){0};
    cut_tar(&c, 0, size, FNV_START, 0);
    if (c.end == 0) /* no tar: one member, as it were */
        extent(&c, 0, size, 0, FNV_START);
    gap(&c, size);
    if (stop && atomic_load(stop))
        return cuts_free(out), err_set(e, ECANCELED, "stopped looking at", "the snapshot", NULL);
    if (c.out_of_memory)
        return cuts_free(out), err_set(e, ENOMEM, "cannot look at", "the snapshot", NULL);
    return 0;
}
