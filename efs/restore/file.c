#include "common/base/cleanup.h"
#include "common/base/files.h"
#include "efs/restore/internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* What cannot be read may be readable later; what is read and wrong stays so. */
static enum restore_outcome outcome_of(const struct err *e)
{
    return e->code == 0 ? RESTORE_DEFECT : RESTORE_FAILED;
}

/* Whoever starts a Qdrant with it has that take all names in it as they are. */
static enum restore_outcome judge_names(struct inside *inside, const char *name, struct err *e)
{
    const struct inside_says *says = inside ? inside_end(inside) : NULL;
    char what[700];
    if (!says || !says->hostile.text[0])
        return RESTORE_DONE;
    (void)snprintf(what, sizeof what,
                   "its bytes are what the manifest says, and Qdrant must not be given them: %.500s",
                   says->hostile.text);
    (void)err_set(e, 0, what, NULL, *name ? "do not start Qdrant with what was written" : NULL);
    return RESTORE_DEFECT;
}

/* `fd` -1: nowhere. */
static enum restore_outcome copy_out(const struct backup *b, int fd, const char *name,
                                     const struct restore_reading *how, struct err *e)
{
    struct err why = {0};
    cleanup_inside struct inside *inside = NULL;
    cleanup_reader struct backup_reader *s =
        backup_reader_open_from(how->origin, b, &how->watch, how->stop, &why);
    const void *piece = NULL;
    ssize_t n = -1;
    if (s && b->m.source.kind == KIND_STORAGE && !(inside = inside_new_storage(e)))
        return RESTORE_FAILED;
    while (s && (n = backup_reader_borrow(s, &piece, &why)) > 0) {
        if (inside)
            inside_feed(inside, piece, (size_t)n);
        if (fd >= 0 && files_write_all(fd, piece, (size_t)n, name, e) != 0)
            return RESTORE_FAILED;
    }
    if (n == 0)
        return judge_names(inside, name, e);
    if (e)
        *e = why;
    return outcome_of(&why);
}

enum restore_outcome restore_prove(const struct backup *b, const struct restore_reading *how, struct err *e)
{
    return copy_out(b, -1, "", how, e);
}

enum restore_outcome restore_to_fd(const struct backup *b, int fd, const char *name,
                                   const struct restore_reading *how, struct err *e)
{
    return copy_out(b, fd, name, how, e);
}

/* What an earlier one left that was killed. */
static void sweep(const char *dir)
{
    char path[PATH_MAX];
    cleanup_dir DIR *d = opendir(dir);
    for (struct dirent *de; d && (de = readdir(d));)
        if (files_partial_orphan(de->d_name) && files_join(path, sizeof path, dir, de->d_name, NULL) == 0)
            (void)unlink(path); /* best effort */
}

static int folder_of(const char *path, char dir[PATH_MAX], struct err *e)
{
    const char *slash = strrchr(path, '/');
    if (!slash || slash == path)
        (void)snprintf(dir, PATH_MAX, "%s", slash ? "/" : ".");
    else if ((size_t)snprintf(dir, PATH_MAX, "%.*s", (int)(slash - path), path) >= PATH_MAX)
        return err_set(e, ENAMETOOLONG, "cannot write", path, NULL);
    return 0;
}

static enum restore_outcome taken(const char *path, struct err *e)
{
    (void)err_set(e, EEXIST, "cannot write", path, "give another name, or --force to replace it");
    return RESTORE_REFUSED;
}

static bool has_folder(const char *path, struct err *e)
{
    char dir[PATH_MAX], what[PATH_MAX + 40];
    struct stat st;
    if (folder_of(path, dir, e) != 0)
        return false;
    if (stat(dir, &st) == 0 && S_ISDIR(st.st_mode))
        return true;
    (void)snprintf(what, sizeof what, "there is no folder %.900s, so that nothing can be written to", dir);
    (void)err_set(e, 0, what, path, "make the folder, or give another name");
    return false;
}

/* A rename would put a file in the place of a FIFO, a device or a link. */
enum restore_outcome restore_file_free(const char *path, bool replace, struct err *e)
{
    struct stat st;
    if (lstat(path, &st) != 0) /* what else it may be, writing will say */
        return has_folder(path, e) ? RESTORE_DONE : RESTORE_REFUSED;
    if (S_ISREG(st.st_mode))
        return replace ? RESTORE_DONE : taken(path, e);
    (void)err_set(e, 0, "this is no regular file, and is not replaced:", path,
                  "give another name; for a pipe or a device there is --stdout");
    return RESTORE_REFUSED;
}

static enum restore_outcome give_name(const char *partial, const char *dir, const char *path, bool replace,
                                      struct err *e)
{
    int rc = replace ? files_rename(partial, path, e) : files_name_new(partial, path, e);
    if (rc > 0)
        return taken(path, e);
    return rc == 0 && files_sync_dir(dir, e) == 0 ? RESTORE_DONE : RESTORE_FAILED;
}

typedef enum restore_outcome writer(const struct backup *b, int fd, const char *name,
                                    const struct restore_reading *how, struct err *e);

static enum restore_outcome write_partial(const struct backup *b, const char *dir, const char *partial,
                                          writer *out, const struct restore_reading *how, struct err *e)
{
    /* 0600, as Qdrant's own: it holds whatever the collection does. */
    cleanup_close int fd = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        (void)err_set(e, errno, "cannot create a file in", dir, "give a folder that can be written to");
        return RESTORE_FAILED;
    }
    enum restore_outcome outcome = out(b, fd, partial, how, e);
    if (outcome != RESTORE_DONE)
        return outcome;
    return files_sync_close(&fd, partial, e) == 0 ? RESTORE_DONE : RESTORE_FAILED;
}

static enum restore_outcome to_file(const struct backup *b, const char *path, bool replace, writer *out,
                                    const struct restore_reading *how, struct err *e)
{
    char dir[PATH_MAX], partial[PATH_MAX];
    if (folder_of(path, dir, e) != 0 || files_partial(dir, partial, sizeof partial, e) != 0)
        return RESTORE_FAILED;
    sweep(dir);
    if (restore_file_free(path, replace, e) != RESTORE_DONE)
        return RESTORE_REFUSED; /* before the work, not after it */
    enum restore_outcome outcome = write_partial(b, dir, partial, out, how, e);
    if (outcome == RESTORE_DONE)
        outcome = give_name(partial, dir, path, replace, e);
    if (outcome != RESTORE_DONE)
        (void)unlink(partial); /* best effort: the next one sweeps */
    return outcome;
}

enum restore_outcome restore_to_file(const struct backup *b, const char *path, bool replace,
                                     const struct restore_reading *how, struct err *e)
{
    return to_file(b, path, replace, copy_out, how, e);
}

enum restore_outcome restore_to_storage(const struct backup *b, const char *path, bool replace,
                                        const struct restore_reading *how, struct err *e)
{
    return to_file(b, path, replace, restore_storage_out, how, e);
}
