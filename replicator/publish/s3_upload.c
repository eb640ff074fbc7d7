#include "replicator/publish/s3_upload.h"
#include "replicator/core/worker.h"
#include "replicator/status/state.h"
#include "aws/s3/s3.h"
#include "common/base/clock.h"
#include "common/base/cleanup.h"
#include "common/base/files.h"
#include "common/log.h"
#include "common/base/utc.h"
#include "efs/repo/ruler.h"
#include "efs/restore/s3.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Milliseconds; LOOK_BACK in seconds: what was published longer ago without a receipt is from before there
 * was a bucket, or has failed for so long that nobody waits for it. */
enum { TRY_FIRST = 15000, TRY_MAX = 900000, TRY_RARELY = 86400000, QUEUE_MAX = 10000, LOOK_BACK = 7 * 86400 };

struct upload {
    struct manifest m;
    char *local; /* below SNAPSHOTS_DIR, or NULL */
    struct stamp stamp;
    bool vouched; /* the manifest is as we wrote it: what is said of the object may be signed */
    unsigned tries;
    int64_t due, since; /* monotonic milliseconds */
    struct upload *next;
};
struct s3_upload {
    struct context *context;
    struct credentials *credentials;
    struct aws_client *caller;
    struct s3 *s3;
    struct worker_thread worker; /* its mutex is for all below */
    struct upload *queue;        /* the one in work stays in it */
    unsigned queued, given_up;
    bool full_said;
    int64_t pause; /* nothing is tried before: S3 refused us, or is not there */
    unsigned pauses;
    int said; /* the code of the last failure that concerned all; the thread's own */
};

static void upload_free(struct upload *u)
{
    if (u)
        free(u->local);
    free(u);
}

/* With the mutex held. */
static void tell_queue_locked(const struct s3_upload *o) { status_s3_queue(o->context->status, o->queued); }

static bool queue_has_locked(const struct s3_upload *o, const struct manifest *m)
{
    for (const struct upload *u = o->queue; u; u = u->next)
        if (u->m.frequency == m->frequency && u->m.source.kind == m->source.kind &&
            strcmp(u->m.data, m->data) == 0 && strcmp(u->m.source.collection, m->source.collection) == 0 &&
            strcmp(u->m.source.shard, m->source.shard) == 0)
            return true;
    return false;
}

/* Takes ownership. */
static void push(struct s3_upload *o, struct upload *u)
{
    struct upload **end;
    bool known, full;
    (void)pthread_mutex_lock(&o->worker.mutex);
    known = queue_has_locked(o, &u->m);
    full = o->queued >= QUEUE_MAX;
    if (full && !o->full_said)
        log_line(LOG_ERROR, "s3_queue_full",
                 "more than %d backups wait for S3; the rest is looked for again in an hour", QUEUE_MAX);
    o->full_said = full;
    u->since = clock_ms();
    if (!known && !full) {
        for (end = &o->queue; *end; end = &(*end)->next)
            ;
        *end = u;
        o->queued++;
        tell_queue_locked(o);
        (void)pthread_cond_signal(&o->worker.wake);
    }
    (void)pthread_mutex_unlock(&o->worker.mutex);
    if (known || full)
        upload_free(u);
}

/* Of what EFS has as a delta, or had at first, each copy is as large as a whole. */
static bool wanted(const struct s3_upload *o, const struct manifest *m)
{
    return (m->bases.n == 0 && !m->compacted) || o->context->options.s3_deltas;
}

static struct upload *new_upload(struct s3_upload *o, const struct manifest *m, bool vouched)
{
    struct upload *u = o && wanted(o, m) ? calloc(1, sizeof *u) : NULL;
    if (u)
        u->m = *m;
    if (u)
        u->vouched = vouched;
    return u; /* without memory the hourly look finds it */
}

void s3_upload_add(struct s3_upload *o, const struct manifest *m, const char *local,
                   const struct stamp *stamp)
{
    struct upload *u = new_upload(o, m, true);
    if (!u)
        return;
    u->local = strdup(local);
    if (u->local)
        u->stamp = *stamp;
    push(o, u);
}

