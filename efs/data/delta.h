/* Storing a snapshot in pieces, one zstd frame each, with a recipe at the end (efs/data/recipe.h): a whole,
 * which any zstd reads, or what of it differs from a base. One pass over the snapshot. What did not change is
 * hashed alone; a piece that changed is compressed with its counterpart of the base as zstd's prefix. */
#ifndef EFS_DATA_DELTA_H
#define EFS_DATA_DELTA_H
#include "efs/data/copy.h"
#include "efs/data/layers.h"

enum delta_outcome {
    DELTA_STORED,
    DELTA_TOO_LARGE, /* more than `most` bytes; or nothing, which is no delta; or more than PIECES_WRITTEN */
    DELTA_NO_BASE,   /* a piece of the base cannot be read, or is not what it was: with `e` */
    DELTA_FAILED,    /* with `e` */
};
/* Like copy_store, `o->threads` left aside. `base` NULL: a whole. `most`: give up when there are more stored
 * bytes. Of too many pieces nothing is read but the tar's headers. Before it says DELTA_STORED of a delta,
 * each frame was decompressed and compared with what it was made of; and the recipe gave the pieces that were
 * read. */
enum delta_outcome delta_store(int in, const char *in_path, int out, const char *out_path,
                               struct layers *base, uint64_t most, const struct copy_options *o,
                               struct copy_result *r, struct recipe_place *place, struct err *e);
#endif
