/* Making a whole of a delta, so that it needs no other backup any more. Its snapshot, slot and frequency
 * stay; only how it is stored changes.
 *
 * 1. The whole is written beside the delta's data, and its .sha256.
 * 2. Of a signed backup, the new manifest's signature is written as {stem}.json.sig.next.
 * 3. The new manifest takes the old one's place, by one rename: that is the moment.
 * 4. The signature takes its name.
 *
 * Killed in between, the backup is one or the other, and complete in both: a reader that finds the old
 * signature wrong looks for the next one. The delta's data stays for a day, since another task may be making
 * a delta of it; then whoever prunes sweeps it (efs/repo/sweep.h). */
#ifndef EFS_REPO_COMPACT_H
#define EFS_REPO_COMPACT_H
#include "efs/repo/backup.h"

struct compact {
    const char *base;              /* the tree */
    const struct signing_key *key; /* for what is signed; NULL: that is refused */
    const atomic_bool *stop;       /* may be NULL */
    const struct copy_watch *watch;
};
enum compact_outcome {
    COMPACT_DONE,
    COMPACT_GONE,   /* it was pruned or forgotten meanwhile, and nothing is left of the whole */
    COMPACT_HALF,   /* with `e`; it is a whole, and what is left to be done the next run does */
    COMPACT_FAILED, /* with `e`; the delta is as it was */
};
/* `b`: a complete delta that no other is made of; it is read anew where it is done. */
enum compact_outcome backup_compact(const struct compact *c, struct backup *b, struct err *e);
/* The last step, where somebody was killed before it, of an entry that was read. 1: done now, 0: there was
 * nothing to do, or it cannot be told that the signature is good; -1 with `e`. */
int backup_compact_finish(const struct compact *c, struct backup *b, struct err *e);
#endif
