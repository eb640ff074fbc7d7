/* The recipe: of which pieces a snapshot consists, and where their bytes are. It lies at the end of the file
 * that holds the frames, in a skippable frame, which `zstd -d` passes over; the manifest says where. One line
 * a step, in the order of the snapshot's bytes (docs/format.md):
 *
 *     = OFFSET LENGTH                                       these bytes of the base
 *     + 0 0 AT SIZE LENGTH SHA256 KEY                       a zstd frame of this file, SIZE bytes from AT
 *     ~ OFFSET PREFIX AT SIZE LENGTH SHA256 KEY             a frame with PREFIX bytes of the base from OFFSET
 *                                                           before it (`zstd --patch-from`)
 *
 * A file without `=` and `~` needs no base. LENGTH and SHA256 are those of the piece. KEY tells what it is of
 * (efs/data/tar_cuts.h), "-" when it is of nothing in particular. Pure functions. */
#ifndef EFS_DATA_RECIPE_H
#define EFS_DATA_RECIPE_H
#include "common/base/err.h"
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
    PIECE_MAX = 1 << 20,   /* original bytes of a piece */
    RECIPE_MAX = 64 << 20, /* bytes of text: some 500 GB in pieces of that length */
    PIECES_MAX = 1 << 20,  /* of a snapshot: a line may name many, and lines are short */
    PIECES_WRITTEN =
        RECIPE_MAX / 128, /* of a snapshot that is stored in pieces: a line of a whole is shorter */
    LAYERS_MAX = 8,       /* files that a snapshot may be made of */
    SKIPPABLE_HEADER = 8, /* before the text: magic and length, as zstd's format says */
    FRAME_MAX = (1 << 20) + (1 << 13), /* stored bytes of a piece: ZSTD_compressBound of PIECE_MAX is less */
};
/* Where the recipe is in its file, and its hash. */
struct recipe_place {
    uint64_t at, size; /* of the text; size 0: there is none */
    char sha256[65];
};
struct piece {
    unsigned char sha256[32];
    uint64_t key; /* 0: of nothing in particular */
    uint64_t at;  /* of its frame in the file of `layer` */
    uint32_t size, length;
    unsigned layer;             /* 0 is the whole */
    const struct piece *prefix; /* of a lower layer; NULL: none is needed */
};
/* A snapshot as its pieces, in order and without a gap. The pieces themselves belong to the layers. */
struct placed {
    const struct piece *piece;
    uint64_t start; /* in the snapshot */
};
struct pieces {
    struct placed *v;
    size_t n, room;
    uint64_t size; /* of the snapshot */
};
void pieces_free(struct pieces *p);
/* The pieces of [from, from + length), when they begin and end just there: the first one, else NULL. */
const struct placed *pieces_range(const struct pieces *p, uint64_t from, uint64_t length, size_t *n);

/* Apply `text`, of the file that is `layer`, to the pieces below it (NULL for the whole): fills `out`, and
 * *own with the new pieces, which the caller frees after all that point at them. `frames`: bytes of the file
 * before its recipe. -1: not such a recipe, or no memory. */
int recipe_apply(const char *text, unsigned layer, uint64_t frames, const struct pieces *base,
                 struct pieces *out, struct piece **own, const char *path, struct err *e);

/* Writing one: the steps one after the other; what is copied from neighbours becomes one line. */
struct recipe_writer {
    FILE *to;
    uint64_t from, length; /* of the copy that may still grow */
};
void recipe_copy(struct recipe_writer *w, uint64_t from, uint64_t length);
void recipe_frame(struct recipe_writer *w, const struct piece *p, uint64_t prefix_from);
void recipe_end(struct recipe_writer *w);
#endif
