/* replica: what has arrived in the second Region, and how old that is. */
#include "common/base/cleanup.h"
#include "common/base/files.h"
#include "efs/cli/cmd_replica.h"
#include "efs/restore/restore.h"
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct run {
    struct replica_report report;
    const char *primary; /* root, or NULL */
    time_t rpo;          /* where neither --rpo nor a heartbeat says it */
    bool failed;
};

static void fail(struct run *r, const struct err *e)
{
    cmd_complain("%s", e->text);
    r->failed = true;
}

/* --- what a tree is said to have: by a folder here or on the primary, or by a heartbeat */

struct place {
    char *folder;
    const struct replica_beat *beat; /* NULL: a folder that was seen */
    const struct heartbeat_folder *told;
};
struct places {
    struct place *v;
    size_t n;
};

static void places_free(struct places *p)
{
    for (size_t i = 0; i < p->n; i++)
        free(p->v[i].folder);
    free(p->v);
}
#define cleanup_places __attribute__((cleanup(places_free)))

static int by_folder(const void *a, const void *b)
{
    return strcmp(((const struct place *)a)->folder, ((const struct place *)b)->folder);
}

static int add_place(struct places *p, const char *folder, const struct replica_beat *beat,
                     const struct heartbeat_folder *told, struct err *e)
{
    struct place *more = realloc(p->v, (p->n + 1) * sizeof *more);
    if (more)
        p->v = more;
    char *copy = more ? strdup(folder) : NULL;
    if (!copy)
        return err_set(e, ENOMEM, "cannot compare", folder, NULL);
    p->v[p->n++] = (struct place){copy, beat, told};
    return 0;
}

static int add_seen(struct places *p, const char *base, struct err *e)
{
    char **folders;
    size_t n;
    int rc = backup_folders(base, &folders, &n, e);
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = add_place(p, folders[i], NULL, NULL, e);
    backup_folders_free(folders, n);
    return rc;
}

static int add_told(struct places *p, const struct replica_beats *beats, struct err *e)
{
    char folder[2 * NAME_STORED];
    for (size_t i = 0; i < beats->n; i++) {
        const struct heartbeat *h = &beats->v[i].h;
        for (size_t k = 0; k < h->folders; k++)
            if (name_folder(&h->folder[k].source, folder, sizeof folder) &&
                add_place(p, folder, &beats->v[i], &h->folder[k], e) != 0)
                return -1;
    }
    return 0;
}

/* --- one folder */

static const struct place *told_of(const struct place *p, size_t n, const char *node)
{
    for (size_t i = 0; i < n; i++)
        if (p[i].beat && strcmp(p[i].beat->node, node) == 0)
            return &p[i];
    return NULL;
}

/* Of a node that left no heartbeat, beside one that did: is it no more? Without a NODE_NAME it may be that
 * the node has one by now, whose first start it has outlived by a deployment at most. */
static bool node_left(const struct replica_beats *beats, const struct replica_row *row)
{
    for (size_t i = 0; i < beats->n; i++) {
        const struct heartbeat *h = &beats->v[i].h;
        if (beats->v[i].read && (row->taken < h->written - RESTORE_APART ||
                                 (!*row->node && row->taken <= h->started + RESTORE_OVERLAP)))
            return true;
    }
    return false;
}

/* By heartbeats alone. What none names was deleted, when it is older than that, and else is newer than it. */
static void place_row(const struct replica_tree *tree, struct replica_row *row)
{
    const struct replica_beat *beat = replica_beat_of(&tree->beats, row->node);
    if (!tree->told)
        return;
    if (!beat || !beat->read)
        row->left = !beat && node_left(&tree->beats, row);
    else if (!row->told && beat->h.left_out == 0) {
        row->left = row->taken <= beat->h.written;
        row->told = true;
        row->newest = row->taken;
    }
}

/* `doubtful`: the primary has some that are not whole there, and so cannot tell. */
static void finish_row(const struct run *r, const struct replica_tree *tree, const struct place *p, size_t n,
                       bool doubtful, struct replica_row *row)
{
    const struct replica_beat *beat = replica_beat_of(&tree->beats, row->node);
    const struct place *told = told_of(p, n, row->node);
    row->rpo = replica_objective(r->report.o->replica.rpo, beat, r->rpo);
    row->wanted = told ? told->told->wanted : HEARTBEAT_UNKNOWN;
    if (r->primary)
        row->left = !row->told && !doubtful; /* all of it is only here */
    else
        place_row(tree, row);
}

