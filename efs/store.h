/* The layout on EFS: {root}/{TIER}-{CPU_ARCH}/{frequency}/{folder}/{stem}.snapshot[.zst], .sha256 and
 * .json. Finds, publishes and prunes backups. Every call may hang with EFS: never call from a thread
 * that others wait for. Not thread-safe for one folder: one writer per folder. */
#ifndef EFS_STORE_H
#define EFS_STORE_H
#include "efs/manifest.h"
#include <limits.h>

enum entry_state { ENTRY_COMPLETE, ENTRY_INCOMPLETE, ENTRY_CORRUPT, ENTRY_UNREAD };
const char *entry_state_text(enum entry_state s);
struct backup {
    enum entry_state state;
    enum tier tier;
    char dir[PATH_MAX];   /* folder it is in */
    char stem[256];
    char data[256];       /* file name of the data, when known */
    struct manifest m;    /* filled when the manifest could be read, else only slot and collection */
    bool has_manifest;
    char reason[1024];    /* why not complete */
};
struct entries {
    struct backup *v;
    size_t n, size;
};
void entries_free(struct entries *list);

/* Which entries of a folder to read; others come back as ENTRY_UNREAD with the slot their name says.
 * NULL reads all. */
typedef bool store_need(enum tier t, time_t slot, const void *arg);
/* All entries of `folder` in all tiers of `base` ({root}/{TIER}-{CPU_ARCH}). A folder that is not there
 * has none; one that cannot be read is an error. */
int store_list(const char *base, const char *folder, store_need *need, const void *arg, struct entries *list,
               struct err *e);
/* Names of all folders below `base`, sorted and unique; caller frees with store_folders_free. */
int store_folders(const char *base, char ***folders, size_t *n, struct err *e);
void store_folders_free(char **folders, size_t n);

enum publish_outcome {
    PUBLISHED, /* now on EFS */
    PUBLISH_SAME, /* was there already, identical */
    PUBLISH_VANISHED, /* the source went away: a full-storage snapshot takes them, see Qdrant's traps */
    PUBLISH_MISMATCH, /* bytes differ from Qdrant's .checksum: nothing left on EFS */
    PUBLISH_CONFLICT, /* EFS has a different snapshot under this name: never overwritten */
    PUBLISH_FAILED, /* try again later */
};
struct publish {
    const char *base, *path; /* where to; the local file */
    struct source source;
    const char *checksum; /* 64 hex digits from Qdrant, or NULL for an upload */
    const char *node;     /* NODE_NAME or NULL */
    const char *written_by;
    struct copy_options copy;
};
enum publish_outcome store_publish(const struct publish *p, struct manifest *out, struct err *e);

typedef void store_pruned(const struct backup *gone, void *arg);
/* Apply retention to one folder, and sweep what crashed writers left. Manifest first, then the data.
 * Refuses (-1, nothing deleted) when something there cannot be read. `on` is called for each one
 * deleted, or that would be with `dry_run`. */
int store_prune(const char *base, const char *folder, const struct retention *r, bool dry_run, store_pruned *on,
                void *arg, struct err *e);
/* Recompute all hashes of an entry; sets its state and reason. `out` as in copy_check, usually -1. */
void store_verify(struct backup *en, int out);
#endif
