/* Where to cut a snapshot into pieces, so that what did not change between two snapshots is cut at the same
 * places: at each MiB of a member's own bytes, wherever the member lies in the tar. Members that are tars
 * themselves (segments) are looked through, and holes of sparse members are passed over. What lies between
 * members is glued together.
 *
 * Any cuts are right, since each piece is proven by its hash: what is no tar is cut at each MiB of itself. */
#ifndef EFS_DATA_TAR_CUTS_H
#define EFS_DATA_TAR_CUTS_H
#include "common/base/err.h"
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct cut {
    uint64_t at;  /* where a piece begins; it ends at the next one, at most PIECE_MAX bytes further */
    uint64_t key; /* of the member's name and the offset in it; 0: of nothing in particular */
};
struct cuts {
    struct cut *v;
    size_t n, room;
};
void cuts_free(struct cuts *c);
#define cleanup_cuts __attribute__((cleanup(cuts_free)))
/* Of the first `size` bytes of `fd`, whose headers alone are read. -1 without memory, or when `stop` (may be
 * NULL) is set. */
int tar_cuts(int fd, uint64_t size, const atomic_bool *stop, struct cuts *out, struct err *e);
#endif
