/* What is on EFS of one folder, tier by tier, for those who watch its age and size. Reads as few manifests as
 * it can: on EFS each costs round trips. */
#ifndef EFS_SURVEY_H
#define EFS_SURVEY_H
#include "efs/store.h"

struct survey {
    struct survey_tier {
        unsigned count;         /* backups with a manifest */
        uint64_t stored_bytes;  /* of their data, as the listing tells */
        bool any;               /* `newest` is set */
        struct manifest newest; /* the newest complete one */
    } tier[TIER_COUNT];
};
/* `node`: only backups of that NODE_NAME are looked at for `newest`; empty: of any. */
int survey_folder(const char *base, const char *folder, const char *node, struct survey *out, struct err *e);
#endif
