#include "efs/restore/storage_tar.h"
#include "common/archive.h"
#include "common/base/cleanup.h"
#include "common/json.h"
#include "qdrant/storage_names.h"

static cJSON *read_json(struct archive *a, struct archive_entry *entry)
{
    la_int64_t size = archive_entry_size(entry);
    cleanup_free char *text = size > 0 && size <= STORAGE_CONFIG_MAX ? calloc(1, (size_t)size + 1) : NULL;
    return text && archive_read_data(a, text, (size_t)size) == size ? cJSON_Parse(text) : NULL;
}

static int judge_member(struct storage_names *names, struct archive *a, struct archive_entry *entry,
                        cJSON **config, struct err *e)
{
    const char *path = archive_entry_pathname(entry);
    mode_t type = archive_entry_filetype(entry);
    if (path && type == AE_IFDIR && (strcmp(path, "./") == 0 || strcmp(path, ".") == 0))
        return 0;
    if (type != AE_IFREG || archive_entry_hardlink(entry))
        return err_set(e, 0, "there is something in it that is no file", NULL, NULL);
    int which = storage_names_member(names, path ? path : "", e);
    if (which != STORAGE_CONFIG)
        return which;
    *config = read_json(a, entry);
    return *config ? storage_names_check(*config, e)
                   : err_set(e, 0, "its config.json is no JSON", NULL, NULL);
}

static int judge(struct archive *a, cJSON **config, struct err *e)
{
    struct storage_names names = {0};
    struct archive_entry *entry;
    int rc;
    while ((rc = archive_read_next_header(a, &entry)) == ARCHIVE_OK)
        if (judge_member(&names, a, entry, config, e) < 0)
            return -1;
    return rc == ARCHIVE_EOF || names.n == 0 ? 0
                                             : err_set(e, 0, "its tar cannot be read to the end", NULL, NULL);
}

int storage_tar_judge(struct archive *a, cJSON **config, struct err *e)
{
    cJSON *found = NULL;
    int rc = judge(a, &found, e);
    if (config)
        *config = rc == 0 ? found : NULL;
    if (!config || rc != 0)
        cJSON_Delete(found);
    return rc;
}
