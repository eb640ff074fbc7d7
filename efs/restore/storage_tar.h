/* May Qdrant be started with a snapshot of the whole storage? Reads its tar for the names in it. */
#ifndef EFS_RESTORE_STORAGE_TAR_H
#define EFS_RESTORE_STORAGE_TAR_H
#include "common/base/err.h"
struct archive;
struct cJSON;
/* `a` is open, and read to its end. 0: each name in it fits; -1 with `e`. `config` (may be NULL): its
 * config.json, to be freed, or NULL. What is no tar at all has no names: Qdrant refuses it. */
int storage_tar_judge(struct archive *a, struct cJSON **config, struct err *e);
#endif