/* `p`: all that is said of this folder. */
static int do_folder(struct run *r, const struct replica_tree *tree, const char *base, const char *primary,
                     const struct place *p, size_t n, struct err *e)
{
    cleanup_wants struct replica_wants wants = {0};
    struct replica_look look = {.base = base,
                                .folder = p->folder,
                                .wants = &wants,
                                .all = primary != NULL,
                                .suspect = !tree->told,
                                .verify = r->report.o->replica.verify,
                                .synced = r->report.aws.synced};
    size_t first = r->report.rows.n;
    if (primary && replica_wants_of(primary, p->folder, &wants, e) != 0)
        return -1;
    for (size_t i = 0; !primary && i < n; i++)
        if (p[i].beat && replica_wants_told(&p[i].beat->h, p[i].told, &wants, e) < 0)
            return -1;
    if (replica_folder(&look, &r->report.rows, e) != 0)
        return -1;
    for (size_t i = first; i < r->report.rows.n; i++)
        finish_row(r, tree, p, n, wants.doubtful, &r->report.rows.v[i]);
    return 0;
}

static bool folder_wanted(const struct options *o, const char *folder)
{
    char first[NAME_MAX + 1], collection[NAME_MAX + 1];
    (void)snprintf(first, sizeof first, "%.*s", (int)strcspn(folder, "/"), folder);
    return cmd_collection_wanted(o, name_unescape(first, collection, sizeof collection) ? collection : first);
}

/* --- one tree */

/* Else all that is here would look deleted. */
static bool is_tree(const char *there, struct err *e)
{
    struct stat st;
    int rc = stat(there, &st);
    if (rc == 0 && S_ISDIR(st.st_mode))
        return true;
    return (void)err_set(e, rc == 0 ? ENOTDIR : errno, "the primary has no tree", there,
                         "give the root of the first Region's EFS, mounted"),
           false;
}

static int do_tree(struct run *r, struct replica_tree *tree, struct err *e)
{
    cleanup_places struct places places = {0};
    char base[PATH_MAX], there[PATH_MAX];
    const char *primary = r->primary ? there : NULL;
    if (files_join(base, sizeof base, r->report.o->root, tree->name, e) != 0 ||
        (primary &&
         (files_join(there, sizeof there, r->primary, tree->name, e) != 0 || !is_tree(there, e))) ||
        replica_beats_read(primary ? primary : base, &tree->beats, e) != 0)
        return -1;
    tree->told = primary != NULL;
    for (size_t i = 0; i < tree->beats.n; i++)
        tree->told = tree->told || tree->beats.v[i].read;
    if (add_seen(&places, base, e) != 0 || (primary && add_seen(&places, primary, e) != 0) ||
        add_told(&places, &tree->beats, e) != 0)
        return -1;
    if (places.n > 1)
        qsort(places.v, places.n, sizeof *places.v, by_folder);
    for (size_t i = 0, k; i < places.n; i = k) {
        struct err why = {0};
        const struct place *p = &places.v[i];
        for (k = i + 1; k < places.n && strcmp(places.v[k].folder, p->folder) == 0; k++)
            ;
        if (folder_wanted(r->report.o, p->folder) && do_folder(r, tree, base, primary, p, k - i, &why) != 0)
            fail(r, &why); /* the other folders go on */
    }
    return 0;
}

/* --- all trees */

static int add_tree(struct run *r, const char *name, struct err *e)
{
    for (size_t i = 0; i < r->report.trees; i++)
        if (strcmp(r->report.tree[i].name, name) == 0)
            return 0;
    struct replica_tree *more = realloc(r->report.tree, (r->report.trees + 1) * sizeof *more);
    if (!more)
        return err_set(e, ENOMEM, "cannot compare", name, NULL);
    r->report.tree = more;
    struct replica_tree *tree = memset(&more[r->report.trees++], 0, sizeof *more);
    (void)snprintf(tree->name, sizeof tree->name, "%.159s", name);
    return 0;
}

/* With TIER or CPU_ARCH set only that tree, else every one below the root. */
static int find_trees(struct run *r, const char *root, struct err *e)
{
    char base[PATH_MAX];
    struct stat st;
    cleanup_dir DIR *d = opendir(root);
    if (!d)
        return err_set(e, errno, "cannot list", root, "give the folder where EFS is mounted");
    if (settings_name_tree())
        return add_tree(r, strrchr(r->report.o->settings.base, '/') + 1, e);
    for (;;) {
        errno = 0;
        struct dirent *de = readdir(d);
        if (!de)
            return errno ? err_set(e, errno, "cannot list", root, NULL) : 0;
        if (de->d_name[0] != '.' && strchr(de->d_name, '-') &&
            files_join(base, sizeof base, root, de->d_name, NULL) == 0 && stat(base, &st) == 0 &&
            S_ISDIR(st.st_mode) && add_tree(r, de->d_name, e) != 0)
            return -1;
    }
}

/* --- AWS's own word */

