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

#define FOLDER "cluster"
static const char CLAIM[] = ".json", FOUNDED[] = ".founded.json";
enum { FORMAT = 1, CLAIM_MAX = 64 << 10, WORDS = 64 };

/* --- names */

static bool ends(const char *name, const char *tail, size_t *stem)
{
    size_t n = strlen(name), m = strlen(tail);
    *stem = n > m ? n - m : 0;
    return n > m && strcmp(name + n - m, tail) == 0;
}

bool founding_name(const char *name, char word[72], unsigned *n, bool *founded)
{
    size_t stem, digits = 0;
    *founded = ends(name, FOUNDED, &stem);
    if (!*founded && !ends(name, CLAIM, &stem))
        return false;
    while (digits < stem && name[stem - digits - 1] >= '0' && name[stem - digits - 1] <= '9')
        digits++;
    if (digits == 0 || digits > 6 || stem < digits + 2 || name[stem - digits - 1] != '-' ||
        stem - digits - 1 >= 72 || name[stem - digits] == '0')
        return false;
    (void)snprintf(word, 72, "%.*s", (int)(stem - digits - 1), name);
    *n = (unsigned)strtoul(name + stem - digits, NULL, 10);
    return true;
}

/* --- what is there */

struct words {
    size_t n;
    struct word {
        char word[72];
        unsigned claim, done; /* the highest number of each, 0: none */
    } v[WORDS];
};

static struct word *word_of(struct words *all, const char *word)
{
    for (size_t i = 0; i < all->n; i++)
        if (strcmp(all->v[i].word, word) == 0)
            return &all->v[i];
    if (all->n == WORDS)
        return NULL;
    struct word *w = &all->v[all->n++];
    *w = (struct word){0};
    (void)snprintf(w->word, sizeof w->word, "%s", word);
    return w;
}

static int add_entry(const struct dirent *de, void *arg, struct err *e)
{
    struct words *all = arg;
    char word[72];
    unsigned n;
    bool founded;
    if (!founding_name(de->d_name, word, &n, &founded))
        return 0;
    struct word *w = word_of(all, word);
    if (!w)
        return err_set(e, E2BIG, "there are claims of too many words in", FOLDER,
                       "delete those of clusters that are gone");
    unsigned *most = founded ? &w->done : &w->claim;
    *most = n > *most ? n : *most;
    return 0;
}

static int list(const char *root, const char *base, char dir[PATH_MAX], struct words *all, struct err *e)
{
    const char *tree = strrchr(base, '/');
    char rel[NAME_MAX + sizeof FOLDER + 1];
    if (!tree || files_join(dir, PATH_MAX, base, FOLDER, e) != 0)
        return tree ? -1 : err_set(e, EINVAL, "no tree:", base, NULL);
    (void)snprintf(rel, sizeof rel, "%.255s/%s", tree + 1, FOLDER);
    files_refresh(root, rel);
    return files_each(dir, add_entry, all, e);
}

/* Has the tree backups, of whichever cluster or node? */
static int has_backups(const char *base, bool *out, struct err *e)
{
    char **folders = NULL;
    size_t n = 0;
    if (backup_folders(base, &folders, &n, e) != 0)
        return -1;
    *out = n > 0;
    backup_folders_free(folders, n);
    return 0;
}

/* --- claims */

/* Whose it is, and how old. What cannot be made out is another's. */
static int read_claim(const struct founder *me, const char *dir, struct founding *out, bool *ours,
                      time_t *age, struct err *e)
{
    char name[128], path[PATH_MAX];
    struct stat st;
    time_t now;
    (void)snprintf(name, sizeof name, "%s-%u%s", me->word, out->n, CLAIM);
    if (files_join(path, sizeof path, dir, name, e) != 0)
        return -1;
    cleanup_free char *text = files_get(path, CLAIM_MAX, e);
    if (!text)
        return -1;
    if (stat(path, &st) != 0)
        return err_set(e, errno, "cannot look at", path, NULL);
    if (files_server_time(dir, &now, e) != 0)
        return -1;
    cleanup_json cJSON *o = cJSON_Parse(text);
    (void)json_copy(o, "node", out->node, sizeof out->node);
    (void)json_copy(o, "uri", out->uri, sizeof out->uri);
    *ours = me->token[0] && json_says(o, "token", me->token);
    *age = now - st.st_mtime;
    return 0;
}

