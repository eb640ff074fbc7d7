/* restore from the copies in S3: which bucket, and what in it is meant. */
#include "efs/cli/cmd_restore.h"
#include "common/base/cleanup.h"
#include "efs/cli/cmd_why_none.h"
#include <curl/curl.h>
#include <errno.h>
#include <libxml/parser.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char SCHEME[] = "s3://";
const struct config_row s3_rows[S3_ROWS] = {
    {"SNAPSHOT_S3_BUCKET_NAME", "the bucket that snapshots are copied to", "", NULL, false},
    {"SNAPSHOT_S3_ENDPOINT", "another S3 service", "", "AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, else AWS",
     false},
};

static bool is_object(const char *location)
{
    return location && strncmp(location, SCHEME, sizeof SCHEME - 1) == 0;
}

bool from_s3(const struct options *o) { return o->restore.from_s3 || is_object(o->restore.location); }

/* "s3://bucket/key"; NULL when there is no key. */
static const char *key_in(const char *location, char bucket[64])
{
    const char *begin = location + sizeof SCHEME - 1, *slash = strchr(begin, '/');
    if (!slash || !slash[1] || (size_t)(slash - begin) >= 64)
        return NULL;
    (void)snprintf(bucket, 64, "%.*s", (int)(slash - begin), begin);
    return slash + 1;
}

static int wrong(const char *what)
{
    cmd_complain("%s; see qdrant-efs restore --help", what);
    return EXIT_SETTING;
}

int s3_open(struct job *j)
{
    struct err e = {0};
    char bucket[64], given[64];
    const char *location = j->o->restore.location, *endpoint = config_env("SNAPSHOT_S3_ENDPOINT", "");
    if (location && !key_in(location, given))
        return wrong("--location of S3 is s3://BUCKET/KEY");
    const char *name = location ? "--location s3://" : "SNAPSHOT_S3_BUCKET_NAME",
               *value = location ? given : config_env("SNAPSHOT_S3_BUCKET_NAME", "");
    if (config_bucket(bucket, sizeof bucket, name, value, &e) != 0)
        return wrong(e.text);
    if (!*bucket)
        return wrong("--from-s3 of which bucket? Set SNAPSHOT_S3_BUCKET_NAME");
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return cmd_complain("cannot start libcurl"), EXIT_DEFECT;
    xmlInitParser(); /* before there are threads */
    j->s3 = restore_s3_new(bucket, *endpoint ? endpoint : NULL, j->stop, &e);
    if (!j->s3)
        return wrong(e.text);
    (void)snprintf(j->place, sizeof j->place, "%s%s", SCHEME, bucket);
    return 0;
}

/* ---- which objects */

static bool wanted(const struct backup *b, void *arg)
{
    const struct options *o = arg;
    const struct restore_options *r = &o->restore;
    const struct source *s = &b->m.source;
    enum kind kind = r->storage ? KIND_STORAGE : r->shard ? KIND_SHARD : KIND_COLLECTION;
    return cmd_wanted(o, b) && (s->kind == kind || (r->snapshot && !r->storage && !r->shard)) &&
           (!r->shard || strcmp(s->shard, r->shard) == 0) &&
           (!r->at || restore_moment(b, time(NULL)) <= r->at);
}

static int gather_all(struct job *j, struct backup_list *list, const char **node)
{
    struct options o = *j->o;
    struct err e = {0};
    bool labelled;
    o.operand = o.restore.snapshot;
    struct restore_s3_wish w = {.tree = settings_name_tree() ? strrchr(o.settings.base, '/') + 1 : NULL,
                                .frequency = o.frequency,
                                .collections = o.collections,
                                .n_collections = o.n_collections,
                                .wanted = wanted,
                                .arg = &o,
                                .nodes = o.restore.node || o.settings.node[0]};
    if (restore_s3_list(j->s3, &w, list, &labelled, &e) != 0)
        return cmd_complain("%s", e.text), EXIT_DEFECT;
    /* Objects may be from before they said whose they are: then our own name chooses none of them. */
    *node = o.restore.node ? o.restore.node : labelled && o.settings.node[0] ? j->o->settings.node : NULL;
    return 0;
}