static void ask_aws(struct run *r)
{
    struct err e = {0};
    struct credentials *c = credentials_new(&(struct credentials_options){0}, &e);
    struct aws_client *caller = c ? aws_client_new(c, &(struct aws_client_options){0}) : NULL;
    r->report.asked = true;
    if (c && !caller)
        (void)err_set(&e, ENOMEM, "cannot ask AWS", NULL, NULL);
    r->report.answered =
        caller && efs_replication_get(caller, r->report.o->replica.file_system, &r->report.aws, &e) == 0;
    if (!r->report.answered)
        fail(r, &e);
    aws_client_free(caller);
    credentials_free(c);
}

/* What AWS says is here must be: what is not is no delay, but a loss. */
static bool promises_broken(const struct replica_rows *rows)
{
    for (size_t i = 0; i < rows->n; i++)
        for (size_t k = 0; k < rows->v[i].problems; k++)
            if (rows->v[i].problem[k].promised && !rows->v[i].left)
                return true;
    return false;
}

/* Of a node whose heartbeats cannot be read nothing may be here yet. */
static bool beats_good(const struct run *r)
{
    for (size_t i = 0; !r->primary && i < r->report.trees; i++)
        for (size_t k = 0; k < r->report.tree[i].beats.n; k++)
            if (!r->report.tree[i].beats.v[k].read)
                return false;
    return true;
}

/* With AWS asked: does it go on? */
static bool replicates(const struct run *r)
{
    return !r->report.answered || strncmp(r->report.aws.status, "ENABL", 5) == 0;
}

/* A name that no row has would pass for one that is complete. */
static void look_for_names(struct run *r)
{
    const struct options *o = r->report.o;
    for (size_t i = 0; i < o->n_collections; i++) {
        bool any = false;
        for (size_t k = 0; k < r->report.rows.n && !any; k++)
            any = strcmp(r->report.rows.v[k].source.collection, o->collections[i]) == 0;
        if (any)
            continue;
        cmd_complain("no backup of %.255s below %s, and nothing says that there should be one; `qdrant-efs "
                     "replica` without --collection shows which there are",
                     o->collections[i], o->root);
        r->failed = true;
    }
}

static void look(struct run *r)
{
    struct err e = {0};
    if (find_trees(r, r->report.o->root, &e) != 0 || (r->primary && find_trees(r, r->primary, &e) != 0))
        fail(r, &e);
    for (size_t i = 0; i < r->report.trees; i++) {
        e = (struct err){0};
        if (do_tree(r, &r->report.tree[i], &e) != 0)
            fail(r, &e);
    }
    look_for_names(r);
    r->report.now = time(NULL);
    r->report.good = replica_judge(&r->report.rows, r->report.now);
    r->report.good = r->report.good && r->report.rows.n > 0 && beats_good(r) && !r->failed && replicates(r);
    r->report.broken_promise = promises_broken(&r->report.rows);
}

const struct config_row replica_rows[REPLICA_ROWS] = {
    {"RPO_SECONDS", "how old a recovery point may be, where no heartbeat says it", "1800", NULL, false},
};

int cmd_rpo(time_t *out)
{
    struct err e = {0};
    long rpo;
    if (config_number("RPO_SECONDS", config_standard(replica_rows, REPLICA_ROWS, "RPO_SECONDS"), 1,
                      366L * 86400, &rpo, &e) != 0)
        return cmd_complain("%s", e.text), EXIT_SETTING;
    *out = rpo;
    return 0;
}

static int wrong_use(const struct options *o, struct run *r)
{
    struct stat here, there;
    if (cmd_rpo(&r->rpo) != 0)
        return EXIT_SETTING;
    if (o->replica.file_system && !efs_replication_is_id(o->replica.file_system))
        return cmd_complain("--file-system %s: give fs-0123456789abcdef0, or its ARN",
                            o->replica.file_system),
               EXIT_SETTING;
    if (o->replica.primary && stat(o->root, &here) == 0 && stat(o->replica.primary, &there) == 0 &&
        here.st_dev == there.st_dev && here.st_ino == there.st_ino)
        return cmd_complain("--primary %s is the replica itself; give the root of the first Region's EFS",
                            o->replica.primary),
               EXIT_SETTING;
    return 0;
}

int cmd_replica(const struct options *o)
{
    struct run r = {.report = {.o = o}, .primary = o->replica.primary};
    int rc = wrong_use(o, &r);
    if (rc != 0)
        return rc;
    if (o->replica.file_system) {
        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
            return cmd_complain("cannot start libcurl"), EXIT_DEFECT;
        ask_aws(&r);
        curl_global_cleanup();
    }
    look(&r);
    rc = o->json ? replica_say_json(&r.report) : replica_say(&r.report);
    for (size_t i = 0; i < r.report.trees; i++)
        replica_beats_free(&r.report.tree[i].beats);
    free(r.report.tree);
    replica_rows_free(&r.report.rows);
    return r.report.good ? rc : EXIT_DEFECT;
}
