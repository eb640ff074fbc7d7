#include "efs/data/delta.h"
#include "common/base/cleanup.h"
#include "efs/data/hasher.h"
#include "efs/data/sink.h"
#include "efs/data/tar_cuts.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <zstd.h>

enum { DELTA_LEVEL = 3, DIGEST = 32 };
static const uint32_t SKIPPABLE_MAGIC = 0x184D2A50;

/* The base's pieces in an order of their own, so that one is found. */
struct sorted {
    const struct placed **v;
    size_t n;
};

static int by_key(const void *a, const void *b)
{
    const struct placed *x = *(const struct placed *const *)a, *y = *(const struct placed *const *)b;
    if (x->piece->key != y->piece->key)
        return x->piece->key < y->piece->key ? -1 : 1;
    return x->start < y->start ? -1 : x->start > y->start;
}
static int by_hash(const void *a, const void *b)
{
    const struct placed *x = *(const struct placed *const *)a, *y = *(const struct placed *const *)b;
    int c = memcmp(x->piece->sha256, y->piece->sha256, DIGEST);
    return c ? c : x->start < y->start ? -1 : x->start > y->start;
}

static bool sort(struct sorted *s, const struct pieces *p, int (*order)(const void *, const void *))
{
    s->v = malloc((p->n + 1) * sizeof(const struct placed *));
    s->n = s->v ? p->n : 0;
    for (size_t i = 0; i < s->n; i++)
        s->v[i] = &p->v[i];
    if (s->v)
        qsort(s->v, s->n, sizeof(const struct placed *), order);
    return s->v != NULL;
}

/* The first one that is not before `wanted` in that order. */
static const struct placed *first(const struct sorted *s, const struct placed *wanted,
                                  int (*order)(const void *, const void *))
{
    size_t low = 0, high = s->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (order(&s->v[mid], &wanted) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low < s->n ? s->v[low] : NULL;
}

/* The state of one store. */
struct store {
    int in;
    const char *in_path;
    const struct copy_options *o;
    struct layers *base;
    struct sorted keys, hashes; /* of the base */
    ZSTD_CCtx *plain, *patch;
    ZSTD_DCtx *undo;
    EVP_MD *sha256;
    EVP_MD_CTX *digests; /* of all pieces' hashes and lengths, as they were read */
    struct hasher *original;
    struct sink out;
    char *now, *before;    /* original bytes; `before` may still be hashed */
    char *prefix, *undone; /* PIECE_MAX each */
    char *frame, *other;   /* FRAME_MAX each */
    struct recipe_writer recipe;
    char *text;
    size_t text_size;
    uint64_t size;
    struct err *e;
};

static void store_free(struct store *s)
{
    (void)ZSTD_freeCCtx(s->plain);
    (void)ZSTD_freeCCtx(s->patch);
    (void)ZSTD_freeDCtx(s->undo);
    hasher_free(s->original); /* before what they hash */
    hasher_free(s->out.hash);
    EVP_MD_CTX_free(s->digests);
    EVP_MD_free(s->sha256);
    if (s->recipe.to)
        (void)fclose(s->recipe.to); /* memory alone */
    free(s->text);
    free(s->keys.v);
    free(s->hashes.v);
    free(s->now);
    free(s->before);
    free(s->prefix);
    free(s->undone);
    free(s->frame);
    free(s->other);
}

static ZSTD_CCtx *compressor(int level)
{
    ZSTD_CCtx *c = ZSTD_createCCtx();
    if (c && !ZSTD_isError(ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, level)) &&
        !ZSTD_isError(ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1)) &&
        !ZSTD_isError(ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, 1)))
        return c;
    (void)ZSTD_freeCCtx(c);
    return NULL;
}

/* What a patch needs: its prefix within the window. */
static bool for_patches(ZSTD_CCtx *c)
{
    enum { PIECE_AND_PREFIX = 21 }; /* 2 MiB, as a power of two */
    return c && !ZSTD_isError(ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, PIECE_AND_PREFIX));
}