static int gather_one(struct job *j, struct backup_list *list)
{
    struct err e = {0};
    char bucket[64];
    const struct options *o = j->o;
    const char *key = key_in(o->restore.location, bucket), *named = o->n_collections ? o->collections[0] : "";
    if (restore_s3_one(j->s3, key, list, &e) != 0)
        return cmd_complain("%s", e.text), EXIT_DEFECT;
    struct source *s = &list->v[0].m.source;
    if (s->kind == KIND_STORAGE)
        return 0;
    if (!*s->collection && !*named)
        return wrong("that key does not say of which collection it is: give --collection");
    j->renamed = *named && strcmp(named, s->collection) != 0;
    if (*named)
        (void)snprintf(s->collection, sizeof s->collection, "%s", named);
    return 0;
}

static bool anything(const struct backup *b, void *arg)
{
    const char *snapshot = arg; /* NULL: any */
    return !snapshot || cmd_is_named(b, snapshot);
}

/* Of many objects a listing keeps only the newest and the oldest, so that a name is looked for by itself. */
static bool list_anything(struct job *j, const char *snapshot, bool nodes, struct backup_list *list)
{
    char raw[NAME_MAX + 1];
    struct err ignored;
    bool labelled;
    (void)snprintf(raw, sizeof raw, "%s", snapshot ? snapshot : "");
    struct restore_s3_wish w = {.tree = settings_name_tree() ? strrchr(j->o->settings.base, '/') + 1 : NULL,
                                .frequency = -1,
                                .wanted = anything,
                                .arg = snapshot ? raw : NULL,
                                .nodes = nodes};
    return restore_s3_list(j->s3, &w, list, &labelled, &ignored) == 0;
}

bool s3_why_none(struct job *j, const struct filters *w, struct err *e)
{
    cleanup_backup_list struct backup_list named = {0}, all = {0};
    struct filters of_name = *w;
    of_name.is_named = true;
    if (j->o->restore.location)
        return false;
    if (w->snapshot && !list_anything(j, w->snapshot, w->node, &named))
        return false;
    if (named.n > 0)
        return why_none(&of_name, &named, j->place, e);
    return list_anything(j, NULL, w->node, &all) && why_none(w, &all, j->place, e);
}

int s3_gather(struct job *j, struct backup_list *list, const char **node)
{
    *node = NULL;
    return j->o->restore.location ? gather_one(j, list) : gather_all(j, list, node);
}

/* ---- one object */

/* The hash that was given with --checksum counts more than the object's own. */
static int expect(struct job *j, struct backup *b, struct err *e)
{
    const char *given = j->o->restore.checksum;
    char *sha256 = b->m.content.sha256;
    if (!given)
        return 0;
    if (*sha256 && strcasecmp(given, sha256) != 0)
        return err_set(e, 0, "the object itself says another SHA-256 than --checksum:", sha256, NULL);
    for (size_t i = 0; i < 64; i++)
        sha256[i] = given[i] >= 'A' && given[i] <= 'F' ? (char)(given[i] | 0x20) : given[i];
    sha256[64] = 0;
    memcpy(b->m.content.stored_sha256, sha256, 65);
    return 0;
}

enum restore_outcome s3_look(struct job *j, struct backup *b, struct progress **bar, struct err *e)
{
    enum restore_outcome outcome = restore_s3_look(j->s3, b, e);
    j->unproven = false;
    if (outcome == RESTORE_DEFECT && j->o->restore.location)
        outcome = RESTORE_FAILED; /* there is no other one */
    if (outcome != RESTORE_DONE)
        return outcome;
    if (expect(j, b, e) != 0)
        return RESTORE_FAILED;
    j->unproven = !b->m.content.sha256[0];
    *bar = progress_new(b->m.content.stored_size * (j->unproven ? 2 : 1));
    progress_name(*bar, b->m.source.stem);
    return j->unproven ? restore_s3_measure(j->s3, b, &(struct copy_watch){progress_bytes, *bar}, e)
                       : RESTORE_DONE;
}
