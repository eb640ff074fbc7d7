#include "efs/repo/signed.h"
#include "common/base/cleanup.h"
#include "common/base/files.h"
#include "efs/repo/remove.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

static const struct signing_key *sign;
static const struct verify_keys *verify;
static bool require;

void signed_keys(const struct signing_key *own, const struct verify_keys *others, bool required)
{
    sign = own;
    verify = others;
    require = required;
}

/* A tombstone of a collection with a name of 247 bytes or more has no room for another suffix. */
static bool has_room(const char *name) { return strlen(name) + strlen(SIGNATURE_SUFFIX) <= NAME_MAX; }

int signed_remove(const char *dir, const char *name, struct err *e)
{
    return has_room(name) ? remove_file(dir, name, SIGNATURE_SUFFIX, e) : 0;
}

int signed_put(const char *dir, const char *name, const char *text, struct err *e)
{
    unsigned char signature[SIGNATURE_SIZE];
    char file[NAME_MAX + sizeof SIGNATURE_SUFFIX];
    if (!sign || !has_room(name))
        return signed_remove(dir, name, e);
    (void)snprintf(file, sizeof file, "%s%s", name, SIGNATURE_SUFFIX);
    if (signature_make(sign, text, strlen(text), signature, e) != 0 || signed_remove(dir, name, e) != 0)
        return -1;
    return files_put_new_bytes(dir, file, signature, sizeof signature, e) == 0
               ? 0
               : err_set(e, EEXIST, "another program seems to be writing", name, "it is tried again");
}

bool signed_obeyed(const char *path, const char *text, struct err *why)
{
    char file[PATH_MAX];
    struct err cause = {0};
    size_t size = 0;
    if (!verify)
        return true;
    if ((size_t)snprintf(file, sizeof file, "%s%s", path, SIGNATURE_SUFFIX) >= sizeof file)
        return err_set(why, ENAMETOOLONG, "cannot check", path, NULL) == 0;
    cleanup_free char *signature = files_get_sized(file, SIGNATURE_SIZE, &size, &cause);
    if (!signature && cause.code == ENOENT) {
        if (require)
            (void)err_set(why, 0, "not signed, and REQUIRE_SIGNATURE=1, so that it is not obeyed:", path,
                          NULL);
        return !require;
    }
    if (signature && signature_check(verify, text, strlen(text), signature, size) == SIGNATURE_GOOD)
        return true;
    return err_set(why, 0, "signed by none of VERIFY_KEYS, or changed, so that it is not obeyed:", path,
                   cause.code == EFBIG || signature ? NULL : cause.text) == 0;
}
