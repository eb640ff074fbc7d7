#include "common/cleanup.h"
#include "common/files.h"
#include "efs/cmd.h"
#include <cjson/cJSON.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int each_in(const struct options *o, const char *base, folder_visit *visit, void *arg, struct err *e)
{
    char **folders;
    size_t n;
    int rc = store_folders(base, &folders, &n, e);
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = visit(o, base, folders[i], arg, e);
    if (folders)
        store_folders_free(folders, n);
    return rc;
}

/* With TIER or CPU_ARCH set only that tree, else every tree below the root. */
int cmd_each_folder(const struct options *o, folder_visit *visit, void *arg, struct err *e)
{
    char base[PATH_MAX];
    struct stat st;
    if (getenv("TIER") || getenv("CPU_ARCH"))
        return files_join(base, sizeof base, o->root, strrchr(o->settings.base, '/') + 1, e) != 0
                   ? -1 : each_in(o, base, visit, arg, e);
    cleanup_dir DIR *d = opendir(o->root);
    if (!d)
        return err_set(e, errno, "cannot list", o->root, "give the folder where EFS is mounted with --root");
    for (;;) {
        errno = 0;
        struct dirent *de = readdir(d);
        if (!de)
            return errno ? err_set(e, errno, "cannot list", o->root, NULL) : 0;
        if (de->d_name[0] == '.' || !strchr(de->d_name, '-'))
            continue;
        if (files_join(base, sizeof base, o->root, de->d_name, e) != 0)
            return -1;
        if (stat(base, &st) == 0 && S_ISDIR(st.st_mode) && each_in(o, base, visit, arg, e) != 0)
            return -1;
    }
}

bool cmd_wanted(const struct options *o, const struct backup *b)
{
    return (!o->collection || strcmp(o->collection, b->m.source.collection) == 0) &&
           (o->tier < 0 || b->tier == (enum tier)o->tier) && (!o->newer || b->m.slot >= o->newer) &&
           (!o->older || b->m.slot <= o->older);
}

struct cJSON *cmd_json(const struct backup *b)
{
    char slot[32], created[32], path[PATH_MAX + 300];
    manifest_time(b->m.slot, slot);
    manifest_time(b->m.created, created);
    (void)snprintf(path, sizeof path, "%s/%s", b->dir, b->data);
    cJSON *o = cJSON_CreateObject();
    if (o && cJSON_AddStringToObject(o, "collection", b->m.source.collection) &&
        cJSON_AddStringToObject(o, "frequency", tier_text(b->tier)) &&
        cJSON_AddStringToObject(o, "snapshot", b->stem) &&
        cJSON_AddStringToObject(o, "kind", kind_text(b->m.source.kind)) &&
        cJSON_AddStringToObject(o, "node", b->m.node) && cJSON_AddStringToObject(o, "slot", slot) &&
        cJSON_AddStringToObject(o, "created", created) &&
        cJSON_AddNumberToObject(o, "size", (double)b->m.content.size) &&
        cJSON_AddNumberToObject(o, "stored_size", (double)b->m.content.stored_size) &&
        cJSON_AddStringToObject(o, "sha256", b->m.content.sha256) &&
        cJSON_AddStringToObject(o, "state", entry_state_text(b->state)) &&
        cJSON_AddStringToObject(o, "reason", b->reason) && cJSON_AddStringToObject(o, "path", path))
        return o;
    cJSON_Delete(o);
    return NULL;
}

const char *cmd_safe(const char *text, char *out, size_t size)
{
    size_t n = 0;
    for (const char *p = text; *p && n + 1 < size; p++)
        out[n++] = (unsigned char)*p < 0x20 || *p == 0x7f ? '?' : *p;
    out[n] = 0;
    return out;
}
