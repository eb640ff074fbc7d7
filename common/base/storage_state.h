/* What Qdrant's storage folder says about itself, looked at before Qdrant runs: may this node be restored,
 * may it be let in? libc alone, since PID 1 asks it too; the folder is Qdrant's own, on a local disk, so that
 * looking at it cannot hang with EFS.
 *
 * A restore at boot works in {storage}/.restore, and moves what is whole to its place at its end, the folder
 * of the collections last. {storage}/.restore.json is its marker. It goes with the storage that it tells of,
 * whatever happens to the snapshots beside it. */
#ifndef COMMON_BASE_STORAGE_STATE_H
#define COMMON_BASE_STORAGE_STATE_H
#define STORAGE_MARKER ".restore.json"
#define STORAGE_STAGING ".restore"
#define STORAGE_COLLECTIONS "collections"
/* Where Qdrant (1.18.2) has it without a setting, below its working folder. */
#define STORAGE_STANDARD "storage"

enum storage_state {
    STORAGE_EMPTY,     /* no collection, or not even a folder */
    STORAGE_DATA,      /* there are collections, and no restore is under way */
    STORAGE_SETTLED,   /* a restore ended here, or there was nothing to restore */
    STORAGE_RESTORING, /* one was begun, and has not come to its end */
    STORAGE_UNKNOWN,   /* it cannot be read: errno */
};
enum storage_state storage_look(const char *storage);
/* Does {storage}/collections have a collection, as Qdrant takes it for one: a folder with a config.json? 1 or
 * 0; -1 with errno. */
int storage_has_collections(const char *storage);
#endif
