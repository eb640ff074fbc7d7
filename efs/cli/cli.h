/* What the commands of qdrant-efs share: options, the selection of backups, and their views. */
#ifndef EFS_CLI_CLI_H
#define EFS_CLI_CLI_H
#include "common/base/text.h"
#include "efs/repo/settings.h"
#include "efs/repo/backup.h"
#include "efs/repo/readers.h"
enum { EXIT_DEFECT = 1 };
struct restore_options {
    const char *node, *snapshot, *shard, *rename, *to, *location, *checksum, *points,
        *filter; /* NULL when not given */
    time_t at;   /* 0: the newest */
    time_t wait; /* seconds, for the collection to be green */
    bool strict, force, to_stdout, storage, from_s3, recreate, swap, as_storage;
    const char **peers; /* --peer-url: as many as were given */
    size_t n_peers;
};
struct replica_options {
    const char *primary, *file_system; /* NULL when not given */
    time_t rpo;                        /* seconds; 0: as the heartbeat or RPO_SECONDS says */
    bool verify;
};
struct heal_options {
    const char **peers; /* --peer: as many as were given */
    size_t n_peers;
    bool restore, no_writers, replace;
};
struct options {
    struct settings settings;
    char root[PATH_MAX];
    const char **collections; /* none: all */
    size_t n_collections;
    int frequency;       /* -1 for all */
    time_t newer, older; /* slots; 0 for no limit */
    int state;           /* ls: -1 for all */
    unsigned latest;     /* ls: so many of each collection; 0: all */
    bool json, dry_run, deep;
    bool set; /* ls --sets, verify --set, restore --set, drill --set */
    struct restore_options restore;
    struct replica_options replica;
    struct heal_options heal;
    bool keep_report; /* drill */
    bool own;         /* drill --set: what falls to this node alone */
    bool all_nodes;   /* forget */
    bool every;       /* compact --all */
    bool pinned;      /* ls: these alone; forget: these, too */
    bool files;       /* diff */
    const char *note; /* pin; NULL when not given */
    const char *operand, *second;
};
int cmd_ls(const struct options *o);
int cmd_ls_sets(const struct options *o);
int cmd_show(const struct options *o);
int cmd_verify(const struct options *o);
int cmd_verify_set(const struct options *o);
int cmd_prune(const struct options *o);
int cmd_compact(const struct options *o);
int cmd_forget(const struct options *o);
int cmd_pin(const struct options *o);
int cmd_unpin(const struct options *o);
int cmd_note(const struct options *o);
int cmd_diff(const struct options *o);
int cmd_check(const struct options *o);
int cmd_restore(const struct options *o);
/* Settings of `restore` that have flags: which bucket, and where. */
enum { S3_ROWS = 2 };
extern const struct config_row s3_rows[S3_ROWS];
/* Settings of `drill`, and of `replica` and `status`, which have no flag. */
enum { DRILL_ROWS = 5, REPLICA_ROWS = 1 };
extern const struct config_row drill_rows[DRILL_ROWS], replica_rows[REPLICA_ROWS];
/* RPO_SECONDS. 0, or an exit code after an error that it printed. */
int cmd_rpo(time_t *out);
int cmd_status(const struct options *o);
int cmd_drill(const struct options *o);
int cmd_replica(const struct options *o);
int cmd_du(const struct options *o);
int cmd_browse(const struct options *o);
int cmd_heal(const struct options *o);

/* Visit each folder of each tree {TIER}-{CPU_ARCH} below the root that --collection lets through. */
typedef int folder_visit(const struct options *o, const char *base, const char *folder, void *arg,
                         struct err *e);
int cmd_each_folder(const struct options *o, folder_visit *visit, void *arg, struct err *e);
/* How many folders could not be listed: each was named, the command went on, and fails at its end. */
size_t cmd_unread(void);
/* Visit each of these trees. */
typedef int tree_visit(const struct options *o, const char *base, void *arg, struct err *e);
int cmd_each_tree(const struct options *o, tree_visit *visit, void *arg, struct err *e);
/* Does --collection let that one through? */
bool cmd_collection_wanted(const struct options *o, const char *collection);
/* Is that what the snapshot is called, with or without ".snapshot", ".snapshot.zst" or ".snapshot.delta"? */
bool cmd_is_named(const struct backup *b, const char *name);
/* Has that tree a folder of it? */
bool cmd_has_collection(const char *base, const char *name);
/* In place of each --collection that no tree has, the one that has it as an alias in its newest backup, which
 * is told. */
void cmd_resolve_aliases(struct options *o);
/* Tell of what the filters name and is nowhere: the tree, the collections. */
void cmd_tell_unknown(const struct options *o, bool collections);
/* How many such names were told: a command with one of them fails at its end. */
size_t cmd_unknown(void);
/* Does the backup pass the filters? By name where it was not read. */
bool cmd_wanted(const struct options *o, const struct backup *b);
/* All backups that pass the filters, read or ENTRY_UNREADABLE. When there are none, says why. -1 after an
 * error that it printed. */
