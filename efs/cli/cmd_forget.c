/* forget: all backups of a collection are deleted, and a tombstone keeps it from coming back. */
#include "common/base/cleanup.h"
#include "common/base/text.h"
#include "common/base/utc.h"
#include "efs/cli/cli.h"
#include "efs/repo/forget.h"
#include "efs/repo/tombstone.h"
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { NODES_MAX = 64 };

struct forgetting {
    const struct options *o;
    char nodes[NODES_MAX][128]; /* that have backups of it; "": one without a NODE_NAME */
    size_t n_nodes;
    size_t found, storage; /* backups of it; of the whole storage */
    time_t newest;         /* of them, by the clocks of those who made them */
    size_t pinned;         /* of those that are asked for */
    bool again;            /* it was forgotten before */
    bool in_s3;
    const char *tree; /* the one at hand */
    size_t deleted, left;
    uint64_t bytes;
    cJSON *json, *backups, *remains; /* with --json; the latter two belong to the first */
    cJSON *s3;
    int failed;
};

/* --- looking */

static void add_node(struct forgetting *f, const struct backup *b)
{
    const char *node = strcmp(b->m.node, b->m.source.peer) == 0 ? "" : b->m.node;
    for (size_t i = 0; i < f->n_nodes; i++)
        if (strcmp(f->nodes[i], node) == 0)
            return;
    if (f->n_nodes < NODES_MAX)
        (void)snprintf(f->nodes[f->n_nodes++], sizeof f->nodes[0], "%s", node);
}

/* The clock at hand may be behind those of the nodes; but a node's that runs ahead counts only as far as the
 * file system's own server confirms it. */
static void note_newest(struct forgetting *f, const struct backup *b)
{
    time_t created = b->m.created;
    if (b->written && created > b->written + BACKUP_AHEAD)
        created = b->written;
    if (created > f->newest)
        f->newest = created;
}

static int look_in(const struct options *o, const char *base, const char *folder, void *arg, struct err *e)
{
    struct forgetting *f = arg;
    cleanup_backup_list struct backup_list list = {0};
    bool storage = name_is_storage(folder);
    if (backup_list_folder(base, folder, &list, e) != 0)
        return -1;
    for (size_t i = 0; i < list.n; i++) {
        struct err ignored;
        const struct backup *b = &list.v[i];
        (void)backup_load(&list.v[i], &ignored); /* one that cannot be read is of whom its name says */
        if (o->restore.node && strcmp(b->m.node, o->restore.node) != 0 &&
            strcmp(b->m.source.peer, o->restore.node) != 0)
            continue;
        f->pinned += b->pinned && (!storage || o->restore.storage);
        if (storage) {
            f->storage++;
            continue;
        }
        if (b->m.content.sha256[0])
            add_node(f, b);
        f->found++;
        note_newest(f, b);
        f->in_s3 = f->in_s3 || b->has_receipt;
    }
    return 0;
}

static int was_forgotten(const struct options *o, const char *base, void *arg, struct err *e)
{
    struct forgetting *f = arg;
    cleanup_tombstones struct tombstones all = {0};
    if (tombstones_load(base, o->restore.node ? o->restore.node : TOMBSTONE_ALL, &all, e) != 0)
        return -1;
    f->again = f->again || tombstones_find(&all, o->operand, true);
    return 0;
}

/* The collection, and the whole storage. */
static int look(struct forgetting *f, struct err *e)
{
    const char *both[] = {f->o->operand, "%storage"};
    struct options o = *f->o;
    o.collections = both;
    o.n_collections = 2;
    return cmd_each_folder(&o, look_in, f, e) != 0 ? -1 : cmd_each_tree(&o, was_forgotten, f, e);
}

/* --- deleting */

static void say_line(const struct forgetting *f, FILE *to, const char *text)
{
    char safe[PATH_MAX + NAME_MAX + 100];
    if (!f->json || to == stderr)
        (void)fprintf(to, "%s\n", text_printable(text, safe, sizeof safe));
}

static void on_gone(const struct backup *b, void *arg)
{
    struct forgetting *f = arg;
    char line[PATH_MAX + NAME_MAX + 64], slot[32];
    f->deleted++;
    f->bytes += b->m.content.sha256[0] ? b->m.content.stored_size : 0;
    utc_text(b->m.slot, slot);
    (void)snprintf(line, sizeof line, "%s %s %s/%s", f->o->dry_run ? "would forget" : "forgot",
                   b->m.slot ? slot : "-", b->dir, b->stem);
    say_line(f, stdout, line);
    if (f->backups && !cJSON_AddItemToArray(f->backups, cmd_json(b)))
        f->failed = EXIT_DEFECT;
}

