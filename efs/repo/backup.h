/* The layout on EFS: {root}/{TIER}-{CPU_ARCH}/{frequency}/{folder}/{stem}.snapshot[.zst|.delta], .sha256 and
 * .json. Finds, publishes and prunes backups. Every call may hang with EFS: never call from a thread
 * that others wait for. Not thread-safe for one folder: one writer per folder. */
#ifndef EFS_REPO_BACKUP_H
#define EFS_REPO_BACKUP_H
#include "efs/data/layers.h"
#include "efs/repo/manifest.h"
#include "efs/repo/retention.h"
#include "efs/repo/signature.h"
#include <limits.h>
#include <sys/stat.h>

enum {
    BACKUP_AHEAD = FREQUENCY_AHEAD
}; /* seconds that clocks may be apart; what is further ahead is of a wrong one */
enum entry_state {
    ENTRY_UNREAD,
    ENTRY_COMPLETE,
    ENTRY_INCOMPLETE,
    ENTRY_CORRUPT,
    ENTRY_UNREADABLE, /* of backup_read alone: the file system does not give its manifest or its data */
    ENTRY_UNSIGNED,   /* of backup_trust alone: complete, but no signature, and one is required */
    ENTRY_STATES,
};
const char *entry_state_text(enum entry_state s);
struct backup {
    enum entry_state state;
    enum frequency frequency;
    const char *dir;        /* folder it is in; belongs to the list */
    char stem[NAME_STORED]; /* of its files; m.source.stem is the snapshot's name */
    char data[256];         /* file name of the data, when known */
    struct manifest m;      /* filled once the manifest could be read; until then collection, peer and slot
                               are what folder and name say, the slot 0 when they do not */
    unsigned kinds;         /* of data files of its name, see backup_beside */
    bool has_manifest;
    enum signature_verdict signature; /* of the manifest that `m` was read from */
    bool has_receipt;                 /* of a second target, {data}.s3 */
    unsigned needed_by;               /* how many others are made of it, where ruler_count was asked */
    bool pinned, noted;               /* such a file is beside it, see efs/repo/pin.h */
    time_t written;    /* when the manifest was written, by the clock of the file system's server */
    time_t aliases_at; /* not 0: its manifest does not tell its aliases, m.aliases are those of the backup of
                          that time (restore_inherit_aliases) */
    char *reason;      /* why not complete, else NULL; belongs to the list */
};
struct backup_list {
    struct backup *v;
    size_t n, size;
    char **dirs; /* what the entries' `dir` point at */
    size_t n_dirs;
};
void backup_list_free(struct backup_list *list);
/* Append all entries of `from`, which is empty afterwards. False without memory: `from` is as it was. */
bool backup_list_move(struct backup_list *to, struct backup_list *from);
#define cleanup_backup_list __attribute__((cleanup(backup_list_free)))

/* Append all entries of `folder` in all tiers of `base` ({root}/{TIER}-{CPU_ARCH}), oldest first. Only names
 * are read (state ENTRY_UNREAD), but for entries whose name has no time: these are loaded. A folder that is
 * not there has none; one that cannot be read is an error. */
int backup_list_folder(const char *base, const char *folder, struct backup_list *list, struct err *e);
/* Read the manifest of an ENTRY_UNREAD and look at the length of its data. -1 only when that could not be
 * done; a defect found is the entry's state and reason. */
int backup_load(struct backup *b, struct err *e);
/* Of an entry that was read: what its manifest tells of the cluster's shards, which is read once more for
 * that; empty where it tells nothing. `out` is to be freed. */
int backup_shards(const struct backup *b, struct shards *out, struct err *e);
/* When the manifest of an ENTRY_UNREAD was written, without reading it: one question. */
void backup_date(struct backup *b);
/* Of an ENTRY_UNREAD only what its manifest says, in one call where backup_load makes four; it stays unread.
 * For whoever adds up. -1 only without memory. */
int backup_size_up(struct backup *b, struct err *e);
/* The keys that backup_load checks signatures with, and whether each backup must have one. Set once, before
 * there are threads; the keys stay the caller's. NULL: signatures are not looked at. */
