#include "aws/sign.h"
#include "aws/digest.h"
#include "aws/uri.h"
#include "common/base/cleanup.h"
#include <ctype.h>
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { ADDED = 5 }; /* headers of our own, at most */
static const char ALGORITHM[] = "AWS4-HMAC-SHA256", AUTHORIZATION[] = "Authorization:";

static bool is_s3(const char *service) { return strcmp(service, "s3") == 0; }

/* ---- path */

/* Without ".", "..", and empty segments (RFC 3986, 5.2.4, and what AWS adds to it for all but S3). */
static char *normalized(const char *path)
{
    char *out = malloc(strlen(path) + 2);
    size_t n = 0;
    bool slash = true; /* at the end */
    for (const char *s = path; out && *s;) {
        size_t length = strcspn(s, "/");
        bool dot = length == 1 && *s == '.', up = length == 2 && s[0] == '.' && s[1] == '.';
        slash = s[length] == '/' || dot || up;
        if (up)
            while (n && out[--n] != '/')
                ;
        else if (length && !dot) {
            out[n++] = '/';
            memcpy(out + n, s, length);
            n += length;
        }
        s += length + (s[length] == '/');
    }
    if (out && (slash || n == 0))
        out[n++] = '/';
    if (out)
        out[n] = 0;
    return out;
}

/* A key of S3 may hold "//" and "..", and is encoded once; others encode again what is encoded already. */
static bool put_path(FILE *to, const struct sign_request *r, const char *service)
{
    const char *path = r->path && *r->path ? r->path : "/";
    cleanup_free char *plain = is_s3(service) ? NULL : normalized(path);
    if (is_s3(service))
        (void)fputs(path, to);
    else if (plain)
        uri_encode(to, plain, strlen(plain), false);
    (void)fputc('\n', to);
    return is_s3(service) || plain;
}

/* ---- query */

/* "name=value", each encoded: once, however they came. */
static char *pair(const char *text, size_t n)
{
    cleanup_free char *name = strndup(text, n), *out = NULL;
    size_t size = 0;
    FILE *f = name ? open_memstream(&out, &size) : NULL;
    if (!f)
        return NULL;
    char *equals = strchr(name, '='), *value = equals ? equals + 1 : name + n;
    if (equals)
        *equals = 0;
    uri_encode(f, name, uri_decode(name, false), true);
    (void)fputc('=', f);
    uri_encode(f, value, uri_decode(value, false), true);
    char *result = fclose(f) == 0 ? out : NULL;
    if (result)
        out = NULL;
    return result;
}

/* By name, then by value: '=' comes before all that may stand in a name. */
static int by_name(const void *a, const void *b)
{
    const char *x = *(char *const *)a, *y = *(char *const *)b;
    for (; *x && *x == *y; x++, y++)
        ;
    int p = *x == '=' ? 1 : (unsigned char)*x, q = *y == '=' ? 1 : (unsigned char)*y;
    return p - q;
}

static bool put_query(FILE *to, const char *query)
{
    size_t most = 1, n = 0;
    for (const char *s = query; s && *s; s++)
        most += *s == '&';
    char **pairs = calloc(most, sizeof *pairs);
    bool ok = pairs;
    for (const char *s = query; ok && s && *s; s += strcspn(s, "&") + (strchr(s, '&') != NULL))
        if (strcspn(s, "&"))
            ok = (pairs[n++] = pair(s, strcspn(s, "&")));
    if (ok)
        qsort(pairs, n, sizeof *pairs, by_name);
    for (size_t i = 0; i < n; i++) {
        if (ok)
            (void)fprintf(to, "%s%s", i ? "&" : "", pairs[i]);
        free(pairs[i]);
    }
    free(pairs);
    (void)fputc('\n', to);
    return ok;
}

/* ---- headers */

struct line {
    const char *text;
    size_t name, order;
};
static int by_header(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    int d = strncasecmp(x->text, y->text, x->name < y->name ? x->name : y->name);
    if (d == 0 && x->name != y->name)
        d = x->name < y->name ? -1 : 1;
    return d ? d : x->order < y->order ? -1 : 1;
}
static bool same_name(const struct line *a, const struct line *b)
{
    return a->name == b->name && strncasecmp(a->text, b->text, a->name) == 0;
}
static void put_name(FILE *to, const struct line *l)
{
    for (size_t i = 0; i < l->name; i++)
        (void)fputc(tolower((unsigned char)l->text[i]), to);
}
/* Trimmed, and with one space for several. */
static void put_value(FILE *to, const struct line *l)
{
    const char *s = l->text + l->name + (l->text[l->name] == ':');
    for (s += strspn(s, " \t"); *s;) {
        size_t word = strcspn(s, " \t"), space = strspn(s + word, " \t");
        (void)fprintf(to, "%.*s%s", (int)word, s, space && s[word + space] ? " " : "");
        s += word + space;
    }
}

/* All but Authorization, sorted; caller frees. */
static struct line *sorted(char *const *headers, size_t *n)
{
    size_t all = 0;
    *n = 0;
    while (headers[all])
        all++;
    struct line *l = calloc(all + 1, sizeof *l);
    for (size_t i = 0; l && i < all; i++)
        if (strncmp(headers[i], AUTHORIZATION, sizeof AUTHORIZATION - 1) != 0) {
            l[*n] = (struct line){.text = headers[i], .name = strcspn(headers[i], ":"), .order = i};
            (*n)++;
        }
    if (l)
        qsort(l, *n, sizeof *l, by_header);
    return l;
}

static void put_signed_names(FILE *to, const struct line *l, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (i && same_name(&l[i], &l[i - 1]))
            continue;
        if (i)
            (void)fputc(';', to);
        put_name(to, &l[i]);
    }
}

