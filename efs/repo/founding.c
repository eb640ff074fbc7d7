#include "efs/repo/founding.h"
#include "common/base/cleanup.h"
#include "common/base/files.h"
#include "common/json.h"
#include "efs/repo/backup.h"
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER "clusters"
enum { FORMAT = 1, FILE_MAX = 64 << 10, CLAIMS_MAX = 512, DIGITS = 6, NAME_ROOM = 128 };
static const char *const tails[] = {[FOUNDING_CLAIM] = ".json",
                                    [FOUNDING_TOLD_FILE] = ".telling.json",
                                    [FOUNDING_FOUNDED_FILE] = ".founded.json"};

bool founding_name(const char *name, unsigned *n, enum founding_file *what)
{
    size_t digits = strspn(name, "0123456789");
    if (digits == 0 || digits > DIGITS || name[0] == '0')
        return false;
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++)
        if (strcmp(name + digits, tails[i]) == 0) {
            *n = (unsigned)strtoul(name, NULL, 10);
            *what = (enum founding_file)i;
            return true;
        }
    return false;
}

/* --- what is there */

struct claims {
    char dir[PATH_MAX];
    unsigned newest;                   /* 0: none */
    unsigned char has[CLAIMS_MAX + 1]; /* of each number a bit for each kind of file */
};

static int add_entry(const struct dirent *de, void *arg, struct err *e)
{
    struct claims *c = arg;
    enum founding_file what;
    unsigned n;
    if (!founding_name(de->d_name, &n, &what))
        return 0;
    if (n > CLAIMS_MAX)
        return err_set(e, E2BIG, "there are too many claims in", c->dir,
                       "delete those of clusters that are gone");
    c->has[n] |= (unsigned char)(1u << what);
    if (what == FOUNDING_CLAIM && n > c->newest)
        c->newest = n;
    return 0;
}

static bool has(const struct claims *c, unsigned n, enum founding_file what)
{
    return c->has[n] & 1u << what;
}

/* The folder of the claims: below the root, and whole. */
static int folder_of(const struct founder *me, char rel[NAME_MAX + 16], char dir[PATH_MAX], struct err *e)
{
    (void)snprintf(rel, NAME_MAX + 16, FOLDER "/%.200s", me->tier);
    return files_join(dir, PATH_MAX, me->root, rel, e);
}

static int list(const struct founder *me, struct claims *c, struct err *e)
{
    char rel[NAME_MAX + 16];
    *c = (struct claims){0};
    if (folder_of(me, rel, c->dir, e) != 0)
        return -1;
    files_refresh(me->root, rel);
    return files_each(c->dir, add_entry, c, e);
}

/* Has a tree of this TIER backups, of whichever cluster or node? */
static int has_backups(const struct founder *me, bool *out, struct err *e)
{
    char base[PATH_MAX];
    size_t length = strlen(me->tier);
    cleanup_dir DIR *d = opendir(me->root);
    *out = false;
    if (!d)
        return err_set(e, errno, "cannot list", me->root, "see that EFS is mounted there");
    for (struct dirent *de; !*out && (de = readdir(d));) {
        char **folders = NULL;
        size_t n = 0;
        if (strncmp(de->d_name, me->tier, length) != 0 || de->d_name[length] != '-')
            continue;
        if (files_join(base, sizeof base, me->root, de->d_name, e) != 0 ||
            backup_folders(base, &folders, &n, e) != 0)
            return -1;
        *out = n > 0;
        backup_folders_free(folders, n);
    }
    return 0;
}

static cJSON *read_one(const struct claims *c, unsigned n, enum founding_file what, char path[PATH_MAX],
                       struct err *e)
{
    char name[NAME_ROOM];
    (void)snprintf(name, sizeof name, "%u%s", n, tails[what]);
    if (files_join(path, PATH_MAX, c->dir, name, e) != 0)
        return NULL;
    cleanup_free char *text = files_get(path, FILE_MAX, e);
    if (!text)
        return NULL;
    cJSON *o = cJSON_Parse(text);
    return o ? o : cJSON_CreateObject(); /* what cannot be made out is another's */
}

