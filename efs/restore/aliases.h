/* The aliases of a restored collection: no snapshot of Qdrant's has them, so they come back from its
 * manifest. */
#ifndef EFS_RESTORE_ALIASES_H
#define EFS_RESTORE_ALIASES_H
#include "qdrant/client.h"
#include "qdrant/fingerprint.h"

struct cJSON;
/* Which collection an alias is of, by Qdrant's list of aliases, which the name belongs to; NULL: there is no
 * such alias. */
const char *alias_owner(const struct cJSON *list, const char *alias);
/* Have them point at `collection`. One that points at another collection, or is the name of one, is left
 * alone; `note` then says so, else it is empty. -1 with `e` when Qdrant took none. */
int restore_aliases(struct qdrant *q, const char *collection, const struct aliases *a, char *note,
                    size_t size, struct err *e);
#endif