static void put_headers(FILE *to, const struct line *l, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool more = i && same_name(&l[i], &l[i - 1]);
        if (more)
            (void)fputc(',', to);
        else
            put_name(to, &l[i]), (void)fputc(':', to);
        put_value(to, &l[i]);
        if (i + 1 == n || !same_name(&l[i], &l[i + 1]))
            (void)fputc('\n', to);
    }
    (void)fputc('\n', to);
    put_signed_names(to, l, n);
    (void)fputc('\n', to);
}

/* ---- signature */

char *sign_canonical(const struct sign_request *r, const char *service, char *const *headers)
{
    size_t n, size;
    char *text = NULL;
    cleanup_free struct line *lines = sorted(headers, &n);
    FILE *f = lines ? open_memstream(&text, &size) : NULL;
    if (!f)
        return NULL;
    (void)fprintf(f, "%s\n", r->method);
    bool ok = put_path(f, r, service) && put_query(f, r->query);
    put_headers(f, lines, n);
    (void)fputs(r->payload_sha256, f);
    ok = ok && !ferror(f);
    if (fclose(f) == 0 && ok)
        return text;
    free(text);
    return NULL;
}

static bool hmac(const void *key, size_t n, const char *text, unsigned char out[DIGEST_SIZE])
{
    return HMAC(EVP_sha256(), key, (int)n, (const unsigned char *)text, strlen(text), out, NULL);
}

static bool signature(const struct sign_with *w, const char *day, const char *text, char hex[DIGEST_HEX])
{
    char first[sizeof w->keys->secret + 4];
    unsigned char a[DIGEST_SIZE], b[DIGEST_SIZE];
    int n = snprintf(first, sizeof first, "AWS4%s", w->keys->secret);
    bool ok = hmac(first, (size_t)n, day, a) && hmac(a, sizeof a, w->region, b) &&
              hmac(b, sizeof b, w->service, a) && hmac(a, sizeof a, "aws4_request", b) &&
              hmac(b, sizeof b, text, a);
    if (ok)
        digest_hex(a, hex);
    OPENSSL_cleanse(first, sizeof first);
    OPENSSL_cleanse(a, sizeof a);
    OPENSSL_cleanse(b, sizeof b);
    return ok;
}

/* The header's value, with the signature still to come. */
static char *authorization(const struct sign_with *w, const char *scope, char *const *headers)
{
    size_t n, size;
    char *text = NULL;
    cleanup_free struct line *lines = sorted(headers, &n);
    FILE *f = lines ? open_memstream(&text, &size) : NULL;
    if (!f)
        return NULL;
    (void)fprintf(f, "%s %s Credential=%s/%s, SignedHeaders=", AUTHORIZATION, ALGORITHM, w->keys->id, scope);
    put_signed_names(f, lines, n);
    if (fclose(f) == 0)
        return text;
    free(text);
    return NULL;
}

static bool canonical_hash(const struct sign_request *r, const char *service, char *const *headers,
                           char hex[DIGEST_HEX])
{
    unsigned char raw[DIGEST_SIZE];
    cleanup_free char *canonical = sign_canonical(r, service, headers);
    if (!canonical || !digest_sha256(canonical, strlen(canonical), raw))
        return false;
    digest_hex(raw, hex);
    return true;
}

static char *sign_it(const struct sign_request *r, const struct sign_with *w, const char *when,
                     char *const *headers)
{
    char day[9], scope[160], hex[DIGEST_HEX], *line = NULL;
    (void)snprintf(day, sizeof day, "%.8s", when);
    (void)snprintf(scope, sizeof scope, "%s/%s/%s/aws4_request", day, w->region, w->service);
    if (!canonical_hash(r, w->service, headers, hex))
        return NULL;
    cleanup_free char *head = authorization(w, scope, headers), *text = NULL;
    if (asprintf(&text, "%s\n%s\n%s\n%s", ALGORITHM, when, scope, hex) < 0)
        return text = NULL;
    if (!head || !signature(w, day, text, hex) || asprintf(&line, "%s, Signature=%s", head, hex) < 0)
        return NULL;
    return line;
}

static bool add(char **lines, size_t *n, const char *name, const char *value)
{
    if (asprintf(&lines[*n], "%s%s", name, value) < 0)
        return lines[*n] = NULL, false;
    ++*n;
    return true;
}

static bool add_all(char **lines, const struct sign_request *r, const struct sign_with *w, const char *when)
{
    size_t n = 0;
    bool ok = true;
    for (; ok && r->headers && r->headers[n];)
        ok = add(lines, &n, r->headers[n], "");
    ok = ok && add(lines, &n, "Host: ", r->host) && add(lines, &n, "X-Amz-Date: ", when) &&
         (!*w->keys->token || add(lines, &n, "X-Amz-Security-Token: ", w->keys->token)) &&
         (!is_s3(w->service) || add(lines, &n, "x-amz-content-sha256: ", r->payload_sha256));
    return ok && (lines[n] = sign_it(r, w, when, lines));
}

char **sign_headers(const struct sign_request *r, const struct sign_with *with, struct err *e)
{
    char when[20];
    struct tm tm;
    size_t n = 0;
    while (r->headers && r->headers[n])
        n++;
    char **lines = calloc(n + ADDED + 1, sizeof *lines);
    if (lines && gmtime_r(&with->now, &tm) && strftime(when, sizeof when, "%Y%m%dT%H%M%SZ", &tm) &&
        add_all(lines, r, with, when))
        return lines;
    sign_free(lines);
    (void)err_set(e, ENOMEM, "signing a request", NULL, NULL);
    return NULL;
}

void sign_free(char **headers)
{
    for (char **h = headers; h && *h; h++) {
        OPENSSL_cleanse(*h, strlen(*h));
        free(*h);
    }
    free(headers);
}
