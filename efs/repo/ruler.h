/* What a delta is made against: slot i of a day against i with its lowest bit cleared, as the marks of a
 * ruler hang on longer ones. So a backup needs at most seven others, and its own changes are counted from a
 * moment that is near. Where that slot has no backup, the next bit is cleared as well; where none is left,
 * the newest whole is the base. All bases are of the same node, collection and version of Qdrant.
 *
 * Numbers count from 08:00 UTC, when the day's whole is made. An hour's slot hangs on an hour's or on the
 * whole, so that what retention keeps longer does not need what it keeps shorter. */
#ifndef EFS_REPO_RULER_H
#define EFS_REPO_RULER_H
#include "efs/repo/backup.h"

enum { RULER_REACH = 2 * 86400 }; /* seconds: a base is never older than that */
/* The slot with its number's lowest bit cleared; 0 when there is none. Pure. */
time_t ruler_above(time_t slot);
/* Does `slot` hang on `older`, over others or not? Pure. */
bool ruler_hangs(time_t slot, time_t older);
/* The base for a backup that `m` describes, from a list of its folder; NULL: it has to be a whole. Loads what
 * it has to look at. A whole that has no recipe is no base. */
struct backup *ruler_base(struct backup_list *list, const struct manifest *m);
/* `b` and what it is made of, as the bases of another. False when they are too many. */
bool ruler_bases(const struct backup *b, struct bases *out);
/* Have all bases of `m`, in a tree's folders of that name, their manifests still? Without one a base is about
 * to be deleted, and no base. */
bool ruler_bases_stay(const char *tree, const char *folder, const struct manifest *m);
/* Is the name of its data that of a delta? Says nothing of an entry that has no data. */
bool ruler_is_delta(const struct backup *b);
/* Count for each entry of one folder how many others are made of it: its needed_by. Loads nothing. */
void ruler_count(struct backup_list *list);
/* May `delta`, as far as names tell, be made of `b`? And is it, once it was loaded? */
bool ruler_may_need(const struct backup *delta, const struct backup *b);
bool ruler_needs(const struct backup *delta, const struct backup *b);
#endif