void backup_verify_keys(const struct verify_keys *keys, bool required);
/* For whoever restores or verifies, of an entry that was read: with a bad signature it becomes corrupt, and
 * without one, where that is required, ENTRY_UNSIGNED: on a replica it may still be arriving. Retention and
 * publishing do not ask: an old backup without a signature must not stop them. */
void backup_trust(struct backup *b);
/* Set `signature` by what stands for the manifest elsewhere than on EFS. `signature` NULL: there is none. */
void backup_check(struct backup *b, const void *data, size_t n, const void *signature, size_t size);
/* Did that key sign the manifest that is there now? Then *m is what it says. For whoever vouches for it
 * again, in another place. */
bool backup_signed_by(const struct backup *b, const struct signing_key *k, struct manifest *m);
/* May what it says of itself (node, aliases) decide about others? Not without a signature where one is
 * required. One that was not read says nothing. */
bool backup_trusted(const struct backup *b);
/* For whoever restores: what cannot be read is no reason to do without the rest. The folder of a tier that
 * cannot be listed is told and left out; an entry whose manifest or data the file system does not give
 * becomes ENTRY_UNREADABLE, with the reason. -1 only without memory. */
struct backup_faults {
    void (*tell)(const struct err *why, void *arg);
    void *arg;
};
int backup_list_found(const char *base, const char *folder, const struct backup_faults *faults,
                      struct backup_list *list, struct err *e);
int backup_read(struct backup *b, struct err *e);
/* Of an entry that was read: corrupt, or with a manifest that cannot be made out. Nobody can say what it is,
 * so it is neither overwritten nor pruned around. */
bool backup_broken(const struct backup *b);
/* A list as retention and the choice of a tier see it, `items` with room for all. An entry that was not read
 * counts as good when it has a manifest. */
void backup_items(const struct backup_list *list, struct frequency_item *items);
/* Set the items' `node` (efs/repo/node.h): one number for each NODE_NAME, and one for each chain of peers
 * without one. A name tells the peer id alone, so that of each peer the newest manifest is read. `own`: one
 * that is not in the list yet, whose number goes behind those of the list; may be NULL. *changed: some were
 * read. -1: one that is needed cannot be read. */
int backup_nodes(struct backup_list *list, const struct manifest *own, struct frequency_item *items,
                 bool *changed, struct err *e);
/* Names of all folders below `base`, sorted and unique; caller frees with backup_folders_free. */
int backup_folders(const char *base, char ***folders, size_t *n, struct err *e);
/* The same; what cannot be listed is told, and the others are found. */
int backup_folders_found(const char *base, const struct backup_faults *faults, char ***folders, size_t *n,
                         struct err *e);
/* Of these collections alone: no other folder is looked at. A name may also be that of a folder that is no
 * collection's, such as "%storage". */
int backup_folders_of(const char *base, const char *const *collections, size_t n_collections,
                      const struct backup_faults *faults, char ***folders, size_t *n, struct err *e);
void backup_folders_free(char **folders, size_t n);

