#include "qdrant/canonical.h"
#include "common/base/cleanup.h"
#include <cjson/cJSON.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

struct canonical {
    EVP_MD_CTX *sha;
    uint64_t size;
    size_t n;
    bool bad;
    unsigned char buffer[8192]; /* a call for each number would cost more than its hash */
};

struct canonical *canonical_new(void)
{
    struct canonical *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->sha = EVP_MD_CTX_new();
    if (c->sha && EVP_DigestInit_ex(c->sha, EVP_sha256(), NULL) == 1)
        return c;
    canonical_free(c);
    return NULL;
}

void canonical_free(struct canonical *c)
{
    if (c)
        EVP_MD_CTX_free(c->sha);
    free(c);
}

static void flush(struct canonical *c)
{
    if (EVP_DigestUpdate(c->sha, c->buffer, c->n) != 1)
        c->bad = true;
    c->n = 0;
}

static void put(struct canonical *c, const void *data, size_t n)
{
    c->size += n;
    if (n > sizeof c->buffer - c->n)
        flush(c);
    if (n > sizeof c->buffer) {
        c->bad = EVP_DigestUpdate(c->sha, data, n) != 1 || c->bad;
        return;
    }
    memcpy(c->buffer + c->n, data, n);
    c->n += n;
}

static void put_tag(struct canonical *c, char tag) { put(c, &tag, 1); }

static void put_little(struct canonical *c, uint64_t v, size_t bytes)
{
    unsigned char out[8];
    for (size_t i = 0; i < bytes; i++)
        out[i] = (unsigned char)(v >> (8 * i));
    put(c, out, bytes);
}

static void put_number(struct canonical *c, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    put_tag(c, 'n');
    put_little(c, bits, 8);
}

static void put_string(struct canonical *c, const char *s)
{
    size_t n = strlen(s);
    put_tag(c, 's');
    put_little(c, n, 4);
    put(c, s, n);
}

struct member {
    const cJSON *v;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct member *)a)->v->string, ((const struct member *)b)->v->string);
}

static bool put_object(struct canonical *c, const cJSON *o) /* NOLINT(misc-no-recursion) */
{
    size_t n = 0, all = (size_t)cJSON_GetArraySize(o);
    cleanup_free struct member *members = calloc(all + 1, sizeof *members);
    const cJSON *v;
    bool good = members != NULL;
    cJSON_ArrayForEach(v, o)
    {
        if (good)
            members[n++].v = v;
    }
    if (!good)
        return false;
    qsort(members, n, sizeof *members, by_name);
    put_tag(c, '{');
    for (size_t i = 0; i < n && good; i++) {
        put_string(c, members[i].v->string);
        good = canonical_add(c, members[i].v);
    }
    put_tag(c, '}');
    return good;
}

/* As deep as cJSON parses, which is bounded. */
bool canonical_add(struct canonical *c, const cJSON *v) /* NOLINT(misc-no-recursion) */
{
    const cJSON *item;
    bool good = true;
    if (cJSON_IsNumber(v))
        put_number(c, v->valuedouble);
    else if (cJSON_IsString(v))
        put_string(c, v->valuestring);
    else if (cJSON_IsObject(v))
        return put_object(c, v);
    else if (cJSON_IsArray(v)) {
        put_tag(c, '[');
        cJSON_ArrayForEach(item, v) { good = good && canonical_add(c, item); }
        put_tag(c, ']');
    } else
        put_tag(c, cJSON_IsTrue(v) ? 't' : cJSON_IsFalse(v) ? 'f' : '0');
    return good;
}

uint64_t canonical_size(const struct canonical *c) { return c->size; }

bool canonical_end(struct canonical *c, char out[65])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char md[EVP_MAX_MD_SIZE];
    flush(c);
    if (c->bad || EVP_DigestFinal_ex(c->sha, md, NULL) != 1)
        return false;
    for (size_t i = 0; i < 32; i++) {
        out[2 * i] = digits[md[i] >> 4];
        out[2 * i + 1] = digits[md[i] & 15];
    }
    out[64] = 0;
    return true;
}
