#include "aws/uri.h"
#include "common/base/cleanup.h"
#include "common/base/text.h"
#include "efs/restore/s3.h"
#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

enum {
    SIGNATURE_BASE64 = 88,
    ALIASES_MAX = 1000
}; /* of the 2 KB that S3 gives to all of an object's labels */

static bool add(struct restore_s3_labels *out, char *line, size_t size, const char *name, const char *value)
{
    static const char fit[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~%,+";
    if (!*value || value[strspn(value, fit)] || (size_t)snprintf(line, size, "%s: %s", name, value) >= size)
        return false;
    out->line[out->n++] = line;
    return true;
}

static void join_aliases(const struct aliases *a, char out[ALIASES_MAX + 20])
{
    size_t n = 0;
    unsigned left_out = a->left_out;
    for (const char *name = NULL; (name = aliases_next(a, name));) {
        cleanup_free char *text = uri_encoded(name, true);
        size_t more = text ? strlen(text) + (n > 0) : ALIASES_MAX + 1;
        if (n + more > ALIASES_MAX)
            left_out++;
        else
            n += (size_t)snprintf(out + n, ALIASES_MAX + 20 - n, "%s%s", n ? "," : "", text);
    }
    if (left_out)
        (void)snprintf(out + n, ALIASES_MAX + 20 - n, "%s+%u", n ? "," : "", left_out);
}

void restore_s3_labels(const struct manifest *m, struct restore_s3_labels *out)
{
    char points[24], aliases[ALIASES_MAX + 20] = "";
    *out = (struct restore_s3_labels){0};
    (void)add(out, out->node, sizeof out->node, "node", m->node);
    (void)snprintf(points, sizeof points, "%" PRId64, m->points);
    if (m->points >= 0)
        (void)add(out, out->points, sizeof out->points, "points", points);
    (void)add(out, out->version, sizeof out->version, "qdrant-version", m->qdrant_version);
    if (m->aliases.known)
        join_aliases(&m->aliases, aliases);
    (void)add(out, out->aliases, sizeof out->aliases, "aliases", aliases);
}

/* A key with control characters might pretend to be lines. */
static bool may_be_signed(const char *key)
{
    for (const char *c = key; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return false;
    return true;
}

/* NULL without memory. */
static char *text_of(const char *key, uint64_t size, const char *sha256, const struct restore_s3_labels *l)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (!f)
        return NULL;
    (void)fprintf(f, "qdrant-efs copy 1\nkey: %s\nsize: %" PRIu64 "\nsha256: %s\n", key, size, sha256);
    for (size_t i = 0; i < l->n; i++)
        (void)fprintf(f, "%s\n", l->line[i]);
    bool ok = !ferror(f);
    if (fclose(f) == 0 && ok)
        return text;
    free(text);
    return NULL;
}

int restore_s3_sign(const struct signing_key *k, const char *key, const struct manifest *m,
                    struct restore_s3_labels *l, struct err *e)
{
    unsigned char raw[SIGNATURE_SIZE], base64[SIGNATURE_BASE64 + 1];
    if (!may_be_signed(key))
        return 0;
    cleanup_free char *text = text_of(key, m->content.size, m->content.sha256, l);
    if (!text)
        return err_set(e, ENOMEM, "cannot sign", key, NULL);
    if (signature_make(k, text, strlen(text), raw, e) != 0)
        return -1;
    (void)EVP_EncodeBlock(base64, raw, SIGNATURE_SIZE);
    (void)snprintf(l->signature, sizeof l->signature, "signature: %s", (const char *)base64);
    l->line[l->n++] = l->signature;
    return 0;
}

static bool from_base64(const char *text, unsigned char raw[SIGNATURE_SIZE])
{
    static const char fit[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/";
    unsigned char all[SIGNATURE_SIZE + 2]; /* it counts what "==" stands for */
    size_t n = strspn(text, fit);
    if (n != SIGNATURE_BASE64 - 2 || strcmp(text + n, "==") != 0 ||
        EVP_DecodeBlock(all, (const unsigned char *)text, SIGNATURE_BASE64) != (int)sizeof all)
        return false;
    memcpy(raw, all, SIGNATURE_SIZE);
    return true;
}

/* Every label that the object has must be in the text: none may be added behind the signature's back. */
int restore_s3_check(const struct restore_s3_said *said, struct backup *b, struct err *e)
{
    struct restore_s3_labels l = {.n = 0};
    unsigned char raw[SIGNATURE_SIZE];
    bool whole = may_be_signed(said->key) &&
                 (!*said->node || add(&l, l.node, sizeof l.node, "node", said->node)) &&
                 (!*said->points || add(&l, l.points, sizeof l.points, "points", said->points)) &&
                 (!*said->version || add(&l, l.version, sizeof l.version, "qdrant-version", said->version)) &&
                 (!*said->aliases || add(&l, l.aliases, sizeof l.aliases, "aliases", said->aliases)) &&
                 from_base64(said->signature, raw);
    cleanup_free char *text = text_of(said->key, said->size, said->sha256, &l);
    if (!text)
        return err_set(e, ENOMEM, "cannot check", said->key, NULL);
    backup_check(b, text, strlen(text), *said->signature ? raw : NULL, whole ? sizeof raw : 0);
    return 0;
}

void restore_s3_aliases(const char *text, struct aliases *out)
{
    struct aliases all = {.known = true};
    *out = (struct aliases){0};
    for (const char *at = text; *at; at += *at == ',') {
        char name[1024];
        size_t n = strcspn(at, ",");
        if (n == 0 || n >= sizeof name)
            return;
        (void)snprintf(name, sizeof name, "%.*s", (int)n, at);
        at += n;
        if (name[0] == '+') {
            all.left_out += (unsigned)strtoul(name + 1, NULL, 10);
            continue;
        }
        if (uri_decode(name, false) != strlen(name) || !text_is_utf8(name))
            return;
        (void)aliases_add(&all, name);
    }
    if (all.n + all.left_out > 0)
        *out = all;
}
