/* The names in a snapshot of the whole storage: a tar of the collections' snapshots and of config.json,
 * {collections_mapping: {collection: file}}. At its start Qdrant (1.18.2, src/snapshots.rs) joins them with
 * its folders as they are, and cuts them apart at ':': a name with "/" or ".." has it read and write
 * elsewhere. Those that Qdrant makes have neither. Pure functions. */
#ifndef QDRANT_STORAGE_NAMES_H
#define QDRANT_STORAGE_NAMES_H
#include "common/base/err.h"
#include <stdbool.h>
#include <stddef.h>

struct cJSON;
enum {
    STORAGE_MEMBERS_MAX = 65537,  /* collections, and config.json */
    STORAGE_CONFIG_MAX = 4 << 20, /* bytes: 30,000 collections */
    STORAGE_CONFIG = 1,           /* of storage_names_member */
};
/* What of a tar has passed by; begins as zero. */
struct storage_names {
    size_t n;
    bool config;
};
/* Is it one component of a path, and no more? */
bool storage_name_fits(const char *name);
/* The next file of the tar. STORAGE_CONFIG: it is config.json; 0: another; -1: it is not to be there. */
int storage_names_member(struct storage_names *s, const char *path, struct err *e);
/* config.json: are collections_mapping and collections_aliases (which may be missing) of names that fit? */
int storage_names_check(const struct cJSON *config, struct err *e);
#endif