enum publish_outcome {
    PUBLISHED,        /* now on EFS */
    PUBLISH_SAME,     /* was there already, identical */
    PUBLISH_EXPIRED,  /* not copied: retention would let it go at once, newer ones are there */
    PUBLISH_VANISHED, /* the source went away: a full-storage snapshot takes them, see Qdrant's traps */
    PUBLISH_MISMATCH, /* bytes differ from Qdrant's .checksum: nothing left on EFS */
    PUBLISH_CONFLICT, /* EFS has a different snapshot under this name: never overwritten */
    PUBLISH_FAILED,   /* try again later */
    PUBLISH_REFUSED,  /* it is no backup of this collection, as it is now: not published, not deleted */
    PUBLISH_WAITS,    /* whether it is one cannot be told now: try again later */
    PUBLISH_NOTHING,  /* there is nothing to be kept: no shard of this node, or it was forgotten */
};
/* Which file it was: another of the same name may take its place at any time. */
struct stamp {
    ino_t ino;
    off_t size;
    struct timespec mtime;
};
bool stamp_is(const struct stamp *s, const struct stat *st);
struct publish {
    const char *base, *path;   /* where to; the local file */
    const struct stamp *stamp; /* which file that has to be, or NULL */
    struct source source;
    const char *checksum; /* 64 hex digits from Qdrant; NULL: an upload, whose name proves nothing: it is
                             published by the file's own time, never above 15min */
    const char *known;    /* SHA-256 of an upload as it was read before, or NULL */
    const char *node;     /* NODE_NAME or NULL */
    const char *written_by;
    const struct signing_key *sign;               /* NULL: manifests are not signed */
    void (*about)(struct manifest *m, void *arg); /* asked just before copying for what is worth noting:
                                                     Qdrant's version, the points; may be NULL */
    void *about_arg;
    /* Asked before anything is written, of what is not on EFS yet: is it a backup of that collection?
     * Anything but PUBLISHED is what backup_publish returns, with `e`. May be NULL. */
    enum publish_outcome (*prove)(struct manifest *m, void *arg, struct err *e);
    void *prove_arg;
    const struct shards *shards; /* for the manifest, filled by `prove` or `about`; may be NULL */
    const struct retention *retention;
    struct copy_options copy;
    bool delta; /* 15min and hourly ones as deltas, where that is less than half of a whole */
};
/* Choose the tier, copy, compare with the checksum, publish. Slot and creation are by the clock of EFS's
 * server (frequency_taken), also when the node's is wrong; what is from the future all the same was created
 * when it is published, in 15min. `out` is filled for PUBLISHED and PUBLISH_SAME; `e` for MISMATCH, CONFLICT,
 * FAILED, REFUSED, WAITS and NOTHING. */
enum publish_outcome backup_publish(const struct publish *p, struct manifest *out, struct err *e);

struct prune {
    const struct retention *retention;
    bool dry_run;
    bool no_sweep; /* what crashed writers left stays until the next call without this */
    /* Narrows what may go; NULL: all that retention lets go. Only loaded entries are asked about. */
    bool (*may)(const struct backup *b, void *arg);
    /* Called for each one deleted, or that would be with `dry_run`. May be NULL. */
    void (*gone)(const struct backup *b, void *arg);
    /* Called for each one that retention lets go, and that is pinned, or that newer ones which stay are made
     * of. May be NULL. */
    void (*pinned)(const struct backup *b, void *arg);
    void (*needed)(const struct backup *b, void *arg);
    void *arg;
};
/* Apply retention to one folder, but for what is pinned and what that is made of, and sweep what crashed
 * writers left. Manifest first, then the data.
 * Refuses (-1, nothing deleted) when what is to go, or what is to stay in its place, cannot be read. */
int backup_prune(const char *base, const char *folder, const struct prune *p, struct err *e);

/* The files that a delta, or a whole with a recipe, is made of, for its pieces. Each is opened, and its
 * recipe is proven. -1: code 0 when one is not what the manifest says, else errno's. */
int backup_open_layers(const struct backup *b, struct layers **out, struct err *e);
/* How many bytes whoever reads or verifies it is told of, in all. */
uint64_t backup_work(const struct manifest *m);
/* The file for `sha256sum -c`, which ops use without us, must say what the manifest says: ENTRY_COMPLETE, or
 * what that makes of the backup, with `e`. */
/* Its data, to be read. The code of an error is 0 where that is no file of its own. */
int backup_open_data(const struct backup *b, struct err *e);
enum entry_state backup_sums(const struct backup *b, struct err *e);
/* Data files of its name that are not its own: of a task that was about to publish it in another way, or what
 * was its data before (efs/repo/compact.h). The next one; *next is 0 at first. */
bool backup_has_beside(const struct backup *b);
bool backup_beside(const struct backup *b, unsigned *next, char name[NAME_MAX + 1]);
/* Recompute all hashes of an entry; sets its state and reason. */
void backup_verify(struct backup *b, const struct copy_watch *watch);
#endif
