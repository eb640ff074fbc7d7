/* What the parts of a restore into Qdrant share. For them alone. */
#ifndef EFS_RESTORE_INTERNAL_H
#define EFS_RESTORE_INTERNAL_H
#include "efs/restore/inside.h"
#include "efs/restore/restore.h"

enum { RESTORE_WEEK_MS = 7 * 86400 * 1000 };
/* A sentence to others, cut where it does not fit. */
void restore_add(char *text, size_t size, const char *more);
/* RESTORE_FAILED with `e`. */
enum restore_outcome restore_fail(struct err *e, const char *what, const char *advice);

enum restore_keys {
    KEYS_THERE,      /* or none are needed */
    KEYS_MAKE,       /* they must be made first */
    KEYS_IMPOSSIBLE, /* this Qdrant has none: it runs without a cluster */
};
/* What is there when the last piece is about to go. `made`: the collection is ours, made for this. */
struct restore_target_check {
    const struct restore *r;
    const struct backup *b;
    const struct restore_report *seen;
    bool made;
    bool looked; /* and again before the first node of several: it is not looked at any more */
};
enum restore_outcome restore_target_check(const struct restore_target_check *g,
                                          const struct inside_says *says, enum restore_keys *keys,
                                          struct err *e);

/* One pass over the bytes, into Qdrant. *inside is to be freed and has what they say. */
struct restore_passed {
    enum restore_keys keys;
    bool all; /* the last piece, too, was let go */
};
enum restore_outcome restore_pass(const struct restore_target_check *g, struct inside **inside,
                                  struct restore_passed *passed, struct restore_report *out, struct err *e);
/* The same to nowhere: it proves them. */
enum restore_outcome restore_survey(const struct restore *r, const struct backup *b, struct inside **inside,
                                    struct err *e);
/* All of it to the nodes of g->r->spread, each of which gets its own shards; the collection is made first,
 * where it is not there. `passed->all`: to one of them at least. */
enum restore_outcome restore_spread(struct restore_target_check *g, struct inside **inside,
                                    struct restore_passed *passed, struct restore_report *out, struct err *e);

enum restore_outcome restore_wait_green(const struct restore *r, struct restore_report *out, struct err *e);

/* Before a collection is deleted for it: is all in it that Qdrant needs? RESTORE_DEFECT: no, and nothing was
 * changed. */
enum restore_outcome restore_deep(const struct restore *r, const struct backup *b, struct err *e);
/* What is in a collection that is about to be replaced, into `out`; where it cannot be told only the points'
 * number is compared. */
void restore_remember(const struct restore *r, const char *collection, struct restore_report *out);
/* Has it changed since? RESTORE_REFUSED: yes. */
enum restore_outcome restore_changed(const struct restore *r, const char *collection,
                                     const struct restore_report *seen, struct err *e);

/* The original bytes of a collection's snapshot, wrapped as one of the whole storage, into a descriptor. */
enum restore_outcome restore_storage_out(const struct backup *b, int fd, const char *name,
                                         const struct restore_reading *how, struct err *e);
#endif
