/* One start of the staging Qdrant of a restore at boot: it restores some snapshots before it is ready
 * (qdrant --snapshot), then each collection is compared with its manifest and gets its aliases. Nobody else
 * can reach that Qdrant, so that what is compared is what was restored. Blocks; does not touch EFS. */
#ifndef REPLICATOR_RESTORE_BATCH_H
#define REPLICATOR_RESTORE_BATCH_H
#include "replicator/restore/boot_choice.h"
#include "replicator/restore/stage.h"

enum batch_verdict {
    BATCH_OPEN,    /* nothing is known: it is to be tried again */
    BATCH_STAGED,  /* restored, and what its manifest says */
    BATCH_REFUSED, /* Qdrant does not take it, or what came back is something else: never again */
    BATCH_KILLED,  /* Qdrant was killed at it */
};
struct batch_item {
    struct marker_part *part;
    struct boot_choice choice;
    size_t chosen; /* index into choice.list */
    char file[PATH_MAX];
    enum batch_verdict verdict;
    bool in_place; /* an earlier start restored it, and came to its end at another one */
    bool green;    /* what was compared: Qdrant had nothing left to do with it */
    int64_t points;
    char why[1024]; /* of REFUSED and KILLED; of STAGED a note, or empty */
};
struct batch {
    struct batch_item *v;
    size_t n, size;
};
void batch_free(struct batch *b);
/* A new, empty item; NULL without memory. Earlier pointers to items are void then. */
struct batch_item *batch_add(struct batch *b);
void batch_drop_last(struct batch *b);

struct batch_options {
    const struct stage *stage;
    const struct marker *marker; /* what is staged already is looked at again */
    const char *program;         /* QDRANT_BIN */
    bool unconfined;             /* CONFINE=off */
    const atomic_bool *stop;
    void (*works)(void *arg); /* a sign of life */
    void *arg;
};
/* Every item gets its verdict, and collections that are not staged are gone again. With several items, OPEN
 * ones and *unclear set: Qdrant died, and nobody can tell of which. -1 with `e`: it cannot be started at all,
 * or what was staged before is no more what it was. ECANCELED: stopped. */
int batch_run(struct batch *b, const struct batch_options *o, bool *unclear, struct err *e);
#endif
