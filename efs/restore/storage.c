/* `qdrant --storage-snapshot` (1.18.2, src/snapshots.rs) takes a tar with config.json, {collections_mapping:
 * {collection: file}, collections_aliases: {alias: collection}}, and the files beside it. Unlike the upload
 * it takes each collection as it is, shard keys and all. Qdrant puts the name of a file and of a collection
 * together with ':' and cuts them apart again, so that neither may have one. */
#include "common/base/cleanup.h"
#include "common/archive.h"
#include "common/json.h"
#include "efs/restore/internal.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { CHUNK = 1 << 20 };
static const char INSIDE[] = "collection.snapshot";

static enum restore_outcome cannot_write(struct archive *a, const char *name, struct err *e)
{
    int why = a ? archive_errno(a) : ENOMEM;
    (void)err_set(e, why > 0 ? why : EIO, "cannot write", name, NULL);
    return RESTORE_FAILED;
}

static bool begin_member(struct archive *a, const char *name, uint64_t size)
{
    cleanup_entry struct archive_entry *entry = archive_entry_new();
    if (!entry)
        return false;
    archive_entry_set_pathname(entry, name);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0600);
    archive_entry_set_size(entry, (la_int64_t)size);
    return archive_write_header(a, entry) == ARCHIVE_OK;
}

static enum restore_outcome write_bytes(struct archive *a, struct backup_reader *s, char *buf,
                                        const char *name, struct err *e)
{
    struct err why = {0};
    ssize_t n;
    while ((n = backup_reader_read(s, buf, CHUNK, &why)) > 0)
        if (archive_write_data(a, buf, (size_t)n) != n)
            return cannot_write(a, name, e);
    if (n == 0)
        return RESTORE_DONE;
    if (e)
        *e = why;
    return why.code == 0 ? RESTORE_DEFECT : RESTORE_FAILED;
}

static enum restore_outcome write_snapshot(struct archive *a, const struct backup *b, const char *name,
                                           const struct restore_reading *how, struct err *e)
{
    struct err why = {0};
    cleanup_reader struct backup_reader *s =
        backup_reader_open_from(how->origin, b, &how->watch, how->stop, &why);
    if (!s && e)
        *e = why;
    if (!s)
        return why.code == 0 ? RESTORE_DEFECT : RESTORE_FAILED;
    if (!begin_member(a, INSIDE, b->m.content.size))
        return cannot_write(a, name, e);
    cleanup_free char *buf = malloc(CHUNK);
    return buf ? write_bytes(a, s, buf, name, e) : cannot_write(NULL, name, e);
}

/* NULL without memory. */
static char *config_of(const struct backup *b)
{
    const char *collection = b->m.source.collection;
    cleanup_json cJSON *o = cJSON_CreateObject();
    cJSON *mapping = cJSON_AddObjectToObject(o, "collections_mapping"),
          *aliases = cJSON_AddObjectToObject(o, "collections_aliases");
    bool good = mapping && aliases && cJSON_AddStringToObject(mapping, collection, INSIDE);
    for (const char *name = NULL; good && (name = aliases_next(&b->m.aliases, name));)
        good = cJSON_AddStringToObject(aliases, name, collection);
    return good ? cJSON_PrintUnformatted(o) : NULL;
}

static enum restore_outcome write_config(struct archive *a, const struct backup *b, const char *name,
                                         struct err *e)
{
    char *text = config_of(b);
    size_t n = text ? strlen(text) : 0;
    bool good = text && begin_member(a, "config.json", n) && archive_write_data(a, text, n) == (la_ssize_t)n;
    cJSON_free(text);
    return good && archive_write_close(a) == ARCHIVE_OK ? RESTORE_DONE : cannot_write(a, name, e);
}

enum restore_outcome restore_storage_out(const struct backup *b, int fd, const char *name,
                                         const struct restore_reading *how, struct err *e)
{
    if (b->m.source.kind != KIND_COLLECTION || strchr(b->m.source.collection, ':'))
        return restore_fail(
            e,
            "only the backup of a collection whose name has no ':' can be restored at Qdrant's "
            "start",
            NULL);
    cleanup_archive struct archive *a = archive_write_new();
    if (!a || archive_write_set_format_gnutar(a) != ARCHIVE_OK ||
        archive_write_set_bytes_per_block(a, CHUNK) != ARCHIVE_OK ||
        archive_write_set_bytes_in_last_block(a, 1) != ARCHIVE_OK ||
        archive_write_open_fd(a, fd) != ARCHIVE_OK)
        return cannot_write(a, name, e);
    enum restore_outcome outcome = write_snapshot(a, b, name, how, e);
    return outcome == RESTORE_DONE ? write_config(a, b, name, e) : outcome;
}