static bool is_ours(const struct founder *me, const cJSON *o)
{
    return me->token[0] && json_says(o, "token", me->token);
}

/* --- words */

static bool used_name(const char *word, char name[NAME_ROOM])
{
    return (size_t)snprintf(name, NAME_ROOM, "used-%s.json", word) < NAME_ROOM;
}

/* Did a claim have it, or was it given where none was needed? */
static int is_used(const struct founder *me, const struct claims *c, bool *out, struct err *e)
{
    char path[PATH_MAX], name[NAME_ROOM];
    *out = false;
    if (!used_name(me->word, name) || files_join(path, sizeof path, c->dir, name, e) != 0)
        return -1;
    *out = access(path, F_OK) == 0;
    if (!*out && errno != ENOENT && errno != ENOTDIR)
        return err_set(e, errno, "cannot look at", path, NULL);
    for (unsigned n = 1; n <= c->newest && !*out; n++) {
        if (!has(c, n, FOUNDING_CLAIM))
            continue;
        cleanup_json cJSON *o = read_one(c, n, FOUNDING_CLAIM, path, e);
        if (!o)
            return -1;
        *out = json_says(o, "word", me->word);
    }
    return 0;
}

/* --- the newest claim */

/* `without` a word. A cluster is there, or may be: only a word that was not used before says that it is gone.
 */
static int by_word(const struct founder *me, const struct claims *c, struct founding *out,
                   enum founding_state without, struct err *e)
{
    bool used = false;
    out->state = without;
    if (!*me->word)
        return 0;
    if (is_used(me, c, &used, e) != 0)
        return -1;
    out->state = used ? FOUNDING_USED : FOUNDING_FREE;
    return 0;
}

/* Has another one told, whose claim ours took over without a word? The two have passed each other. */
static int is_crossed(const struct founder *me, const struct claims *c, const cJSON *claim, bool *out,
                      struct err *e)
{
    char path[PATH_MAX];
    *out = false;
    for (unsigned n = 1; n < c->newest && !*out && !*json_text(claim, "word"); n++) {
        if (!has(c, n, FOUNDING_TOLD_FILE) || has(c, n, FOUNDING_FOUNDED_FILE))
            continue;
        cleanup_json cJSON *o = read_one(c, n, FOUNDING_TOLD_FILE, path, e);
        if (!o)
            return -1;
        *out = !is_ours(me, o);
    }
    return 0;
}

static int age_of(const struct claims *c, const char *path, time_t *age, struct err *e)
{
    struct stat st;
    time_t now;
    if (stat(path, &st) != 0)
        return err_set(e, errno, "cannot look at", path, NULL);
    if (files_server_time(c->dir, &now, e) != 0)
        return -1;
    *age = now - st.st_mtime;
    return 0;
}

static bool told_just_now(const struct claims *c)
{
    char path[PATH_MAX], name[NAME_ROOM];
    struct stat st;
    (void)snprintf(name, sizeof name, "%u%s", c->newest, tails[FOUNDING_TOLD_FILE]);
    if (files_join(path, sizeof path, c->dir, name, NULL) != 0 || stat(path, &st) != 0)
        return false;
    time_t age = time(NULL) - st.st_mtime;
    return age > -FOUNDING_YOUNG && age < FOUNDING_YOUNG;
}

