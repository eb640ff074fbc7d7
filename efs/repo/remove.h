/* Deleting one backup: its manifest first, which makes it no backup, then the rest. */
#ifndef EFS_REPO_REMOVE_H
#define EFS_REPO_REMOVE_H
#include "efs/repo/backup.h"
/* One that is half gone is deleted as well. */
int remove_backup(const struct backup *b, struct err *e);
/* Its two halves. */
int remove_manifest(const struct backup *b, struct err *e);
int remove_data(const struct backup *b, struct err *e);
/* Data with what belongs to it: its .sha256, and the receipt of a second target. */
int remove_data_file(const char *dir, const char *name, struct err *e);
/* {dir}/{name}{suffix}; none there is no error. */
int remove_file(const char *dir, const char *name, const char *suffix, struct err *e);
#endif
