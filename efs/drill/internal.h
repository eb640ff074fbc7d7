/* What the kinds of drills share. For them alone. */
#ifndef EFS_DRILL_INTERNAL_H
#define EFS_DRILL_INTERNAL_H
#include "efs/drill/drill.h"
#include "efs/drill/scratch.h"
#include "efs/drill/scratch_qdrant.h"

struct drill {
    struct drill_options o;
    struct scratch scratch;
    struct scratch_qdrant *second; /* NULL: none runs */
    const struct drill_set *set;   /* that is drilled; NULL: one backup */
    bool once;                     /* it was started with what it holds, and takes no other backup */
};
/* A sentence to others, cut where it does not fit. */
void drill_add(char *text, size_t size, const char *more);
/* Is there memory and disk for it? Else `out` says what it lacks. */
bool drill_room(const struct drill *d, const struct backup *b, unsigned disk_percent,
                struct drill_report *out);
/* A second Qdrant, unless one runs; `all` as in scratch_qdrant.h. False with verdict and reason. */
bool drill_start(struct drill *d, const char *all, struct drill_report *out);
/* May that Qdrant be given this backup? False with verdict and reason. */
bool drill_reads(const struct drill *d, const struct backup *b, struct drill_report *out);
void drill_fail(struct drill *d, struct drill_report *out, const char *why);
/* How long a collection may take until it is green. */
long drill_green_ms(const struct drill *d);
#endif
