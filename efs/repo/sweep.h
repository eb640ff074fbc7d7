/* What crashed writers, older programs and `qdrant-efs compact` left in the folders of backups, and when it
 * may go. Ages count by the clock of EFS's server, by which files have their times: ours may run ahead, and
 * another task's file, which it has just begun, would look abandoned. */
#ifndef EFS_REPO_SWEEP_H
#define EFS_REPO_SWEEP_H
#include "efs/repo/backup.h"

enum { SWEEP_ABANDONED = 86400 }; /* seconds: a writer that has not touched its file for so long is gone */
struct sweep_clock {
    bool known, ask; /* nothing is written to ask the server in a dry run */
    time_t now;
};
bool sweep_older(const struct stat *st, time_t limit, const char *dir, struct sweep_clock *c);
/* Files that are no part of any backup, in the folders of all frequencies. */
int sweep_folder(const char *base, const char *folder, struct sweep_clock *c, struct err *e);
/* Data beside a complete backup's own, of a list of one folder: not needed by any of them, and a day old as
 * their manifest is. What cannot be read now keeps what it may need. */
int sweep_beside(struct backup_list *list, struct sweep_clock *c, struct err *e);
/* Of a whole that was a delta first, and whose manifest is deleted by now: the delta's data, if none of
 * `list`, which was read since, is made of it. */
int sweep_was_delta(struct backup_list *list, const struct backup *b, struct err *e);
#endif