/* One that lies on EFS may be from anybody: our signature in S3 needs a good one there. */
static void add_found(struct s3_upload *o, const struct backup *b)
{
    const struct signing_key *k = o->context->settings.sign;
    struct manifest m = b->m;
    bool vouched = b->signature == SIGNATURE_GOOD || (k && backup_signed_by(b, k, &m));
    struct upload *u = new_upload(o, vouched ? &m : &b->m, vouched);
    if (u)
        push(o, u);
}

/* Of what was read: a name alone may be of a clock that ran ahead, and makes none of the others old. */
static time_t newest_slot(struct backup_list *list)
{
    struct err ignored;
    for (size_t i = list->n; i > 0; i--) { /* oldest first in the list */
        struct backup *b = &list->v[i - 1];
        if (b->has_manifest && backup_load(b, &ignored) == 0 && b->state == ENTRY_COMPLETE &&
            b->m.slot <= b->written + BACKUP_AHEAD)
            return b->m.slot;
    }
    return 0;
}

void s3_upload_look(struct s3_upload *o, const char *folder)
{
    cleanup_backup_list struct backup_list list = {0};
    struct err e = {0};
    if (!o)
        return;
    if (backup_list_folder(o->context->settings.base, folder, &list, &e) != 0) {
        log_line(LOG_WARN, "survey_failed", "%s", e.text);
        return;
    }
    time_t newest = newest_slot(&list);
    for (size_t i = 0; i < list.n; i++) {
        struct backup *b = &list.v[i];
        if (!o->context->options.s3_deltas && ruler_is_delta(b))
            continue; /* its manifest need not be read */
        if (b->has_manifest && !b->has_receipt && b->m.slot + LOOK_BACK > newest && backup_load(b, &e) == 0 &&
            b->state == ENTRY_COMPLETE)
            add_found(o, b);
    }
}

/* "{TIER}-{CPU_ARCH}/{frequency}/{collection}/{snapshot}.snapshot": the seed's key, with the name as it is,
 * since S3 has no folders to climb out of. Shards and full storage stand where they stand on EFS. */
static bool key_of(const struct s3_upload *o, const struct manifest *m, char *out, size_t size)
{
    char folder[NAME_MAX * 2];
    const struct settings *s = &o->context->settings;
    if (m->source.kind == KIND_COLLECTION)
        (void)snprintf(folder, sizeof folder, "%s", m->source.collection);
    else if (!name_folder(&m->source, folder, sizeof folder))
        return false;
    return (size_t)snprintf(out, size, "%s-%s/%s/%s/%s.snapshot", s->tier, s->cpu_arch,
                            frequency_text(m->frequency), folder, m->source.stem) < size;
}

/* Where the backup is on EFS. */
static int place(const struct s3_upload *o, const struct manifest *m, char dir[PATH_MAX], struct err *e)
{
    char rel[NAME_MAX * 2 + 32], folder[NAME_MAX * 2];
    if (!name_folder(&m->source, folder, sizeof folder))
        return err_set(e, EINVAL, "no place for", m->source.stem, NULL);
    (void)snprintf(rel, sizeof rel, "%s/%s", frequency_text(m->frequency), folder);
    return files_join(dir, PATH_MAX, o->context->settings.base, rel, e);
}

/* A local snapshot is what a backup without compression would be. */
static bool local_source(const struct s3_upload *o, const struct upload *u, char dir[PATH_MAX],
                         struct backup *b)
{
    struct stat st;
    char path[PATH_MAX];
    if (!u->local || files_join(path, sizeof path, o->context->settings.snapshots_dir, u->local, NULL) != 0 ||
        lstat(path, &st) != 0 || !stamp_is(&u->stamp, &st))
        return false;
    const char *name = strrchr(path, '/') + 1;
    (void)snprintf(dir, PATH_MAX, "%.*s", (int)(name - 1 - path), path);
    (void)snprintf(b->data, sizeof b->data, "%s", name);
    (void)snprintf(b->m.codec, sizeof b->m.codec, "none");
    b->m.bases = (struct bases){0};
    b->m.content.stored_size = b->m.content.size;
    memcpy(b->m.content.stored_sha256, b->m.content.sha256, sizeof b->m.content.stored_sha256);
    return true;
}

struct pull {
    struct backup backup;
    char dir[PATH_MAX]; /* of the backup */
    struct backup_reader *stream;
    struct err why;
};

