/* The files that a snapshot is made of, the whole first, each with its recipe: any piece of it, or all in
 * order. A file's frames are read when their piece is wanted, and no others. Memory: about 80 bytes a piece,
 * and two MiB for each file. */
#ifndef EFS_DATA_LAYERS_H
#define EFS_DATA_LAYERS_H
#include "efs/data/recipe.h"
#include <stdbool.h>
#include <sys/types.h>

struct layers;
struct layers *layers_new(void); /* NULL without memory */
void layers_free(struct layers *l);
static inline void layers_freep(struct layers **l) { layers_free(*l); }
#define cleanup_layers __attribute__((cleanup(layers_freep)))
/* The next file, above those before. `fd` is taken in any case. -1: code 0 when what is there is not what
 * `place` says, else errno's. */
int layers_add(struct layers *l, int fd, const char *path, const struct recipe_place *place, struct err *e);
/* Of all files so far. */
const struct pieces *layers_pieces(const struct layers *l);
/* The original bytes of a piece into `out`, which has room for PIECE_MAX. -1 as above. */
int layers_piece(struct layers *l, const struct piece *p, void *out, struct err *e);
/* The snapshot itself seems to lie in `fd`, which is taken: then its pieces are taken from there. Whoever
 * uses them compares their hashes, and drops it when one differs. */
void layers_original(struct layers *l, int fd);
bool layers_drop_original(struct layers *l); /* true: there was one */
/* As layers_piece, from the original where there is one. */
int layers_placed(struct layers *l, const struct placed *p, void *out, struct err *e);
/* The next bytes in order, at most `n`; 0 at the end, -1 as above. */
ssize_t layers_read(struct layers *l, void *out, size_t n, struct err *e);
#endif
