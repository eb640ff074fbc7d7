/* check: Qdrant and the rights of its key, S3, and what AWS says of replication. */
#include "aws/credentials.h"
#include "aws/efs_replication.h"
#include "common/base/text.h"
#include "common/base/utc.h"
#include "efs/cli/cmd_check.h"
#include "efs/cli/cmd_table.h"
#include "efs/restore/s3.h"
#include "qdrant/client.h"
#include <curl/curl.h>
#include <errno.h>
#include <libxml/parser.h>
#include <string.h>

/* --- Qdrant */

/* No snapshot has this name: to delete it changes nothing, and needs the rights that making one needs. */
static const char NO_SNAPSHOT[] = "qdrant-efs-check-of-rights.snapshot";

static void look_at_rights(struct check *k, struct qdrant *q, const struct qdrant_names *names,
                           const struct qdrant_settings *s)
{
    const char *remedy, *collection = names->n > 0 ? names->v[0] : NULL;
    long status = qdrant_snapshot_delete(q, collection, NULL, NO_SNAPSHOT);
    enum check_state state = check_rights_rule(status, &remedy);
    if (state == CHECK_OK && qdrant_key_in_clear(s))
        check_say(k, CHECK_WARNING, "key", "use https, or an address of this machine",
                  "%s is another machine, and is sent the key as it is", s->url);
    else if (state == CHECK_OK)
        check_say(k, CHECK_OK, "key", NULL, "may have snapshots made; %zu collection%s", names->n,
                  names->n == 1 ? "" : "s");
    else
        check_say(k, state, "key", remedy, "may read, but not have snapshots made (%ld)", status);
}

static void look_at_key(struct check *k, struct qdrant *q, const struct qdrant_settings *s)
{
    cleanup_names struct qdrant_names names = {0};
    struct err e = {0};
    if (qdrant_collections(q, &names, &e) == 0)
        return look_at_rights(k, q, &names, s);
    check_say(k, CHECK_FAILED, "key",
              e.code == QDRANT_REFUSED || e.code == QDRANT_NO_KEY
                  ? "give the key that Qdrant has: QDRANT_API_KEY_FILE or AK_ARN"
                  : "see Qdrant's log",
              "%s", e.text);
}

static void ask_qdrant(struct check *k, struct qdrant *q, const struct qdrant_settings *s)
{
    struct err e = {0};
    char version[64] = "", safe[200];
    if (qdrant_ready(q, &e) != 0) {
        check_say(k, CHECK_FAILED, "Qdrant", "start it, or set QDRANT_URL to where it is", "%s", e.text);
        return;
    }
    if (qdrant_version(q, version, sizeof version, &e) != 0 || !*version)
        (void)snprintf(version, sizeof version, "of a version that it does not tell");
    check_say(k, CHECK_OK, "Qdrant", NULL, "%s, ready at %s", text_printable(version, safe, sizeof safe),
              s->url);
    look_at_key(k, q, s);
}

static void look_at_qdrant(struct check *k)
{
    struct qdrant_settings s = {0};
    struct err e = {0};
    if (qdrant_settings_read(&s, &e) != 0 || qdrant_ca_check(&s, &e) != 0 || key_file_check(&s, &e) != 0) {
        check_say(k, CHECK_FAILED, "Qdrant", "correct that setting", "%s", e.text);
        explicit_bzero(&s, sizeof s);
        return;
    }
    struct key *key = key_new(&s, NULL);
    struct qdrant *q = key ? qdrant_new(&s, key, NULL) : NULL;
    if (q)
        ask_qdrant(k, q, &s);
    else
        check_say(k, CHECK_FAILED, "Qdrant", "give it more memory", "no memory");
    qdrant_free(q);
    key_free(key);
    explicit_bzero(&s, sizeof s);
}

/* --- S3 */

static bool none(const struct backup *b, void *arg)
{
    (void)b;
    (void)arg;
    return false;
}