/* The local file as long as it is there: reading from EFS costs money. */
static int open_source(const struct s3_upload *o, const struct upload *u, struct pull *p, struct err *e)
{
    struct backup *b = &p->backup;
    *b = (struct backup){
        .state = ENTRY_COMPLETE, .frequency = u->m.frequency, .dir = p->dir, .m = u->m, .has_manifest = true};
    if (local_source(o, u, p->dir, b) && (p->stream = backup_reader_open(b, NULL, &o->context->stop, e)))
        return 0;
    b->m = u->m;
    (void)snprintf(b->data, sizeof b->data, "%s", u->m.data);
    if (place(o, &u->m, p->dir, e) == 0)
        p->stream = backup_reader_open(b, NULL, &o->context->stop, e);
    return p->stream ? 0 : -1;
}

static ssize_t pull(void *arg, void *buf, size_t n)
{
    struct pull *p = arg;
    ssize_t got = backup_reader_read(p->stream, buf, n, &p->why);
    if (got < 0)
        errno = p->why.code ? p->why.code : EBADMSG;
    return got;
}

/* So that nobody uploads it again, and everybody can see where it is. */
static int put_receipt(const struct s3_upload *o, const struct manifest *m, const char *key,
                       const struct s3_result *r, struct err *e)
{
    char dir[PATH_MAX], name[sizeof m->data + 8], now[32];
    utc_text(time(NULL), now);
    cJSON *j = cJSON_CreateObject();
    bool ok = j && cJSON_AddNumberToObject(j, "format", 1) &&
              cJSON_AddStringToObject(j, "bucket", o->context->options.s3_bucket) &&
              cJSON_AddStringToObject(j, "key", key) &&
              cJSON_AddNumberToObject(j, "size", (double)m->content.size) &&
              cJSON_AddStringToObject(j, "sha256", m->content.sha256) &&
              cJSON_AddStringToObject(j, "etag", r->etag) &&
              cJSON_AddStringToObject(j, "version", r->version) &&
              cJSON_AddStringToObject(j, "uploaded", now);
    cleanup_free char *text = ok ? cJSON_Print(j) : NULL;
    cJSON_Delete(j);
    (void)snprintf(name, sizeof name, "%s.s3", m->data);
    if (!text)
        return err_set(e, ENOMEM, "cannot write", name, NULL);
    return place(o, m, dir, e) != 0 ? -1 : files_put(dir, name, text, e);
}

static int send_one(struct s3_upload *o, const struct upload *u, const char *key, struct s3_result *r,
                    struct err *e)
{
    const struct options *opt = &o->context->options;
    const struct signing_key *sign = u->vouched ? o->context->settings.sign : NULL;
    struct restore_s3_labels labels;
    restore_s3_labels(&u->m, &labels);
    if (sign && restore_s3_sign(sign, key, &u->m, &labels, e) != 0)
        return -1;
    struct pull *from = calloc(1, sizeof *from);
    struct s3_object what = {.key = key,
                             .size = u->m.content.size,
                             .sha256 = u->m.content.sha256,
                             .read = pull,
                             .arg = from,
                             .labels = labels.line,
                             .lock_mode = opt->s3_lock_mode[0] ? opt->s3_lock_mode : NULL,
                             .lock_until =
                                 opt->s3_lock_mode[0] ? time(NULL) + (time_t)opt->s3_lock_seconds : 0};
    if (!from)
        return err_set(e, ENOMEM, "cannot send", key, NULL);
    bool opened = open_source(o, u, from, e) == 0;
    int rc = opened ? s3_put(o->s3, &what, r, e) : -1;
    if (rc != 0 && from->why.text[0])
        *e = from->why;
    if (rc != 0 && e->code != ECANCELED && (!opened || from->why.text[0]))
        e->code = EBADMSG; /* not S3's fault, but the backup's */
    backup_reader_close(from->stream);
    free(from);
    return rc;
}

/* Pruned in the meantime: then there is nothing left to be sent. */
static bool gone(const struct s3_upload *o, const struct manifest *m)
{
    char dir[PATH_MAX], stored[NAME_STORED], name[NAME_STORED + 8], path[PATH_MAX];
    name_stored(m->source.stem, stored);
    (void)snprintf(name, sizeof name, "%s.json", stored);
    return place(o, m, dir, NULL) == 0 && files_join(path, sizeof path, dir, name, NULL) == 0 &&
           access(path, F_OK) != 0 && errno == ENOENT;
}

