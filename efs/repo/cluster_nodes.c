#include "efs/repo/cluster_nodes.h"
#include "common/base/cleanup.h"
#include "common/base/files.h"
#include "common/json.h"
#include "efs/repo/name.h"
#include "efs/repo/signed.h"
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FORMAT = 1, FILE_MAX = 64 << 10, MOST = 4096, REL = NAME_MAX + 64 };
static const char SUFFIX[] = ".json";
static const char *const folders[] = {"peers", "waiting"};
enum which { PEERS, WAITING };

void cluster_nodes_free(struct cluster_nodes *n)
{
    free(n->peers);
    free(n->waiting);
    *n = (struct cluster_nodes){0};
}

const struct cluster_node *cluster_nodes_peer(const struct cluster_nodes *n, const char *peer)
{
    for (size_t i = 0; i < n->n_peers; i++)
        if (strcmp(n->peers[i].peer, peer) == 0)
            return &n->peers[i];
    return NULL;
}

/* --- names */

static int folder_of(const struct cluster_place_of *at, enum which which, char rel[REL], char dir[PATH_MAX],
                     struct err *e)
{
    (void)snprintf(rel, REL, "clusters/%.200s/%s", at->tier, folders[which]);
    return files_join(dir, PATH_MAX, at->root, rel, e);
}

static bool is_id(const char *text)
{
    size_t n = strlen(text);
    return n > 0 && n < sizeof((struct cluster_node *)0)->peer && strspn(text, "0123456789") == n;
}

static bool name_of(enum which which, const char *key, char out[NAME_MAX + 1])
{
    char escaped[NAME_MAX + 1];
    if (which == PEERS ? !is_id(key) : !name_escape(key, escaped, sizeof escaped))
        return false;
    return (size_t)snprintf(out, NAME_MAX + 1, "%.249s%s", which == PEERS ? key : escaped, SUFFIX) <=
           NAME_MAX;
}

/* --- reading */

static int parse(const char *text, const char *path, struct cluster_node *n, struct err *e)
{
    cleanup_json cJSON *o = cJSON_ParseWithOpts(text, NULL, 1);
    uint64_t format;
    *n = (struct cluster_node){0};
    if (!json_whole(o, "format", FORMAT, &format) || format != FORMAT)
        return err_set(e, 0, "no record of a node, or one of an unknown format:", path,
                       "use newer programs, or delete it");
    if (!json_copy(o, "peer_id", n->peer, sizeof n->peer) || !is_id(n->peer) ||
        !json_copy(o, "node", n->node, sizeof n->node) || !json_time(o, "first", &n->first) ||
        !json_time(o, "last", &n->last))
        return err_set(e, 0, "a record of a node lacks or garbles a field:", path, "delete it");
    (void)json_copy(o, "uri", n->uri, sizeof n->uri); /* for people */
    return 0;
}

/* 1 read; 0 none there; -1 with `e`. */
static int read_one(const char *dir, enum which which, const char *file, struct cluster_node *n,
                    struct err *e)
{
    char path[PATH_MAX], own[NAME_MAX + 1];
    struct err why = {0};
    if (files_join(path, sizeof path, dir, file, e) != 0)
        return -1;
    cleanup_free char *text = files_get(path, FILE_MAX, &why);
    if (!text && (why.code == ENOENT || why.code == ENOTDIR))
        return 0;
    if (!text || parse(text, path, n, &why) != 0 || !signed_obeyed(path, text, &why)) {
        *e = why;
        return -1;
    }
    /* A copy under another name says nothing. */
    if (!name_of(which, which == PEERS ? n->peer : n->node, own) || strcmp(own, file) != 0)
        return err_set(e, 0, "a record of another node:", path, "delete it");
    return 1;
}

struct reading {
    const char *dir;
    enum which which;
    struct cluster_nodes *out;
};

static int add(const struct dirent *de, void *arg, struct err *e)
{
    struct reading *r = arg;
    struct cluster_node one, **list = r->which == PEERS ? &r->out->peers : &r->out->waiting;
    size_t *n = r->which == PEERS ? &r->out->n_peers : &r->out->n_waiting, length = strlen(de->d_name);
    struct err why = {0};
    if (length <= strlen(SUFFIX) || strcmp(de->d_name + length - strlen(SUFFIX), SUFFIX) != 0)
        return 0;
    if (*n >= MOST)
        return err_set(e, E2BIG, "there are too many files in", r->dir,
                       "delete those of nodes that are gone");
    int rc = read_one(r->dir, r->which, de->d_name, &one, &why);
    if (rc < 0 && r->out->unreadable++ == 0)
        (void)snprintf(r->out->why, sizeof r->out->why, "%s", why.text);
    if (rc <= 0)
        return 0;
    struct cluster_node *v = realloc(*list, (*n + 1) * sizeof *v);
    if (!v)
        return err_set(e, ENOMEM, "cannot read", r->dir, NULL);
    *list = v;
    v[(*n)++] = one;
    return 0;
}