/* Keys below a collection that nobody has: few, and cheap to list. */
static void list_bucket(struct check *k, struct restore_s3 *s3, const char *bucket)
{
    cleanup_backup_list struct backup_list list = {0};
    static const char *const nobody[] = {"qdrant-efs check"};
    struct err e = {0};
    bool labelled;
    const struct restore_s3_wish wish = {.tree = strrchr(check_options(k)->settings.base, '/') + 1,
                                         .frequency = FREQUENCY_DAILY,
                                         .collections = nobody,
                                         .n_collections = 1,
                                         .wanted = none};
    if (restore_s3_list(s3, &wish, &list, &labelled, &e) == 0)
        check_say(k, CHECK_OK, "S3", NULL,
                  "s3://%s can be listed; that it can be written to shows the replicator's log", bucket);
    else
        check_say(k, CHECK_FAILED, "S3", "see the task role's rights and the bucket's policy, and the Region",
                  "%s", e.text);
}

static void look_at_s3(struct check *k)
{
    const char *endpoint = config_env("SNAPSHOT_S3_ENDPOINT", "");
    char bucket[64];
    struct err e = {0};
    if (config_bucket(bucket, sizeof bucket, "SNAPSHOT_S3_BUCKET_NAME",
                      config_env("SNAPSHOT_S3_BUCKET_NAME", ""), &e) != 0) {
        check_say(k, CHECK_FAILED, "S3", "correct SNAPSHOT_S3_BUCKET_NAME", "%s", e.text);
        return;
    }
    if (!*bucket) {
        check_say(k, CHECK_OFF, "S3", NULL, "SNAPSHOT_S3_BUCKET_NAME is not set: no second copy there");
        return;
    }
    struct restore_s3 *s3 = restore_s3_new(bucket, *endpoint ? endpoint : NULL, NULL, &e);
    if (s3)
        list_bucket(k, s3, bucket);
    else
        check_say(k, CHECK_FAILED, "S3", "set what is missing", "%s", e.text);
    restore_s3_free(s3);
}

/* --- replication */

static void say_replication(struct check *k, const struct efs_replication *r)
{
    char when[32], age[32];
    time_t now = time(NULL), old = now > r->synced ? now - r->synced : 0;
    utc_text(r->synced, when);
    if (strcmp(r->status, "ENABLED") != 0)
        check_say(k, CHECK_FAILED, "replica", "look at the file system's replication in the AWS console",
                  "%s to %s: %s %s", r->source, r->destination, r->status, r->message);
    else if (r->synced == 0)
        check_say(k, CHECK_WARNING, "replica", "wait for the first sync", "%s to %s: the first sync goes on",
                  r->source, r->destination);
    else
        check_say(k, old > 3600 ? CHECK_WARNING : CHECK_OK, "replica",
                  old > 3600 ? "look at TimeSinceLastSync; run qdrant-efs replica in the second Region"
                             : NULL,
                  "%s to %s in %s, synced %s, %s ago", r->source, r->destination, r->region, when,
                  table_age(old, age));
}

static void look_at_replica(struct check *k)
{
    const char *id = check_options(k)->replica.file_system;
    struct efs_replication r = {0};
    struct err e = {0};
    if (!id) {
        check_say(
            k, CHECK_OFF, "replica", NULL,
            "--file-system ID has AWS asked; in the second Region qdrant-efs replica tells what arrived");
        return;
    }
    struct credentials *c = credentials_new(&(struct credentials_options){0}, &e);
    struct aws_client *caller = c ? aws_client_new(c, &(struct aws_client_options){0}) : NULL;
    if (caller && efs_replication_get(caller, id, &r, &e) == 0)
        say_replication(k, &r);
    else
        check_say(k, CHECK_FAILED, "replica",
                  "see the file system's id, and the right to describe its replication", "%s",
                  e.text[0] ? e.text : "no memory");
    aws_client_free(caller);
    credentials_free(c);
}

void check_remote(struct check *k)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        check_say(k, CHECK_FAILED, "Qdrant", "give it more memory", "cannot start libcurl");
        return;
    }
    xmlInitParser(); /* before there are threads */
    look_at_qdrant(k);
    look_at_s3(k);
    look_at_replica(k);
    curl_global_cleanup();
}
