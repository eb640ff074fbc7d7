#include "efs/data/layers.h"
#include "common/base/cleanup.h"
#include "efs/data/hasher.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <zstd.h>

static const char ADVICE[] = "take another backup";

struct layer {
    int fd;
    char path[PATH_MAX];
    struct piece *own;
};
struct layers {
    struct layer v[LAYERS_MAX];
    unsigned n;
    int original; /* -1: there is none */
    struct pieces pieces;
    ZSTD_DCtx *zstd;
    char *frame;               /* stored bytes of one */
    char *prefix[LAYERS_MAX];  /* original ones, of each layer */
    char *piece;               /* layers_read: the piece that it is in */
    size_t next, used, filled; /* the one behind that, and what was given of it */
};

void layers_free(struct layers *l)
{
    if (!l)
        return;
    (void)layers_drop_original(l);
    for (unsigned i = 0; i < l->n; i++) {
        (void)close(l->v[i].fd); /* only read */
        free(l->v[i].own);
    }
    for (unsigned i = 0; i < LAYERS_MAX; i++)
        free(l->prefix[i]);
    pieces_free(&l->pieces);
    (void)ZSTD_freeDCtx(l->zstd);
    free(l->frame);
    free(l->piece);
    free(l);
}

struct layers *layers_new(void)
{
    struct layers *l = calloc(1, sizeof *l);
    if (l)
        l->original = -1;
    if (!l || !(l->zstd = ZSTD_createDCtx()) || !(l->frame = malloc(FRAME_MAX))) {
        layers_free(l);
        return NULL;
    }
    return l;
}

/* All `n` bytes, or how many there are; -1 with errno. */
static ssize_t read_some(int fd, void *out, size_t n, uint64_t at)
{
    size_t done = 0;
    while (done < n) {
        ssize_t got = pread(fd, (char *)out + done, n - done, (off_t)(at + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

static int read_at(const struct layer *f, void *out, size_t n, uint64_t at, struct err *e)
{
    ssize_t got = read_some(f->fd, out, n, at);
    if (got < 0)
        return err_set(e, errno, "cannot read", f->path, NULL);
    return (size_t)got == n ? 0 : err_set(e, 0, "cut short:", f->path, ADVICE);
}

static int check_hash(const char *text, size_t n, const char *want, const char *path, struct err *e)
{
    char hex[65];
    if (!hasher_of(text, n, hex))
        return err_set(e, ENOMEM, "cannot hash", path, NULL);
    return strcmp(hex, want) == 0 ? 0 : err_set(e, 0, "the recipe differs from its SHA-256 in", path, ADVICE);
}

static char *read_recipe(const struct layer *f, const struct recipe_place *place, struct err *e)
{
    char *text = place->size > 0 && place->size <= RECIPE_MAX ? malloc((size_t)place->size + 1) : NULL;
    if (!text) {
        (void)(place->size > 0 && place->size <= RECIPE_MAX
                   ? err_set(e, ENOMEM, "cannot read", f->path, NULL)
                   : err_set(e, 0, "the manifest tells no usable recipe of", f->path, ADVICE));
        return NULL;
    }
    text[place->size] = 0;
    if (read_at(f, text, (size_t)place->size, place->at, e) == 0 &&
        check_hash(text, (size_t)place->size, place->sha256, f->path, e) == 0)
        return text;
    free(text);
    return NULL;
}

int layers_add(struct layers *l, int fd, const char *path, const struct recipe_place *place, struct err *e)
{
    struct pieces above = {0};
    if (l->n == LAYERS_MAX) {
        (void)close(fd);
        return err_set(e, 0, "made of too many files:", path, ADVICE);
    }
    struct layer *f = &l->v[l->n];
    f->fd = fd;
    f->own = NULL;
    l->n++;
    (void)snprintf(f->path, sizeof f->path, "%s", path);
    cleanup_free char *text = read_recipe(f, place, e);
    uint64_t frames = place->at >= SKIPPABLE_HEADER ? place->at - SKIPPABLE_HEADER : 0;
    if (!text ||
        recipe_apply(text, l->n - 1, frames, l->n > 1 ? &l->pieces : NULL, &above, &f->own, path, e) != 0)
        return -1;
    pieces_free(&l->pieces);
    l->pieces = above;
    return 0;
}

const struct pieces *layers_pieces(const struct layers *l) { return &l->pieces; }

static int damaged(const struct layers *l, const struct piece *p, const char *what, struct err *e)
{
    return err_set(e, 0, what, l->v[p->layer].path, ADVICE);
}

static char *room_for(struct layers *l, unsigned layer)
{
    if (!l->prefix[layer])
        l->prefix[layer] = malloc(PIECE_MAX);
    return l->prefix[layer];
}

/* A prefix is of a lower layer, so that this ends. */
int layers_piece(struct layers *l, const struct piece *p, void *out, struct err *e)
{
    char *prefix = NULL;
    if (p->prefix && !(prefix = room_for(l, p->prefix->layer)))
        return err_set(e, ENOMEM, "cannot read", l->v[p->layer].path, NULL);
    if (p->prefix && layers_piece(l, p->prefix, prefix, e) != 0)
        return -1;
    if (read_at(&l->v[p->layer], l->frame, p->size, p->at, e) != 0)
        return -1;
    (void)ZSTD_DCtx_reset(l->zstd, ZSTD_reset_session_and_parameters);
    if (prefix && ZSTD_isError(ZSTD_DCtx_refPrefix(l->zstd, prefix, p->prefix->length)))
        return err_set(e, ENOMEM, "cannot decompress", l->v[p->layer].path, NULL);
    size_t n = ZSTD_decompressDCtx(l->zstd, out, PIECE_MAX, l->frame, p->size);
    if (ZSTD_isError(n))
        return damaged(l, p, ZSTD_getErrorName(n), e);
    return n == p->length ? 0 : damaged(l, p, "a piece has another length than its recipe says in", e);
}

void layers_original(struct layers *l, int fd)
{
    (void)layers_drop_original(l);
    l->original = fd;
}

bool layers_drop_original(struct layers *l)
{
    if (l->original < 0)
        return false;
    (void)close(l->original); /* only read */
    l->original = -1;
    return true;
}

int layers_placed(struct layers *l, const struct placed *p, void *out, struct err *e)
{
    uint32_t length = p->piece->length;
    if (l->original >= 0 && read_some(l->original, out, length, p->start) == (ssize_t)length)
        return 0;
    (void)layers_drop_original(l);
    return layers_piece(l, p->piece, out, e);
}

ssize_t layers_read(struct layers *l, void *out, size_t n, struct err *e)
{
    if (!l->piece && !(l->piece = malloc(PIECE_MAX)))
        return err_set(e, ENOMEM, "cannot read", l->n > 0 ? l->v[l->n - 1].path : NULL, NULL);
    if (l->used == l->filled) {
        if (l->next == l->pieces.n)
            return 0;
        const struct piece *p = l->pieces.v[l->next].piece;
        if (layers_piece(l, p, l->piece, e) != 0)
            return -1;
        l->next++;
        l->used = 0;
        l->filled = p->length;
    }
    size_t give = l->filled - l->used < n ? l->filled - l->used : n;
    memcpy(out, l->piece + l->used, give);
    l->used += give;
    return (ssize_t)give;
}