static void say(const struct upload *u, const char *bucket, const char *key, const struct s3_result *r,
                double seconds)
{
    cJSON *f = cJSON_CreateObject();
    if (f) { /* a member that finds no memory is left out */
        (void)cJSON_AddStringToObject(f, "collection", u->m.source.collection);
        (void)cJSON_AddNumberToObject(f, "size", (double)u->m.content.size);
        (void)cJSON_AddNumberToObject(f, "seconds", seconds);
        (void)cJSON_AddBoolToObject(f, "existed", r->existed);
        (void)cJSON_AddBoolToObject(f, "resumed", r->resumed);
    }
    log_fields(LOG_INFO, "uploaded", f, "s3://%s/%s", bucket, key);
}

/* Would it be the answer for all the others, too? */
static bool concerns_all(const struct err *e)
{
    return e->code == EACCES || e->code == ENOENT || e->code == ECONNREFUSED || e->code == ETIMEDOUT ||
           e->code == EKEYREJECTED || e->code == EPROTO || e->code == EPERM;
}

/* One line for each reason, not for each of a thousand backups. */
static void failed(struct s3_upload *o, const struct upload *u, const char *key, const struct err *e)
{
    bool all = concerns_all(e);
    if (!all || o->said != e->code)
        log_line(LOG_ERROR, "s3_failed", "s3://%s/%s: %s; EFS has it, and it is tried again%s",
                 o->context->options.s3_bucket, key, e->text, all ? ", as are the others" : "");
    o->said = all ? e->code : o->said;
    status_s3(o->context->status, &u->m, e->text, time(NULL));
}

enum outcome { UPLOAD_DONE, UPLOAD_AGAIN, UPLOAD_ALL_AGAIN, UPLOAD_RARELY };

static enum outcome upload(struct s3_upload *o, struct upload *u)
{
    char key[2048];
    struct err e = {0};
    struct s3_result r = {0};
    int64_t begin = clock_ms();
    if (!key_of(o, &u->m, key, sizeof key) || gone(o, &u->m))
        return UPLOAD_DONE; /* one that was pruned or forgotten while it waited is not sent */
    int rc = send_one(o, u, key, &r, &e);
    if (gone(o, &u->m) || (rc != 0 && e.code == ECANCELED))
        return UPLOAD_DONE; /* pruned meanwhile: a receipt would stay alone */
    if (rc == 0)
        rc = put_receipt(o, &u->m, key, &r, &e);
    if (rc == 0) {
        o->said = 0;
        say(u, o->context->options.s3_bucket, key, &r, (double)(clock_ms() - begin) / 1000);
        status_s3(o->context->status, &u->m, NULL, time(NULL));
        return UPLOAD_DONE;
    }
    failed(o, u, key, &e);
    /* Another object has the key, or the backup is not what its manifest says: that does not pass by itself.
     */
    if (e.code == EEXIST || e.code == EBADMSG || e.code == 0 || e.code == EINVAL || e.code == EFBIG)
        return UPLOAD_RARELY;
    return concerns_all(&e) ? UPLOAD_ALL_AGAIN : UPLOAD_AGAIN;
}

/* Of those that are due the one with the fewest tries, then the newest: it is what matters after a long time
 * without S3. With the mutex held. */
static struct upload *next_locked(struct s3_upload *o, int64_t now, int64_t *wait_until)
{
    struct upload *best = NULL;
    *wait_until = -1;
    for (struct upload *u = o->queue; u; u = u->next) {
        int64_t due = u->due > o->pause ? u->due : o->pause;
        if (due > now) {
            if (*wait_until < 0 || due < *wait_until)
                *wait_until = due;
        } else if (!best || u->tries < best->tries ||
                   (u->tries == best->tries && u->m.created > best->m.created)) {
            best = u;
        }
    }
    return best;
}

static void take_out_locked(struct s3_upload *o, const struct upload *u)
{
    struct upload **at = &o->queue;
    while (*at != u)
        at = &(*at)->next;
    *at = u->next;
    o->queued--;
}