static int set_up(struct store *s)
{
    const struct pieces *p = s->base ? layers_pieces(s->base) : NULL;
    int level = s->o->level > 0 ? s->o->level : 1;
    if (p && level < DELTA_LEVEL)
        level = DELTA_LEVEL; /* of little that is new, and of patches, it is worth the time */
    bool ok = (s->plain = compressor(level)) && (s->undo = ZSTD_createDCtx()) &&
              (s->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL)) && (s->digests = EVP_MD_CTX_new()) &&
              EVP_DigestInit_ex(s->digests, s->sha256, NULL) == 1 && (s->original = hasher_new()) &&
              (s->out.hash = hasher_new()) && (s->now = malloc(PIECE_MAX)) &&
              (s->before = malloc(PIECE_MAX)) && (s->undone = malloc(PIECE_MAX)) &&
              (s->frame = malloc(FRAME_MAX)) && (s->recipe.to = open_memstream(&s->text, &s->text_size));
    if (ok && p)
        ok = (s->patch = compressor(level)) && for_patches(s->patch) && (s->prefix = malloc(PIECE_MAX)) &&
             (s->other = malloc(FRAME_MAX)) && sort(&s->keys, p, by_key) && sort(&s->hashes, p, by_hash);
    return ok ? 0 : err_set(s->e, ENOMEM, "cannot start copying to", s->out.path, NULL);
}

