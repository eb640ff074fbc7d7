/* index.tsv: what is there of one folder, a row for each backup, for people with plain tools and for
 * spreadsheets. {base}/index/{folder}/index.tsv, beside the folders of the frequencies, where nobody looks
 * for backups. It is made of the manifests and decides nothing: it may be hours late, and may be deleted at
 * any time. Each node of a tree may write it, together once an hour at most, for EFS replication carries all
 * of it each time. Every call may hang with EFS. */
#ifndef EFS_REPO_INDEX_TSV_H
#define EFS_REPO_INDEX_TSV_H
#include "efs/repo/backup.h"
#include <stdatomic.h>

enum {
    INDEX_TSV_AGE = 3300,   /* seconds that one stays as it is: what comes each hour comes somewhat early */
    INDEX_TSV_SMALL = 4096, /* bytes; a smaller one costs nothing, and never stays as it is */
};
/* Is it time to write that of `folder`? One question. */
bool index_tsv_due(const char *base, const char *folder);
/* Write it, if it says anything else than `list`, all of `folder` from backup_list_folder. Rows are taken
 * over from the one that is there: of what is in it no manifest is read again. Without any row the file goes.
 * `stop` (may be NULL): set, gives up with ECANCELED. */
int index_tsv_put(const char *base, const char *folder, const struct backup_list *list,
                  const atomic_bool *stop, struct err *e);
/* Of a folder that is no more. None there is no error. */
int index_tsv_remove(const char *base, const char *folder, struct err *e);
/* Remove those of collections that are not among `folders`, as backup_folders has found them, with those of
 * their shards. One listing, if there are none. */
int index_tsv_sweep(const char *base, char *const *folders, size_t n, struct err *e);
#endif