static void on_left(const char *path, const char *why, void *arg)
{
    struct forgetting *f = arg;
    f->left++;
    cmd_complain("left alone, since it is %s: %s", why, path);
    cJSON *o = f->remains ? cJSON_CreateObject() : NULL;
    if (f->remains && (!o || !cmd_json_text(o, "path", path) || !cmd_json_text(o, "why", why) ||
                       !cJSON_AddItemToArray(f->remains, o))) {
        cJSON_Delete(o);
        f->failed = EXIT_DEFECT;
    }
}

/* The keys of the collection in S3 (docs/s3.md). Others' buckets are not ours to know: then a person fills it
 * in. */
static void say_s3(struct forgetting *f)
{
    const char *bucket = getenv("SNAPSHOT_S3_BUCKET_NAME");
    for (int t = 0; (f->in_s3 || (bucket && *bucket)) && t < FREQUENCY_COUNT; t++) {
        char line[3200], raw[700], quoted[4 * sizeof raw];
        (void)snprintf(raw, sizeof raw, "s3://%.100s/%.200s/%s/%.255s/",
                       bucket && *bucket ? bucket : "BUCKET", f->tree, frequency_text((enum frequency)t),
                       f->o->operand);
        (void)snprintf(line, sizeof line, "aws s3 rm --recursive %s", text_shell(raw, quoted, sizeof quoted));
        if (t == 0)
            say_line(f, stdout,
                     f->o->restore.node
                         ? "Copies in S3 are not touched. These commands delete them, those of all nodes:"
                         : "Copies in S3 are not touched. These commands delete them:");
        say_line(f, stdout, line);
        cJSON *item = f->s3 ? cJSON_CreateString(line) : NULL;
        if (f->s3 && !cJSON_AddItemToArray(f->s3, item))
            f->failed = EXIT_DEFECT;
    }
}

static int fail(struct forgetting *f, const struct err *e)
{
    cmd_complain("%s", e->text);
    f->failed = EXIT_DEFECT;
    return 0; /* the other trees go on */
}

static int put_tombstone(const struct forgetting *f, const char *base, struct err *e)
{
    time_t now = time(NULL);
    struct tombstone t = {.deleted = f->newest > now ? f->newest : now, .forgotten = true};
    (void)snprintf(t.collection, sizeof t.collection, "%s", f->o->operand);
    (void)snprintf(t.node, sizeof t.node, "%s", f->o->restore.node ? f->o->restore.node : TOMBSTONE_ALL);
    (void)snprintf(t.by, sizeof t.by, "qdrant-efs");
    if (f->o->settings.require_signature && !f->o->settings.sign)
        cmd_complain(
            "SIGNING_KEY_FILE is not set: replicators with REQUIRE_SIGNATURE=1 do not know that it is "
            "forgotten, and may publish again what they still have");
    return tombstone_put(base, &t, e);
}

/* Is there anything of it in that tree, or was there? */
static bool is_in(const struct forgetting *f, const char *base)
{
    char escaped[NAME_MAX + 1], path[PATH_MAX];
    struct stat st;
    cleanup_tombstones struct tombstones all = {0};
    struct err ignored;
    bool any = tombstones_load(base, NULL, &all, &ignored) == 0 && tombstones_find(&all, f->o->operand, true);
    for (int t = 0; !any && name_escape(f->o->operand, escaped, sizeof escaped) && t < FREQUENCY_COUNT; t++)
        any = (size_t)snprintf(path, sizeof path, "%s/%s/%s", base, frequency_text((enum frequency)t),
                               escaped) < sizeof path &&
              lstat(path, &st) == 0;
    return any;
}

/* First the tombstone: whoever publishes meanwhile sees it, or is seen (forget.h). */
static int forget_tree(const struct options *o, const char *base, void *arg, struct err *e)
{
    struct forgetting *f = arg;
    struct err why = {0};
    struct forget what = {.base = base,
                          .collection = o->operand,
                          .node = o->restore.node,
                          .dry_run = o->dry_run,
                          .gone = on_gone,
                          .left = on_left,
                          .arg = f};
    (void)e;
    if (!is_in(f, base))
        return 0;
    f->tree = strrchr(base, '/') + 1;
    if (!o->dry_run && put_tombstone(f, base, &why) != 0)
        return fail(f, &why); /* without it the backups might come back: nothing is deleted */
    if (forget_backups(&what, &why) != 0)
        (void)fail(f, &why);
    what.storage = true;
    if (o->restore.storage && forget_backups(&what, &why) != 0)
        (void)fail(f, &why);
    say_s3(f);
    return 0;
}