int cluster_nodes_read(const struct cluster_place_of *at, struct cluster_nodes *out, struct err *e)
{
    char rel[REL], dir[PATH_MAX];
    *out = (struct cluster_nodes){0};
    for (int which = PEERS; which <= WAITING; which++) {
        struct reading r = {dir, (enum which)which, out};
        if (folder_of(at, (enum which)which, rel, dir, e) != 0)
            goto failed;
        files_refresh(at->root, rel);
        if (files_each(dir, add, &r, e) != 0)
            goto failed;
    }
    return 0;
failed:
    cluster_nodes_free(out);
    return -1;
}

/* --- writing */

static char *print(const struct cluster_node *n)
{
    cleanup_json cJSON *o = cJSON_CreateObject();
    bool ok = o && json_add_number(o, "format", FORMAT) && json_add_text(o, "peer_id", n->peer) &&
              json_add_text(o, "node", n->node) && json_add_text(o, "uri", n->uri) &&
              json_add_time(o, "first", n->first) && json_add_time(o, "last", n->last);
    return ok ? json_line(o, true) : NULL;
}

/* The root itself is never made: when it is missing, EFS is not mounted. */
static int put(const struct cluster_place_of *at, enum which which, const struct cluster_node *n,
               struct err *e)
{
    char rel[REL], dir[PATH_MAX], name[NAME_MAX + 1];
    cleanup_free char *text = print(n);
    if (!text)
        return err_set(e, ENOMEM, "cannot write who this node is", NULL, NULL);
    if (!name_of(which, which == PEERS ? n->peer : n->node, name))
        return err_set(e, EINVAL, "cannot name a file after the node", n->node, NULL);
    return folder_of(at, which, rel, dir, e) != 0 || files_mkdirs(at->root, rel, e) != 0 ||
                   signed_put(dir, name, text, e) != 0
               ? -1
               : files_put(dir, name, text, e);
}

int cluster_nodes_put_peer(const struct cluster_place_of *at, struct cluster_node *n, struct err *e)
{
    char rel[REL], dir[PATH_MAX], name[NAME_MAX + 1];
    struct cluster_node old;
    struct err ignored;
    if (!name_of(PEERS, n->peer, name) || folder_of(at, PEERS, rel, dir, e) != 0)
        return err_set(e, EINVAL, "cannot name a file after the peer", n->peer, NULL);
    int rc = read_one(dir, PEERS, name, &old, &ignored);
    if (rc > 0 && strcmp(old.node, n->node) != 0 && old.last > n->last - CLUSTER_NODE_FRESH)
        return err_set(e, 0, "another node says that it is this peer:", old.node,
                       "see that QDRANT_URL is this node's own Qdrant, and NODE_NAME this node's own name");
    if (rc > 0 && old.first < n->first)
        n->first = old.first;
    return put(at, PEERS, n, e);
}

int cluster_nodes_put_waiting(const struct cluster_place_of *at, const struct cluster_node *n, struct err *e)
{
    return put(at, WAITING, n, e);
}

static int take_away(const char *dir, const char *name, struct err *e)
{
    char path[PATH_MAX];
    if (files_join(path, sizeof path, dir, name, e) != 0)
        return -1;
    if (unlink(path) != 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : err_set(e, errno, "cannot delete", path, NULL);
    return signed_remove(dir, name, e);
}

int cluster_nodes_take_waiting(const struct cluster_place_of *at, const char *node, struct err *e)
{
    char rel[REL], dir[PATH_MAX], name[NAME_MAX + 1];
    return folder_of(at, WAITING, rel, dir, e) != 0 || !name_of(WAITING, node, name)
               ? -1
               : take_away(dir, name, e);
}

int cluster_nodes_sweep(const struct cluster_place_of *at, time_t now, struct err *e)
{
    char rel[REL], dir[PATH_MAX], name[NAME_MAX + 1];
    cleanup_cluster_nodes struct cluster_nodes all = {0};
    if (folder_of(at, PEERS, rel, dir, e) != 0 || cluster_nodes_read(at, &all, e) != 0)
        return -1;
    for (size_t i = 0; i < all.n_peers; i++)
        if (all.peers[i].last < now - CLUSTER_NODE_OLD && name_of(PEERS, all.peers[i].peer, name) &&
            take_away(dir, name, e) != 0)
            return -1;
    return 0;
}