static int64_t backoff(unsigned tries)
{
    int64_t wait = (int64_t)TRY_FIRST << (tries < 6 ? tries : 6);
    return wait < TRY_MAX ? wait : TRY_MAX;
}

/* With the mutex held. */
static void settle_locked(struct s3_upload *o, struct upload *u, enum outcome came)
{
    int64_t now = clock_ms();
    o->pauses = came == UPLOAD_ALL_AGAIN ? o->pauses : 0;
    if (came == UPLOAD_DONE || now - u->since > (int64_t)LOOK_BACK * 1000) {
        o->given_up += came != UPLOAD_DONE;
        take_out_locked(o, u);
        upload_free(u);
    } else if (came == UPLOAD_ALL_AGAIN) {
        o->pause = now + backoff(o->pauses++);
    } else {
        u->due = now + (came == UPLOAD_RARELY ? TRY_RARELY : backoff(u->tries));
        u->tries++;
    }
}

static void *loop(void *arg)
{
    struct s3_upload *o = arg;
    int64_t until;
    (void)pthread_mutex_lock(&o->worker.mutex);
    while (!atomic_load(&o->context->stop)) {
        struct upload *u = next_locked(o, clock_ms(), &until);
        struct timespec end = clock_spec(until);
        if (!u && until < 0)
            (void)pthread_cond_wait(&o->worker.wake, &o->worker.mutex);
        else if (!u)
            (void)pthread_cond_timedwait(&o->worker.wake, &o->worker.mutex, &end);
        if (!u)
            continue;
        (void)pthread_mutex_unlock(&o->worker.mutex);
        enum outcome came = upload(o, u);
        (void)pthread_mutex_lock(&o->worker.mutex);
        settle_locked(o, u, came);
        tell_queue_locked(o);
    }
    (void)pthread_mutex_unlock(&o->worker.mutex);
    return NULL;
}

static bool connect_s3(struct s3_upload *o, struct err *e)
{
    const struct options *opt = &o->context->options;
    struct s3_bucket b = {
        .name = opt->s3_bucket,
        .endpoint = opt->s3_endpoint[0] ? opt->s3_endpoint : NULL,
        .storage_class = opt->s3_class[0] ? opt->s3_class : NULL,
        .kms = opt->s3_kms_key[0] != 0,
        .kms_key = strcmp(opt->s3_kms_key, "aws:kms") != 0 && opt->s3_kms_key[0] ? opt->s3_kms_key : NULL};
    o->credentials = credentials_new(&(struct credentials_options){.stop = &o->context->stop}, e);
    o->caller = o->credentials
                    ? aws_client_new(o->credentials, &(struct aws_client_options){.stop = &o->context->stop})
                    : NULL;
    o->s3 = o->caller ? s3_new(o->caller, &b, e) : NULL;
    return o->s3 != NULL;
}

struct s3_upload *s3_upload_start(struct context *x)
{
    struct err e = {0};
    struct s3_upload *o = calloc(1, sizeof *o);
    if (!o)
        return NULL;
    o->context = x;
    if (!connect_s3(o, &e)) {
        log_line(LOG_ERROR, "no_s3", "no copies go to S3: %s", e.text[0] ? e.text : "no memory");
        status_s3(x->status, NULL, e.text, time(NULL));
    } else if (worker_start(&o->worker, "s3-upload", loop, o, &x->stop)) {
        return o;
    }
    s3_upload_free(o);
    return NULL;
}

bool s3_upload_tried(struct s3_upload *o, size_t *left)
{
    (void)pthread_mutex_lock(&o->worker.mutex);
    bool all = true;
    for (const struct upload *u = o->queue; u && o->pauses == 0; u = u->next)
        all = all && u->tries > 0;
    *left = o->queued + o->given_up;
    (void)pthread_mutex_unlock(&o->worker.mutex);
    return all;
}

bool s3_upload_stop(struct s3_upload *o, int64_t end) { return worker_stop(&o->worker, end); }

void s3_upload_free(struct s3_upload *o)
{
    if (!o)
        return;
    while (o->queue) {
        struct upload *u = o->queue;
        o->queue = u->next;
        upload_free(u);
    }
    s3_free(o->s3);
    aws_client_free(o->caller);
    credentials_free(o->credentials);
    free(o);
}