static int ambiguous(const struct forgetting *f)
{
    char names[700] = "";
    size_t at = 0;
    for (size_t i = 0; i < f->n_nodes && at < sizeof names; i++)
        at += (size_t)snprintf(names + at, sizeof names - at, "%s%.100s", i ? ", " : "",
                               f->nodes[i][0] ? f->nodes[i] : "(without NODE_NAME)");
    cmd_complain("several nodes have backups of %s: %s; choose one with --node, or give --all-nodes",
                 f->o->operand, names);
    return EXIT_SETTING;
}

static bool begin_json(struct forgetting *f)
{
    f->json = cJSON_CreateObject();
    f->backups = f->json ? cJSON_AddArrayToObject(f->json, "backups") : NULL;
    f->remains = f->backups ? cJSON_AddArrayToObject(f->json, "left_alone") : NULL;
    f->s3 = f->remains ? cJSON_AddArrayToObject(f->json, "s3_commands") : NULL;
    return f->s3;
}

static int finish(struct forgetting *f)
{
    char size[16];
    size_t storage = f->o->restore.storage ? 0 : f->storage;
    if (storage > 0)
        cmd_complain(
            "%zu snapshots of the whole storage may hold %s, and stay: --storage-snapshot deletes them, too",
            storage, f->o->operand);
    if (storage > 0 || f->left > 0)
        f->failed = EXIT_DEFECT;
    if (f->json) {
        if (!cmd_json_text(f->json, "collection", f->o->operand) ||
            !cJSON_AddBoolToObject(f->json, "dry_run", f->o->dry_run) ||
            !cJSON_AddNumberToObject(f->json, "bytes", (double)f->bytes) ||
            !cJSON_AddNumberToObject(f->json, "storage_snapshots_left", (double)storage))
            f->failed = EXIT_DEFECT;
        int rc = cmd_print_json(f->json);
        return f->failed ? f->failed : rc;
    }
    (void)printf("%zu backup%s, %s %s\n", f->deleted, f->deleted == 1 ? "" : "s", cmd_human(f->bytes, size),
                 f->o->dry_run ? "would be freed" : "freed");
    return f->failed ? f->failed : fflush(stdout) == 0 ? 0 : EXIT_DEFECT;
}

int cmd_forget(const struct options *o)
{
    static struct forgetting f;
    struct err e = {0};
    char escaped[NAME_MAX + 1];
    f = (struct forgetting){.o = o};
    if (!name_escape(o->operand, escaped, sizeof escaped)) {
        cmd_complain("no collection can be named \"%s\"", o->operand);
        return EXIT_SETTING;
    }
    if (look(&f, &e) != 0) {
        cmd_complain("%s", e.text);
        return EXIT_DEFECT;
    }
    if (f.n_nodes > 1 && !o->restore.node && !o->all_nodes)
        return ambiguous(&f);
    if (f.found == 0 && !f.again) {
        if (o->restore.node)
            cmd_complain("no backup of %s by node %s below %s; `qdrant-efs ls --collection %s` lists the "
                         "nodes that have some",
                         o->operand, o->restore.node, o->root, o->operand);
        else
            cmd_complain("no backup of %s below %s; `qdrant-efs ls` lists the collections", o->operand,
                         o->root);
        return EXIT_DEFECT;
    }
    if (f.pinned > 0 && !o->pinned) {
        cmd_complain("%zu of the backups of %s %s pinned, so that nothing is deleted; `qdrant-efs ls "
                     "--pinned` tells which and why, --pinned deletes pinned ones, too",
                     f.pinned, o->operand, f.pinned == 1 ? "is" : "are");
        return EXIT_DEFECT;
    }
    if (o->json && !begin_json(&f)) {
        cmd_complain("no memory");
        return EXIT_DEFECT;
    }
    if (cmd_each_tree(o, forget_tree, &f, &e) != 0)
        (void)fail(&f, &e);
    return finish(&f);
}