int cmd_gather(const struct options *o, struct backup_list *list);
/* The same without a word when there are none. */
int cmd_gather_quietly(const struct options *o, struct backup_list *list);
/* The same, of names alone (ENTRY_UNREAD, but for those whose name has no time): of one folder of a tree, ...
 */
int cmd_list(const struct options *o, const char *base, const char *folder, struct backup_list *list,
             struct err *e);
/* ... of all that --collection lets through, ... */
int cmd_gather_names(const struct options *o, struct backup_list *list, struct err *e);
/* ... and of one collection and its shards, or of "%storage", for which no other folder is looked at. */
int cmd_gather_names_of(const struct options *o, const char *name, struct backup_list *list, struct err *e);
/* Call `visit` for each folder that has some, with what passes the filters, read by `read`: a few folders at
 * a time, whose lists go. When there are none at all, nothing is said. -1 after an error that it printed. */
typedef int cmd_list_visit(struct backup_list *list, void *arg, struct err *e);
int cmd_each_list(const struct options *o, readers_list *read, cmd_list_visit *visit, void *arg);
/* Say why nothing passes the filters. */
void cmd_tell_none(const struct options *o);
/* The collections that have a folder, as --collection lets them through, each once. Free with
 * backup_folders_free. */
int cmd_collection_names(const struct options *o, char ***names, size_t *n, struct err *e);
/* Of these only the backups of --node, by its NODE_NAME or its peer id. A node without any is told, and
 * counts in cmd_unknown. */
void cmd_keep_node(const struct options *o, struct backup_list *list);
/* The two halves of that, for whoever goes from folder to folder. */
void cmd_filter_node(const struct options *o, struct backup_list *list);
void cmd_tell_no_node(const struct options *o);

/* The folder of an entry as "{collection}" or "{collection}/%shard-N", and the length of its tree's path,
 * which stands before "/{frequency}/". */
const char *cmd_folder_of(const struct backup *b, size_t *tree);
bool cmd_same_folder(const struct backup *a, const struct backup *b);

/* Of --shard, which was given. 0, or an exit code after an error that it printed. */
int cmd_check_shard(const struct options *o);

/* What the tombstones of all these trees say; NULL without memory is fine for all. */
struct deleted;
struct deleted *deleted_load(const struct options *o);
void deleted_free(struct deleted *d);
/* When the collection of that backup was deleted in Qdrant; 0: it was not, or made anew before the backup. */
time_t deleted_when(const struct deleted *d, const struct backup *b);

/* One backup as JSON. Owned by the caller; NULL without memory. */
struct cJSON *cmd_json(const struct backup *b);
/* Add what a person says of it: `pinned`, by whom and when, `note`. False without memory. */
bool cmd_json_pin(struct cJSON *o, const struct backup *b);
/* The same at the end of a line: " (pinned: before the migration)", or nothing. */
enum { CMD_PIN_TEXT = 1700 };
void cmd_pin_text(const struct backup *b, char out[CMD_PIN_TEXT]);
void cmd_print_pin(const struct backup *b);
/* Print a list as an array of cmd_json objects. An exit code. */
int cmd_print_list(const struct backup_list *list);
/* Add text that may hold any bytes; false without memory. */
bool cmd_json_text(struct cJSON *o, const char *key, const char *value);
/* Print `json` and free it. An exit code. */
int cmd_print_json(struct cJSON *json);
/* `why` without `path`, for a line that has named it: errors of files name theirs. Cut where it does not fit;
 * returns `out`. */
const char *cmd_without_path(const char *why, const char *path, char *out, size_t size);
/* "12.3 MiB" */
static inline const char *cmd_human(uint64_t n, char out[16]) { return text_bytes(n, out); }
/* May standard output be coloured? A terminal, and NO_COLOR is not set. */
bool cmd_colour(void);
/* Have INT and TERM (and HUP, if `hangup`) ask for an end: they set what comes back. Whoever does not end
 * within CMD_STOP_MS, since he hangs on a mount that does not answer, is ended with exit code 128+N, as at
 * once by a second signal; `abandon` (may be NULL) is called before that, on another thread, and must not
 * touch EFS. From the main thread, before there is another one. */
enum { CMD_STOP_MS = 1500 };
const atomic_bool *cmd_catch_signals(bool hangup, void (*abandon)(void));
/* "qdrant-efs: ..." on stderr, fit for a terminal. */
void cmd_complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* A bar on stderr for long work; silent when stderr is no terminal. */
struct progress;
struct progress *progress_new(uint64_t total); /* bytes; NULL is fine for all below */
void progress_name(struct progress *p, const char *name);
void progress_bytes(size_t n, void *progress); /* a copy_watch's */
void progress_end(struct progress *p);
#endif
