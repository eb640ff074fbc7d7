/* What a collection holds, in a few hundred bytes: taken around each snapshot, kept in its manifest, and
 * taken again of what a drill restored. Equal before and after the snapshot it says exactly what must come
 * back; else something was written meanwhile, and it says so within bounds.
 *
 * Only what survives a restore is in it: the points' number; the configuration of vectors, of quantization
 * and of payload indexes; and points with payload and vectors as Qdrant prints them, all of a small
 * collection or a sample. A sample needs no list of ids: it scrolls on from a few places
 * (fingerprint_plan.h). Qdrant (1.18.2) orders numeric ids before UUIDs.
 *
 * The digests are SHA-256 over JSON values in one form: null 0, false f, true t; a number n and the 8 bytes
 * of its double, little-endian; a string s, its length in 4 bytes, little-endian, and its bytes; an array [,
 * its items, ]; an object {, its members by name as strings and values, sorted by the bytes of their names,
 * }.
 *
 * What one costs (two are taken), measured with 256 random dimensions on two shared cores: of 100,000 points
 * 0.1 of the time that their snapshot takes, of 5,000 points 0.6 of it, which is 25 ms in both cases. A third
 * of that is our own work, which does not grow with the collection. */
#ifndef QDRANT_FINGERPRINT_H
#define QDRANT_FINGERPRINT_H
#include "common/base/err.h"
#include "qdrant/fingerprint_plan.h"
#include <stdbool.h>
#include <stdint.h>

struct qdrant;
struct content_digest {
    int64_t points;
    bool counted;     /* one by one; else as Qdrant estimates them, which for millions costs nothing */
    char config[65];  /* digests in hex */
    char content[65]; /* of `looked_at` points */
    unsigned looked_at;
    bool all; /* these are all */
};
struct fingerprint {
    bool known;
    bool exact; /* nothing changed between the two */
    struct fingerprint_plan plan;
    struct content_digest before, after;
};
/* Aliases that point at the collection; names one after the other, each with its NUL. */
struct aliases {
    bool known;
    unsigned n, left_out; /* in `names`; for which these had no room */
    char names[2048];
};
enum { FINGERPRINT_ELSEWHERE = 1, FINGERPRINT_DEAR }; /* of content_digest_take */
/* 0; FINGERPRINT_ELSEWHERE when shards of it are on other nodes alone, so that no snapshot of this one holds
 * what Qdrant would tell; FINGERPRINT_DEAR with `e` when its users would miss the reads; -1 with `e`. A plan
 * that is not made is made, with its seed. */
int content_digest_take(struct qdrant *q, const char *collection, struct fingerprint_plan *plan,
                        struct content_digest *out, struct err *e);
void fingerprint_join(struct fingerprint *out, const struct fingerprint_plan *plan,
                      const struct content_digest *before, const struct content_digest *after);
/* Is `now` what a snapshot of `f` restores? True, or false with the first difference. `note` (never NULL)
 * says what could not be compared, else it is empty. */
enum { FINGERPRINT_TEXT = 400 };
bool fingerprint_fits(const struct fingerprint *f, const struct content_digest *now,
                      char why[FINGERPRINT_TEXT], char note[FINGERPRINT_TEXT]);

/* The same, told apart. FINGERPRINT_LOOSELY: points were written while the snapshot was made, and `note` says
 * so; else `why` names the first difference. */
enum fingerprint_fit {
    FINGERPRINT_SAME,
    FINGERPRINT_LOOSELY,
    FINGERPRINT_POINTS,
    FINGERPRINT_CONFIG,
    FINGERPRINT_CONTENT,
};
enum fingerprint_fit fingerprint_fit(const struct fingerprint *f, const struct content_digest *now,
                                     char why[FINGERPRINT_TEXT], char note[FINGERPRINT_TEXT]);

int aliases_take(struct qdrant *q, const char *collection, struct aliases *out, struct err *e);
/* False when it does not fit; it is counted then. */
bool aliases_add(struct aliases *a, const char *name);
/* The one after `name`, the first for NULL; NULL at the end. */
const char *aliases_next(const struct aliases *a, const char *name);
#endif