static int look_at_newest(const struct founder *me, const struct claims *c, struct founding *out,
                          struct err *e)
{
    char path[PATH_MAX];
    bool crossed = false;
    time_t age = 0;
    cleanup_json cJSON *claim = read_one(c, c->newest, FOUNDING_CLAIM, path, e);
    if (!claim)
        return -1;
    (void)json_copy(claim, "node", out->node, sizeof out->node);
    (void)json_copy(claim, "uri", out->uri, sizeof out->uri);
    if (!json_copy(claim, "claimed", out->when, sizeof out->when))
        (void)snprintf(out->when, sizeof out->when, "?");
    if (has(c, c->newest, FOUNDING_FOUNDED_FILE))
        return by_word(me, c, out, FOUNDING_DONE, e);
    bool ours = is_ours(me, claim), told = has(c, c->newest, FOUNDING_TOLD_FILE);
    if (ours && is_crossed(me, c, claim, &crossed, e) != 0)
        return -1;
    if (crossed || (told && !ours)) {
        out->young = told && told_just_now(c);
        return by_word(me, c, out, FOUNDING_MAYBE, e);
    }
    if (told) {
        out->state = FOUNDING_TELLING;
        return 0;
    }
    if (age_of(c, path, &age, e) != 0)
        return -1;
    if (ours)
        out->state = age < FOUNDING_STALE / 2 ? FOUNDING_OURS : FOUNDING_LEFT;
    else
        out->state = age < FOUNDING_STALE ? FOUNDING_OTHERS : FOUNDING_LEFT;
    return 0;
}

int founding_look(const struct founder *me, struct founding *out, struct err *e)
{
    struct claims c;
    bool backups = false;
    *out = (struct founding){0};
    if (list(me, &c, e) != 0)
        return -1;
    out->n = c.newest;
    if (c.newest > 0)
        return look_at_newest(me, &c, out, e);
    if (!*me->word && has_backups(me, &backups, e) != 0)
        return -1;
    return by_word(me, &c, out, backups ? FOUNDING_EARLIER : FOUNDING_FREE, e);
}

/* --- writing */

static char *print(const struct founder *me, const char *peer, unsigned n, const char *when)
{
    cleanup_json cJSON *o = cJSON_CreateObject();
    bool ok = o && cJSON_AddNumberToObject(o, "format", FORMAT) && cJSON_AddNumberToObject(o, "claim", n) &&
              cJSON_AddStringToObject(o, "word", me->word) && cJSON_AddStringToObject(o, "node", me->node) &&
              (peer ? cJSON_AddStringToObject(o, "peer_id", peer) != NULL
                    : cJSON_AddStringToObject(o, "uri", me->uri) &&
                          cJSON_AddStringToObject(o, "token", me->token)) &&
              json_add_time(o, when, time(NULL));
    return ok ? json_line(o, true) : NULL;
}

/* The root itself is never made: when it is missing, EFS is not mounted. */
static int put(const struct founder *me, const char *name, const char *text, struct err *e)
{
    char dir[PATH_MAX], rel[NAME_MAX + 16];
    if (!text)
        return err_set(e, ENOMEM, "cannot write", name, NULL);
    return folder_of(me, rel, dir, e) != 0 || files_mkdirs(me->root, rel, e) != 0
               ? -1
               : files_put_new(dir, name, text, e);
}

int founding_claim(const struct founder *me, const struct founding *at, struct err *e)
{
    char name[NAME_ROOM];
    cleanup_free char *text = print(me, NULL, at->n + 1, "claimed");
    (void)snprintf(name, sizeof name, "%u%s", at->n + 1, tails[FOUNDING_CLAIM]);
    return put(me, name, text, e);
}

int founding_tell(const struct founder *me, const struct founding *at, struct err *e)
{
    char name[NAME_ROOM];
    cleanup_free char *text = print(me, NULL, at->n, "told");
    (void)snprintf(name, sizeof name, "%u%s", at->n, tails[FOUNDING_TOLD_FILE]);
    return put(me, name, text, e) < 0 ? -1 : 0;
}

int founding_seen(const struct founder *me, const char *peer, struct err *e)
{
    struct claims c;
    char name[NAME_ROOM];
    bool used = true;
    if (list(me, &c, e) != 0 || (*me->word && is_used(me, &c, &used, e) != 0))
        return -1;
    cleanup_free char *text = print(me, peer, c.newest, "seen");
    (void)snprintf(name, sizeof name, "%u%s", c.newest, tails[FOUNDING_FOUNDED_FILE]);
    if (c.newest > 0 && !has(&c, c.newest, FOUNDING_FOUNDED_FILE) && put(me, name, text, e) < 0)
        return -1;
    return !used && used_name(me->word, name) && put(me, name, text, e) < 0 ? -1 : 0;
}
