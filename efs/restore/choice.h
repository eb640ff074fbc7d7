/* Which backup is taken. The lists are of names (efs/repo/backup.h): a manifest is read only where the answer
 * needs it, the newest first, so that a choice among a thousand backups reads as many manifests as one among
 * two. What a name does not tell (whose a backup is, whether its clock ran ahead, whether it is whole) is
 * found out for those that come first, and of each peer for its oldest. A list that was read is chosen from
 * in the same way, and nothing is read again. No globals. */
#ifndef EFS_RESTORE_CHOICE_H
#define EFS_RESTORE_CHOICE_H
#include "efs/repo/backup.h"

/* Which backup is wanted. */
struct restore_selector {
    enum kind kind;
    const char *collection; /* as it was named; for KIND_STORAGE "" */
    const char *shard;      /* for KIND_SHARD; NULL: any */
    const char *node;       /* NODE_NAME, or a peer id; NULL: that of the newest, when others do not matter */
    const char *snapshot;   /* its name, with or without ".snapshot"; NULL: any */
    time_t at;              /* taken at that time or before; 0: any time */
    int frequency;          /* -1: any */
    bool any_node;          /* with `node` NULL: all nodes count as one, whatever that mixes */
    bool any_tree;          /* and all trees */
    time_t now;             /* the clock on the wall, for restore_moment; 0: names are believed */
};
/* When it was taken: the time in its name, else that of its manifest. 0: not known. */
time_t backup_time(const struct backup *b);
/* Does that time lie in the future, because the clock of its node ran ahead? By more than RESTORE_TOLERANCE
 * against `now` (0: not asked), or by more than RESTORE_SKEW against the time at which the file system's own
 * server wrote its manifest: that clock is none of the node's. */
enum { RESTORE_TOLERANCE = 300, RESTORE_SKEW = 3600 };
bool restore_ahead(const struct backup *b, time_t now);
/* The time by which it is chosen: backup_time, or when that lies in the future, the time of creation in its
 * manifest, by which publishing mends a wrong clock; else 0. */
time_t restore_moment(const struct backup *b, time_t now);
/* All its times lie in the future, so that it would win over every other one: whoever chooses by himself
 * passes it over. */
bool restore_beyond(const struct backup *b, time_t now);
/* What a person must know of a backup whose time lies in the future; empty for any other. */
void restore_clock_note(const struct backup *b, time_t now, char *out, size_t size);
/* "2026-11-24T08:00:00Z", also without seconds, "T" or "Z"; "2026-11-24": its last second; "2h": that long
 * before `now`. False on anything else, and on what begins more than RESTORE_TOLERANCE after `now` (0: not
 * asked): a mistyped year would mean the latest, and nobody would notice. */
bool time_parse(const char *text, time_t now, time_t *out);
/* What to write in place of a text that time_parse refuses. */
const char *restore_when_use(const char *text, time_t now);

/* How a choice looks at what a name does not tell. */
struct restore_look {
    int (*read)(struct backup *b, void *arg, struct err *e); /* as backup_read, then backup_trust */
    void (*date)(struct backup *b, void *arg);               /* as backup_date */
    time_t (*changed)(const struct backup *b, void *arg);    /* when a name in its folder did */
    bool (*may)(const struct backup *b, void *arg); /* may it be taken, by restore_moment? NULL: all */
    void *arg;                                      /* several threads may call these at once */
};
extern const struct restore_look restore_look_files; /* at the files, and all may be taken */

struct restore_choice;
/* Of `list`, whose entries stay in their places meanwhile. `look` is copied, as is `w`. NULL without
 * memory. */
struct restore_choice *restore_choice_new(struct backup_list *list, const struct restore_selector *w,
                                          const struct restore_look *look, struct err *e);
void restore_choice_free(struct restore_choice *c); /* NULL is fine */
#define cleanup_choice __attribute__((cleanup(restore_choice_end)))
static inline void restore_choice_end(struct restore_choice **c) { restore_choice_free(*c); }
/* Those of the list from `begin` to before `end` that fit are chosen from, too; of two of one moment the one
 * that was added first. -1, and none of them is: `e` has ENOMEM, or says why nothing can be chosen although
 * something fits: it is of several trees, or of several nodes that live side by side, each of which has
 * shards of its own. A task that was replaced without a NODE_NAME comes back as another node, and a
 * deployment may run both for a while: one whose last backup is not RESTORE_OVERLAP younger than the first of
 * the newest node, or by RESTORE_APART older than the newest backup, is taken for a predecessor. */
enum { RESTORE_OVERLAP = 2 * 3600, RESTORE_APART = 2 * 86400 };
int restore_choice_add(struct restore_choice *c, size_t begin, size_t end, struct err *e);
/* The next one, which was read, the newest first; uploads, which Qdrant has not made here, after all others,
 * unless `snapshot` names one; also of those that are incomplete, corrupt or restore_beyond. *out is NULL at
 * the end. -1 without memory. */
int restore_choice_next(struct restore_choice *c, struct backup **out, struct err *e);
/* The same, which restore_choice_next gives once more. */
int restore_choice_peek(struct restore_choice *c, struct backup **out, struct err *e);
/* The first of what is left that is between these two places of the list, by its name where it was not read.
 */
const struct backup *restore_choice_first_of(const struct restore_choice *c, size_t begin, size_t end);
/* Why the caller, who has not named it, does not take that one: it is not complete, or its times are beyond
 * all others. False: nothing is against it. */
bool restore_choice_refuses(const struct restore_choice *c, const struct backup *b, char *why, size_t size);

/* Qdrant may have gone before it was asked for the aliases of a snapshot, as when the task was stopped; a
 * restore without them would look whole. Give a backup of a collection whose manifest does not tell them
 * those of the last one in `list` before it, in its tree, that does. -1 without memory. */
int restore_inherit_aliases(struct backup_list *list, struct backup *b, time_t now,
                            const struct restore_look *look, struct err *e);

enum restore_outcome {
    RESTORE_DONE,
    RESTORE_DEFECT,  /* the backup is not what its manifest says, or Qdrant refuses what is in it: another one
                        may do. What a refused one left is gone again, unless `e` says otherwise */
    RESTORE_REFUSED, /* would replace points, or leave another configuration: nothing was changed */
    RESTORE_FAILED,  /* another backup would not help; or it was restored, and is not what was there */
};
/* Try one after the other until one is no defect. */
struct restore_attempt {
    enum restore_outcome (*with)(struct backup *b, void *arg, struct err *e);
    void (*skipped)(struct backup *b, const char *why, void *arg); /* that one was passed over; may be NULL */
    void *arg;
    bool strict; /* the first must do */
};
/* *which (may be NULL) is the last one that was tried, NULL: there was none. */
enum restore_outcome restore_first_good(struct restore_choice *c, const struct restore_attempt *a,
                                        struct backup **which, struct err *e);
#endif
