#include "efs/repo/pin.h"
#include "common/base/cleanup.h"
#include "common/base/files.h"
#include "common/base/text.h"
#include "common/json.h"
#include "efs/repo/remove.h"
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool pin_is_name(const char *name, size_t *n, bool *pin)
{
    *n = text_stem(name, PIN_SUFFIX);
    *pin = *n > 0;
    if (!*pin)
        *n = text_stem(name, NOTE_SUFFIX);
    return name[0] != '.' && *n > 0;
}

bool pin_note_fits(const char *text)
{
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return false;
    return *text && strlen(text) <= NOTE_MAX && text_is_utf8(text);
}

/* --- who: for people. On a shared machine it is not root who types. */

static void whoami(char out[PIN_BY])
{
    char host[65] = "";
    const char *sudo = getenv("SUDO_USER"), *user = sudo && *sudo ? sudo : getenv("USER");
    const struct passwd *own = user && *user ? NULL : getpwuid(geteuid());
    if (own)
        user = own->pw_name;
    if (gethostname(host, sizeof host - 1) != 0)
        host[0] = 0;
    (void)snprintf(out, PIN_BY, "%.60s@%.64s", user && *user ? user : "unknown", host);
    text_make_utf8(out);
}

/* --- files */

static int path_of(const char *dir, const char *stem, const char *suffix, char path[PATH_MAX], struct err *e)
{
    char name[NAME_MAX + 32];
    (void)snprintf(name, sizeof name, "%s%s", stem, suffix);
    return files_join(path, PATH_MAX, dir, name, e);
}

static cJSON *get(const struct backup *b, const char *suffix)
{
    char path[PATH_MAX];
    struct err ignored;
    if (path_of(b->dir, b->stem, suffix, path, NULL) != 0)
        return NULL;
    cleanup_free char *text = files_get(path, PIN_FILE_MAX, &ignored);
    cJSON *o = text ? cJSON_ParseWithOpts(text, NULL, 1) : NULL;
    if (o && json_number(o, "format") == PIN_FORMAT) /* NOLINT: a small whole number */
        return o;
    cJSON_Delete(o);
    return NULL;
}

void pin_read(const struct backup *b, struct pin *out)
{
    cleanup_json cJSON *pin = b->pinned ? get(b, PIN_SUFFIX) : NULL,
                       *note = b->noted ? get(b, NOTE_SUFFIX) : NULL;
    *out = (struct pin){0};
    (void)json_copy(pin, "by", out->by, sizeof out->by); /* may be absent */
    (void)json_time(pin, "at", &out->at);
    if (!json_copy(note, "note", out->note, sizeof out->note) || !pin_note_fits(out->note))
        out->note[0] = 0;
}

static bool manifest_there(const struct backup *b)
{
    char path[PATH_MAX];
    struct stat st;
    return path_of(b->dir, b->stem, ".json", path, NULL) == 0 && (lstat(path, &st) == 0 || errno != ENOENT);
}

bool pin_there(const struct backup *b)
{
    char path[PATH_MAX];
    struct stat st;
    return path_of(b->dir, b->stem, PIN_SUFFIX, path, NULL) == 0 &&
           (lstat(path, &st) == 0 || errno != ENOENT);
}

/* Whoever prunes looks for a pin before it deletes the manifest; we look for the manifest once the pin is
 * there. So either it sees the pin, or we see that the backup is gone. */
static enum pin_outcome put(const struct backup *b, const char *suffix, const char *text, struct err *e)
{
    char name[NAME_MAX + 32];
    (void)snprintf(name, sizeof name, "%s%s", b->stem, suffix);
    if (!manifest_there(b))
        return PIN_GONE;
    if (files_put(b->dir, name, text, e) != 0)
        return PIN_FAILED;
    if (manifest_there(b))
        return PIN_DONE;
    return remove_file(b->dir, b->stem, suffix, e) == 0 ? PIN_GONE : PIN_FAILED;
}

static char *print(const char *note)
{
    char by[PIN_BY];
    cleanup_json cJSON *o = cJSON_CreateObject();
    whoami(by);
    bool ok = o && cJSON_AddNumberToObject(o, "format", PIN_FORMAT) && json_add_text(o, "by", by) &&
              json_add_time(o, "at", time(NULL)) && (!note || json_add_text(o, "note", note));
    return ok ? json_line(o, true) : NULL;
}

static enum pin_outcome put_text(const struct backup *b, const char *suffix, const char *note, struct err *e)
{
    cleanup_free char *text = print(note);
    if (!text)
        return err_set(e, ENOMEM, "cannot write beside", b->stem, NULL), PIN_FAILED;
    return put(b, suffix, text, e);
}

enum pin_outcome pin_put(const struct backup *b, struct err *e) { return put_text(b, PIN_SUFFIX, NULL, e); }

static int take_away(const struct backup *b, const char *suffix, struct err *e)
{
    return remove_file(b->dir, b->stem, suffix, e) != 0 ? -1 : files_sync_dir(b->dir, e);
}

enum pin_outcome pin_put_note(const struct backup *b, const char *text, struct err *e)
{
    if (*text)
        return put_text(b, NOTE_SUFFIX, text, e);
    return take_away(b, NOTE_SUFFIX, e) == 0 ? PIN_DONE : PIN_FAILED;
}

int pin_remove(const struct backup *b, struct err *e) { return take_away(b, PIN_SUFFIX, e); }