static int read_piece(struct store *s, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t got = pread(s->in, s->now + done, n - done, (off_t)(s->size + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return err_set(s->e, got < 0 ? errno : EIO, "cannot read", s->in_path, NULL);
        done += (size_t)got;
    }
    return 0;
}

/* Of the base: the same bytes, best at the same place; else *like is the counterpart, or NULL. */
static const struct placed *find(const struct store *s, const struct piece *p, const struct placed **like)
{
    struct placed wanted = {.piece = p};
    const struct placed *same, *there = p->key ? first(&s->keys, &wanted, by_key) : NULL;
    *like = there && there->piece->key == p->key ? there : NULL;
    if (*like && memcmp((*like)->piece->sha256, p->sha256, DIGEST) == 0 &&
        (*like)->piece->length == p->length)
        return *like;
    same = first(&s->hashes, &wanted, by_hash);
    return same && memcmp(same->piece->sha256, p->sha256, DIGEST) == 0 && same->piece->length == p->length
               ? same
               : NULL;
}

static bool hash_of(const struct store *s, const void *data, size_t n, unsigned char out[DIGEST])
{
    unsigned size = 0;
    return EVP_Digest(data, n, out, &size, s->sha256, NULL) == 1 && size == DIGEST;
}

/* The frame at `frame` gives back the piece. */
static bool undoes(struct store *s, const char *frame, const struct piece *p)
{
    (void)ZSTD_DCtx_reset(s->undo, ZSTD_reset_session_and_parameters);
    if (p->prefix && ZSTD_isError(ZSTD_DCtx_refPrefix(s->undo, s->prefix, p->prefix->length)))
        return false;
    size_t n = ZSTD_decompressDCtx(s->undo, s->undone, PIECE_MAX, frame, p->size);
    return !ZSTD_isError(n) && n == p->length && memcmp(s->undone, s->now, n) == 0;
}

/* As what differs from its counterpart, at s->other: its size, 0 when that cannot be had. */
static size_t make_patch(struct store *s, const struct piece *like, size_t length)
{
    if (ZSTD_isError(ZSTD_CCtx_refPrefix(s->patch, s->prefix, like->length)))
        return 0;
    size_t n = ZSTD_compress2(s->patch, s->other, FRAME_MAX, s->now, length);
    return ZSTD_isError(n) ? 0 : n;
}

/* The counterpart at s->prefix, and the patch: 0 when that cannot be had. The counterpart has to be what it
 * was when the base was made; it is hashed while the patch is made. */
static enum delta_outcome patch_once(struct store *s, const struct placed *counterpart, size_t length,
                                     size_t *patched)
{
    unsigned char hash[DIGEST];
    const struct piece *like = counterpart->piece;
    if (layers_placed(s->base, counterpart, s->prefix, s->e) != 0)
        return DELTA_NO_BASE;
    struct hasher *h = hasher_new();
    bool hashed = h && hasher_add(h, s->prefix, like->length);
    *patched = hashed ? make_patch(s, like, length) : 0;
    hashed = hashed && hasher_raw(h, hash);
    hasher_free(h);
    if (!hashed)
        return err_set(s->e, ENOMEM, "cannot hash", s->out.path, NULL), DELTA_FAILED;
    if (memcmp(hash, like->sha256, DIGEST) != 0)
        return err_set(s->e, 0, "a piece of the base differs from its SHA-256", NULL, NULL), DELTA_NO_BASE;
    return DELTA_STORED;
}

/* What lies on the local disk under the base's name may be another one: then what is stored counts. */
static enum delta_outcome try_patch(struct store *s, const struct placed *like, size_t length,
                                    size_t *patched)
{
    enum delta_outcome rc = patch_once(s, like, length, patched);
    if (rc != DELTA_NO_BASE || !layers_drop_original(s->base))
        return rc;
    *s->e = (struct err){0};
    return patch_once(s, like, length, patched);
}

/* A frame for the piece at s->frame. A patch that is small is not compared with the frame that needs none. */
static enum delta_outcome make_frame(struct store *s, const struct placed *like, struct piece *p)
{
    enum { SMALL_PATCH = 4 }; /* a quarter */
    size_t patched = 0, plain = 0;
    enum delta_outcome rc = like ? try_patch(s, like, p->length, &patched) : DELTA_STORED;
    if (rc != DELTA_STORED)
        return rc;
    if (patched == 0 || patched > p->length / SMALL_PATCH) {
        plain = ZSTD_compress2(s->plain, s->frame, FRAME_MAX, s->now, p->length);
        if (ZSTD_isError(plain))
            return err_set(s->e, 0, ZSTD_getErrorName(plain), s->out.path, NULL), DELTA_FAILED;
    }
    p->size = (uint32_t)plain;
    if (patched == 0 || (plain > 0 && plain <= patched))
        return DELTA_STORED;
    char *better = s->other;
    s->other = s->frame;
    s->frame = better;
    p->size = (uint32_t)patched;
    p->prefix = like->piece;
    return DELTA_STORED;
}

static enum delta_outcome store_frame(struct store *s, const struct placed *like, struct piece *p)
{
    enum delta_outcome rc = make_frame(s, like, p);
    if (rc != DELTA_STORED)
        return rc;
    if (s->base && !undoes(s, s->frame, p))
        return err_set(s->e, EIO,
                       "a frame does not give back what it was made of; memory may be bad:", s->out.path,
                       NULL),
               DELTA_FAILED;
    p->at = s->out.size;
    if (sink_write(&s->out, s->frame, p->size, s->e) != 0)
        return DELTA_FAILED;
    recipe_frame(&s->recipe, p, like ? like->start : 0);
    return DELTA_STORED;
}

/* What the pieces are, apart from where their bytes lie. */
static bool note(EVP_MD_CTX *to, const struct piece *p)
{
    return EVP_DigestUpdate(to, p->sha256, DIGEST) == 1 &&
           EVP_DigestUpdate(to, &p->length, sizeof p->length) == 1;
}

static enum delta_outcome store_piece(struct store *s, size_t n, uint64_t key)
{
    struct piece p = {.key = key, .length = (uint32_t)n};
    const struct placed *like = NULL, *same = NULL;
    if (read_piece(s, n) != 0)
        return DELTA_FAILED;
    if (!hasher_add(s->original, s->now, n) || /* which waits for the one before */
        !hash_of(s, s->now, n, p.sha256) || !note(s->digests, &p))
        return err_set(s->e, EIO, "cannot hash", s->in_path, NULL), DELTA_FAILED;
    if (s->base && (same = find(s, &p, &like)))
        recipe_copy(&s->recipe, same->start, n);
    enum delta_outcome rc = same ? DELTA_STORED : store_frame(s, like, &p);
    char *next = s->before;
    s->before = s->now;
    s->now = next;
    (void)posix_fadvise(s->in, (off_t)s->size, (off_t)n, POSIX_FADV_DONTNEED); /* advice only */
    s->size += n;
    if (s->o->watch && s->o->watch->bytes)
        s->o->watch->bytes(n, s->o->watch->arg);
    return rc;
}

static enum delta_outcome store_pieces(struct store *s, const struct cuts *cuts, uint64_t size, uint64_t most)
{
    for (size_t i = 0; i < cuts->n; i++) {
        uint64_t end = i + 1 < cuts->n ? cuts->v[i + 1].at : size;
        if (s->o->stop && atomic_load(s->o->stop))
            return err_set(s->e, ECANCELED, "stopped copying", s->in_path, NULL), DELTA_FAILED;
        enum delta_outcome rc = store_piece(s, (size_t)(end - cuts->v[i].at), cuts->v[i].key);
        if (rc != DELTA_STORED)
            return rc;
        if (s->out.size > most)
            return DELTA_TOO_LARGE;
    }
    return DELTA_STORED;
}

/* Does the recipe give the pieces that were read? As whoever restores it will read it. */
static int prove_recipe(struct store *s, uint64_t frames)
{
    struct pieces p = {0};
    struct piece *own = NULL;
    unsigned char read[DIGEST], made[DIGEST];
    unsigned n = 0;
    EVP_MD_CTX *digests = EVP_MD_CTX_new();
    int rc = recipe_apply(s->text, LAYERS_MAX, frames, s->base ? layers_pieces(s->base) : NULL, &p, &own,
                          s->out.path, s->e);
    bool good = rc == 0 && digests && EVP_DigestInit_ex(digests, s->sha256, NULL) == 1;
    for (size_t i = 0; good && i < p.n; i++)
        good = note(digests, p.v[i].piece);
    good = good && p.size == s->size && EVP_DigestFinal_ex(digests, made, &n) == 1 &&
           EVP_DigestFinal_ex(s->digests, read, &n) == 1 && memcmp(made, read, DIGEST) == 0;
    EVP_MD_CTX_free(digests);
    pieces_free(&p);
    free(own);
    if (rc == 0 && !good)
        rc = err_set(s->e, EIO,
                     "the recipe does not give back what it was made of; memory may be bad:", s->out.path,
                     NULL);
    return rc;
}

/* Behind the frames, in one that decompressors skip. */
static enum delta_outcome write_recipe(struct store *s, struct recipe_place *place)
{
    unsigned char head[SKIPPABLE_HEADER];
    uint64_t frames = s->out.size;
    recipe_end(&s->recipe);
    bool written = ferror(s->recipe.to) == 0;
    written = fclose(s->recipe.to) == 0 && written;
    s->recipe.to = NULL;
    if (!written || !hasher_of(s->text, s->text_size, place->sha256))
        return err_set(s->e, ENOMEM, "cannot write the recipe of", s->out.path, NULL), DELTA_FAILED;
    if (s->text_size > RECIPE_MAX) /* of a delta alone: a whole's lines are shorter */
        return DELTA_TOO_LARGE;
    if (prove_recipe(s, frames) != 0)
        return DELTA_FAILED;
    for (unsigned i = 0; i < 4; i++) {
        head[i] = (unsigned char)(SKIPPABLE_MAGIC >> (8 * i));
        head[4 + i] = (unsigned char)((uint32_t)s->text_size >> (8 * i));
    }
    place->at = frames + sizeof head;
    place->size = s->text_size;
    bool put = sink_write(&s->out, head, sizeof head, s->e) == 0 &&
               sink_write(&s->out, s->text, s->text_size, s->e) == 0;
    return put ? DELTA_STORED : DELTA_FAILED;
}

enum delta_outcome delta_store(int in, const char *in_path, int out, const char *out_path,
                               struct layers *base, uint64_t most, const struct copy_options *o,
                               struct copy_result *r, struct recipe_place *place, struct err *e)
{
    cleanup_cuts struct cuts cuts = {0};
    struct stat st;
    __attribute__((cleanup(store_free))) struct store s = {
        .in = in, .in_path = in_path, .o = o, .base = base, .out = {.fd = out, .path = out_path}, .e = e};
    memset(r, 0, sizeof *r);
    *place = (struct recipe_place){0};
    if (fstat(in, &st) != 0)
        return err_set(e, errno, "cannot look at", in_path, NULL), DELTA_FAILED;
    if (base && st.st_size == 0)
        return DELTA_TOO_LARGE; /* nothing has no recipe, and a delta must have one */
    if (tar_cuts(in, (uint64_t)st.st_size, o->stop, &cuts, e) != 0)
        return DELTA_FAILED;
    if (cuts.n > PIECES_WRITTEN)
        return DELTA_TOO_LARGE;
    if (set_up(&s) != 0)
        return DELTA_FAILED;
    (void)posix_fadvise(in, 0, 0, POSIX_FADV_SEQUENTIAL); /* advice only */
    enum delta_outcome rc = store_pieces(&s, &cuts, (uint64_t)st.st_size, most);
    (void)posix_fadvise(in, 0, 0, POSIX_FADV_DONTNEED); /* what read-ahead brought back */
    if (rc == DELTA_STORED)
        rc = write_recipe(&s, place);
    r->size = s.size;
    r->stored_size = s.out.size;
    if (rc == DELTA_STORED &&
        (!hasher_hex(s.original, r->sha256) || !hasher_hex(s.out.hash, r->stored_sha256)))
        return err_set(e, EIO, "cannot hash", in_path, NULL), DELTA_FAILED;
    return rc == DELTA_STORED && s.out.size > most ? DELTA_TOO_LARGE : rc;
}
