#include "replicator/tarcheck.h"
#include <archive.h>
#include <archive_entry.h>

static int read_through(struct archive *a, const char *path, struct err *e)
{
    struct archive_entry *entry;
    unsigned long members = 0;
    for (;;) {
        int rc = archive_read_next_header(a, &entry);
        if (rc == ARCHIVE_EOF)
            break;
        if (rc != ARCHIVE_OK || archive_read_data_skip(a) != ARCHIVE_OK)
            return err_set(e, 0, "not a whole tar:", path, "upload it again, or delete it");
        members++;
    }
    return members > 0 ? 0 : err_set(e, 0, "an empty tar:", path, "upload it again, or delete it");
}

int tarcheck(const char *path, struct err *e)
{
    struct archive *a = archive_read_new();
    if (!a)
        return err_set(e, 12, "cannot check", path, NULL);
    int rc = archive_read_support_format_tar(a) == ARCHIVE_OK && archive_read_open_filename(a, path, 1 << 16) == ARCHIVE_OK
                 ? read_through(a, path, e)
                 : err_set(e, 0, "not a tar:", path, "upload it again, or delete it");
    (void)archive_read_free(a);
    return rc;
}
