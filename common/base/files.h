/* Files with every error looked at: what plain write(2) callers forget on NFS. */
#ifndef COMMON_BASE_FILES_H
#define COMMON_BASE_FILES_H
#include "common/base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
/* mkdir -p below `root`, which must exist; every new folder's parent is fsynced. */
int files_mkdirs(const char *root, const char *relative, struct err *e);
/* Calls `visit` for each entry of the folder `dir` whose name does not begin with '.', in the folder's own
 * order. A folder that is not there has none. -1 with the error when it cannot be listed, or when `visit` is
 * not 0. */
struct dirent;
int files_each(const char *dir, int (*visit)(const struct dirent *de, void *arg, struct err *e), void *arg,
               struct err *e);
/* Have an NFS client ask the server about `root` and each folder of `relative` below it, before they are
 * listed: by itself it believes what it knew of a folder, also that one is not there, for up to a minute
 * (nfs(5)). */
void files_refresh(const char *root, const char *relative);
/* The same without `root` itself, about which it was just asked. */
void files_refresh_below(const char *root, const char *relative);
int files_write_all(int fd, const void *data, size_t n, const char *path, struct err *e);
/* What is made from now on has these modes: files that files_put writes, folders of files_mkdirs, and data,
 * for whoever writes that. Once, before there are threads; 0644, 0755 and 0600 without. The umask takes away
 * from them. */
void files_modes(mode_t text, mode_t folder, mode_t data);
mode_t files_data_mode(void);
int files_sync_dir(const char *path, struct err *e);
/* fsync and close. NFS reports write errors here: close(2), nfs(5). `*fd` becomes -1 in any case. */
int files_sync_close(int *fd, const char *path, struct err *e);
/* rename(2). On NFS a retried RPC can report failure for work that was done, so an error is believed
 * only if `to` is not the file that `from` was. */
int files_rename(const char *from, const char *to, struct err *e);
/* Give `from` the name `to` if nothing has that yet: link(2) and unlink(2), since NFSv4.1 has no rename that
 * refuses to overwrite. 0 done, 1 the name is taken (`from` stays), -1 an error. A file system without hard
 * links gets a plain rename. */
int files_name_new(const char *from, const char *to, struct err *e);
/* Atomically put `text` at dir/name by way of a hidden partial name. */
int files_put(const char *dir, const char *name, const char *text, struct err *e);
/* The same where nothing may be overwritten: 1 when the name is taken. */
int files_put_new(const char *dir, const char *name, const char *text, struct err *e);
int files_put_new_bytes(const char *dir, const char *name, const void *data, size_t n, struct err *e);
/* In place of what has the name, with owner and mode of `like`. */
int files_put_like(const char *dir, const char *name, const void *data, size_t n, const struct stat *like,
                   struct err *e);
/* An open file that we have just made gets owner and mode of `like`. */
int files_give(int fd, const char *path, const struct stat *like, struct err *e);
/* Whole small file as a NUL-terminated string, caller frees. More than `max` bytes is an error (EFBIG).
 * NULL on error. */
char *files_get(const char *path, size_t max, struct err *e);
/* With its length: bytes of any kind. */
char *files_get_sized(const char *path, size_t max, size_t *got, struct err *e);
#define FILES_PARTIAL ".partial-"
/* "DIR/.partial-HOST-NAMESPACE-PID-TOKEN-N": unique per writer, also over restarts; `out` of `size` bytes. */
int files_partial(const char *dir, char *out, size_t size, struct err *e);
/* Is `name` the partial file of a process of this host that is no more? False when that is not known. */
bool files_partial_orphan(const char *name);
/* Is it of this host, but of another pid namespace? Most likely of the container before its restart; whether
 * its process lives cannot be asked. */
bool files_partial_before_restart(const char *name);
/* Delete the partial files that writers of small ones left there, which are gone: what takes a moment to
 * write and is an hour old has none any more. What cannot be deleted now, the next one tries again. */
void files_sweep_small(const char *dir);
/* Remove all that is in a folder, or the folder too, on this file system alone. What a process that was
 * killed a moment ago still writes there is removed as well. A folder that is not there is no error. */
int files_empty_dir(const char *path, struct err *e);
int files_remove_dir(const char *path, struct err *e);
/* What the clock of the file system's own server shows, by way of a file that is made in `dir`, and deleted.
 */
int files_server_time(const char *dir, time_t *now, struct err *e);
/* snprintf("%s/%s") that refuses to cut. */
int files_join(char *out, size_t size, const char *dir, const char *name, struct err *e);
#endif