int founding_look(const struct founder *me, struct founding *out, struct err *e)
{
    struct words all = {0};
    char dir[PATH_MAX];
    bool ours = false, backups = false;
    time_t age = 0;
    *out = (struct founding){0};
    if (list(me->root, me->base, dir, &all, e) != 0 || has_backups(me->base, &backups, e) != 0)
        return -1;
    const struct word *mine = NULL;
    for (size_t i = 0; i < all.n; i++)
        if (strcmp(all.v[i].word, me->word) == 0)
            mine = &all.v[i];
    if (!mine) {
        bool needs_word = strcmp(me->word, FOUNDING_FIRST) == 0 && (backups || all.n > 0);
        out->state = needs_word ? FOUNDING_EARLIER : FOUNDING_FREE;
        return 0;
    }
    out->n = mine->claim;
    if (mine->done > 0) {
        out->state = FOUNDING_DONE;
        return 0;
    }
    if (read_claim(me, dir, out, &ours, &age, e) != 0)
        return -1;
    if (ours)
        out->state = age < FOUNDING_STALE / 2 ? FOUNDING_OURS : FOUNDING_LEFT;
    else
        out->state = age < FOUNDING_STALE ? FOUNDING_OTHERS : FOUNDING_LEFT;
    return 0;
}

static char *print_claim(const struct founder *me, unsigned n)
{
    cleanup_json cJSON *o = cJSON_CreateObject();
    bool ok = o && cJSON_AddNumberToObject(o, "format", FORMAT) &&
              cJSON_AddStringToObject(o, "word", me->word) && cJSON_AddNumberToObject(o, "claim", n) &&
              cJSON_AddStringToObject(o, "node", me->node) && cJSON_AddStringToObject(o, "uri", me->uri) &&
              cJSON_AddStringToObject(o, "token", me->token) && json_add_time(o, "claimed", time(NULL));
    return ok ? json_line(o, true) : NULL;
}

/* The root itself is never made: when it is missing, EFS is not mounted. */
static int make_folder(const char *root, const char *base, char dir[PATH_MAX], struct err *e)
{
    const char *tree = strrchr(base, '/');
    char rel[NAME_MAX + sizeof FOLDER + 1];
    if (!tree)
        return err_set(e, EINVAL, "no tree:", base, NULL);
    (void)snprintf(rel, sizeof rel, "%.255s/%s", tree + 1, FOLDER);
    return files_join(dir, PATH_MAX, base, FOLDER, e) != 0 ? -1 : files_mkdirs(root, rel, e);
}

int founding_claim(const struct founder *me, const struct founding *at, struct err *e)
{
    char dir[PATH_MAX], name[128];
    cleanup_free char *text = print_claim(me, at->n + 1);
    if (!text)
        return err_set(e, ENOMEM, "cannot claim", me->base, NULL);
    (void)snprintf(name, sizeof name, "%s-%u%s", me->word, at->n + 1, CLAIM);
    return make_folder(me->root, me->base, dir, e) != 0 ? -1 : files_put_new(dir, name, text, e);
}

int founding_seen(const char *root, const char *base, const char *node, const char *peer, struct err *e)
{
    struct words all = {0};
    char dir[PATH_MAX], name[128];
    if (list(root, base, dir, &all, e) != 0)
        return -1;
    cleanup_json cJSON *o = cJSON_CreateObject();
    bool ok = o && cJSON_AddNumberToObject(o, "format", FORMAT) && cJSON_AddStringToObject(o, "node", node) &&
              cJSON_AddStringToObject(o, "peer_id", peer) && json_add_time(o, "seen", time(NULL));
    cleanup_free char *text = ok ? json_line(o, true) : NULL;
    if (!text)
        return err_set(e, ENOMEM, "cannot write into", dir, NULL);
    for (size_t i = 0; i < all.n; i++) {
        const struct word *w = &all.v[i];
        (void)snprintf(name, sizeof name, "%s-%u%s", w->word, w->claim, FOUNDED);
        if (w->done == 0 && w->claim > 0 && files_put_new(dir, name, text, e) < 0)
            return -1;
    }
    return 0;
}
