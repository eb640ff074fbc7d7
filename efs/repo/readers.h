/* Many readers at once: a file system on the network answers each of them as fast as one alone, so that a
 * thousand manifests take a few hundred round trips in place of some thousand. */
#ifndef EFS_REPO_READERS_H
#define EFS_REPO_READERS_H
#include "efs/repo/backup.h"

/* Call `one` for each number below `n`, from several threads, each number once and in no order. After a first
 * -1 no further one is begun, and `e` is that of the least number that failed. Comes back when all have
 * ended. */
typedef int readers_one(size_t i, void *arg, struct err *e);
int readers_each(size_t n, readers_one *one, void *arg, struct err *e);
/* Of each entry: backup_read and backup_trust, ... */
typedef int readers_list(struct backup_list *list, struct err *e);
int readers_read(struct backup_list *list, struct err *e);
/* ... or backup_size_up. */
int readers_size_up(struct backup_list *list, struct err *e);
#endif
