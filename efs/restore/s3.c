#include "efs/restore/s3.h"
#include "aws/s3/s3.h"
#include "common/base/cleanup.h"
#include "efs/restore/s3_internal.h"
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

static int fetch(void *arg, piped_put *put, void *to, struct err *e);

struct restore_s3 *restore_s3_new(const char *bucket, const char *endpoint, const atomic_bool *stop,
                                  struct err *e)
{
    struct restore_s3 *s = calloc(1, sizeof *s);
    if (!s)
        return (void)err_set(e, ENOMEM, "cannot read S3", NULL, NULL), NULL;
    s->piped = (struct piped){.thread = "s3-fetch", .send = fetch, .arg = s};
    s->origin = piped_origin(&s->piped);
    s->credentials = credentials_new(&(struct credentials_options){.stop = stop}, e);
    s->caller =
        s->credentials ? aws_client_new(s->credentials, &(struct aws_client_options){.stop = stop}) : NULL;
    s->s3 =
        s->caller ? s3_new(s->caller, &(struct s3_bucket){.name = bucket, .endpoint = endpoint}, e) : NULL;
    if (s->credentials && !s->caller)
        (void)err_set(e, ENOMEM, "cannot read S3", NULL, NULL);
    if (!s->s3)
        return restore_s3_free(s), NULL;
    (void)snprintf(s->place, sizeof s->place, "s3://%s", bucket);
    return s;
}

void restore_s3_free(struct restore_s3 *s)
{
    if (!s)
        return;
    s3_free(s->s3);
    aws_client_free(s->caller);
    credentials_free(s->credentials);
    free(s);
}

const struct restore_origin *restore_s3_origin(const struct restore_s3 *s) { return &s->origin; }

/* ---- what an object says */

static int64_t number(const char *text)
{
    char *end = NULL;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    return *text && !*end && !errno && n >= 0 ? n : -1;
}

static int look(struct restore_s3 *s, struct backup *b, struct err *e)
{
    char points[24], aliases[RESTORE_S3_ALIASES], signature[100];
    struct s3_label labels[] = {{"node", b->m.node, sizeof b->m.node},
                                {"points", points, sizeof points},
                                {"qdrant-version", b->m.qdrant_version, sizeof b->m.qdrant_version},
                                {"aliases", aliases, sizeof aliases},
                                {"signature", signature, sizeof signature}};
    if ((size_t)snprintf(s->key, sizeof s->key, "%s/%s", b->dir + strlen(s->place), b->data) >= sizeof s->key)
        return err_set(e, ENAMETOOLONG, "cannot read", b->data, NULL);
    memmove(s->key, s->key + 1, strlen(s->key)); /* the '/' behind the bucket */
    int rc = s3_head_labels(s->s3, s->key, &s->info, labels, sizeof labels / sizeof *labels, e);
    if (rc != 0)
        return rc;
    b->m.content.size = b->m.content.stored_size = s->info.size;
    if (digest_is_hex(s->info.sha256)) {
        memcpy(b->m.content.sha256, s->info.sha256, sizeof b->m.content.sha256);
        memcpy(b->m.content.stored_sha256, s->info.sha256, sizeof b->m.content.stored_sha256);
    }
    b->m.created = b->m.created ? b->m.created : s->info.modified;
    b->m.points = number(points);
    restore_s3_aliases(aliases, &b->m.aliases);
    return restore_s3_check(&(struct restore_s3_said){.key = s->key,
                                                      .size = s->info.size,
                                                      .sha256 = s->info.sha256,
                                                      .node = b->m.node,
                                                      .points = points,
                                                      .version = b->m.qdrant_version,
                                                      .aliases = aliases,
                                                      .signature = signature},
                            b, e);
}

/* The same, with the reason where S3 gave none. */
static int look_and_ask(struct restore_s3 *s, struct backup *b, struct err *e)
{
    struct err why = {0};
    int rc = look(s, b, &why);
    bool silent = rc == 1 || (rc < 0 && (why.code == EACCES || why.code == EPROTO));
    if (silent && s3_why(s->s3, s->key, &why) == 0 && rc == 1)
        rc = err_set(&why, EAGAIN, "came into being just now:", s->key, "try again");
    if (rc != 0 && e)
        *e = why;
    return rc;
}

int restore_s3_label_node(struct restore_s3 *s, struct backup *b, struct err *e)
{
    return look_and_ask(s, b, e) < 0 ? -1 : 0;
}

enum restore_outcome restore_s3_look(struct restore_s3 *s, struct backup *b, struct err *e)
{
    int rc = look_and_ask(s, b, e);
    if (rc == 0 && s->info.size == 0)
        (void)err_set(e, 0, "no bytes are in", s->key, NULL);
    else if (rc == 0) {
        backup_trust(b);
        if (b->state == ENTRY_COMPLETE)
            return RESTORE_DONE;
        (void)err_set(e, 0, entry_state_text(b->state), s->key, b->reason);
    }
    return rc < 0 ? RESTORE_FAILED : RESTORE_DEFECT; /* expired, perhaps, since it was listed */
}

/* ---- its bytes */

struct measure {
    EVP_MD_CTX *hash;
    const struct copy_watch *watch;
};
static int take(void *arg, const void *data, size_t n)
{
    const struct measure *m = arg;
    if (m->watch && m->watch->bytes)
        m->watch->bytes(n, m->watch->arg);
    return EVP_DigestUpdate(m->hash, data, n) == 1 ? 0 : -1;
}

enum restore_outcome restore_s3_measure(struct restore_s3 *s, struct backup *b,
                                        const struct copy_watch *watch, struct err *e)
{
    unsigned char raw[DIGEST_SIZE];
    struct measure m = {EVP_MD_CTX_new(), watch};
    int rc = m.hash && EVP_DigestInit_ex(m.hash, EVP_sha256(), NULL) == 1
                 ? 0
                 : err_set(e, ENOMEM, "cannot hash", s->key, NULL);
    if (rc == 0)
        rc = s3_stream(s->s3, s->key, &s->info, take, &m, e);
    if (rc == 0 && EVP_DigestFinal_ex(m.hash, raw, NULL) != 1)
        rc = err_set(e, ENOMEM, "cannot hash", s->key, NULL);
    EVP_MD_CTX_free(m.hash);
    if (rc != 0)
        return RESTORE_FAILED;
    digest_hex(raw, b->m.content.sha256);
    digest_hex(raw, b->m.content.stored_sha256);
    return RESTORE_DONE;
}

/* In a thread, so that S3 sends while Qdrant takes. */
static int fetch(void *arg, piped_put *put, void *to, struct err *e)
{
    struct restore_s3 *s = arg;
    int rc = s3_stream(s->s3, s->key, &s->info, put, to, e);
    if (rc != 0 && !e->code)
        e->code = EIO; /* no defect of the object */
    return rc;
}
