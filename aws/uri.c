#include "aws/uri.h"
#include "aws/error.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static bool unreserved(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

/* A memory stream keeps a failed write in mind; whoever closes it looks. */
void uri_encode(FILE *to, const char *text, size_t n, bool slash)
{
    for (size_t i = 0; i < n; i++)
        if (unreserved(text[i]) || (text[i] == '/' && !slash))
            (void)fputc(text[i], to);
        else
            (void)fprintf(to, "%%%02X", (unsigned char)text[i]);
}

char *uri_encoded(const char *text, bool slash)
{
    char *out = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&out, &n);
    if (!f)
        return NULL;
    uri_encode(f, text, strlen(text), slash);
    bool bad = ferror(f) != 0;
    if (fclose(f) == 0 && !bad)
        return out;
    free(out);
    return NULL;
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : isxdigit((unsigned char)c) ? (c | 0x20) - 'a' + 10 : -1;
}

size_t uri_decode(char *text, bool form)
{
    char *to = text;
    for (const char *from = text; *from; to++)
        if (*from == '%' && digit(from[1]) >= 0 && digit(from[2]) >= 0) {
            *to = (char)(digit(from[1]) * 16 + digit(from[2]));
            from += 3;
        } else {
            *to = form && *from == '+' ? ' ' : *from;
            from++;
        }
    *to = 0;
    return (size_t)(to - text);
}

static enum uri_where where_is(const char *host)
{
    struct in_addr four;
    struct in6_addr six;
    if (strcasecmp(host, "localhost") == 0)
        return URI_LOOPBACK;
    if (inet_pton(AF_INET, host, &four) == 1)
        return ntohl(four.s_addr) >> 24 == 127       ? URI_LOOPBACK
               : ntohl(four.s_addr) >> 16 == 0xA9FEU ? URI_LINK_LOCAL /* 169.254.0.0/16 */
                                                     : URI_ELSEWHERE;
    if (inet_pton(AF_INET6, host, &six) == 1)
        return IN6_IS_ADDR_LOOPBACK(&six)    ? URI_LOOPBACK
               : IN6_IS_ADDR_LINKLOCAL(&six) ? URI_LINK_LOCAL
                                             : URI_ELSEWHERE;
    return URI_ELSEWHERE;
}

/* ECS, EKS, and EKS over IPv6: AWS SDKs' reference guide, "Container credential provider". */
static bool gives_credentials(const char *host)
{
    struct in6_addr six, eks;
    return where_is(host) == URI_LOOPBACK || strcmp(host, "169.254.170.2") == 0 ||
           strcmp(host, "169.254.170.23") == 0 ||
           (inet_pton(AF_INET6, host, &six) == 1 && inet_pton(AF_INET6, "fd00:ec2::23", &eks) == 1 &&
            memcmp(&six, &eks, sizeof six) == 0);
}

static void url_free(CURLU **u) { curl_url_cleanup(*u); }
#define cleanup_url __attribute__((cleanup(url_free)))

static bool part(CURLU *u, CURLUPart what, char *out, size_t size)
{
    char *text = NULL;
    bool ok = curl_url_get(u, what, &text, 0) == CURLUE_OK;
    ok = ok && (size_t)snprintf(out, size, "%s", text) < size;
    curl_free(text);
    return ok;
}
static bool has(CURLU *u, CURLUPart what)
{
    char *text = NULL;
    bool there = curl_url_get(u, what, &text, 0) == CURLUE_OK;
    curl_free(text);
    return there;
}

static bool take_apart(CURLU *u, struct uri *out)
{
    char scheme[8], host[200], port[8] = "", bare[200];
    if (!part(u, CURLUPART_SCHEME, scheme, sizeof scheme) || !part(u, CURLUPART_HOST, host, sizeof host) ||
        !part(u, CURLUPART_PATH, out->path, sizeof out->path) ||
        (has(u, CURLUPART_PORT) && !part(u, CURLUPART_PORT, port, sizeof port)))
        return false;
    out->https = strcmp(scheme, "https") == 0;
    if ((!out->https && strcmp(scheme, "http") != 0) || has(u, CURLUPART_USER) ||
        has(u, CURLUPART_PASSWORD) || has(u, CURLUPART_FRAGMENT))
        return false;
    if (strcmp(port, out->https ? "443" : "80") == 0)
        port[0] = 0; /* libcurl sends no port of the scheme's own, so none must be signed */
    (void)snprintf(out->host, sizeof out->host, "%s%s%s", host, *port ? ":" : "", port);
    (void)snprintf(bare, sizeof bare, "%s", *host == '[' ? host + 1 : host);
    bare[strcspn(bare, "]")] = 0;
    out->where = where_is(bare);
    out->credentials_host = gives_credentials(bare);
    out->query = has(u, CURLUPART_QUERY);
    return true;
}

int uri_parse(const char *name, const char *text, struct uri *out, struct err *e)
{
    cleanup_url CURLU *u = curl_url();
    *out = (struct uri){0};
    if (!u)
        return err_set(e, ENOMEM, "taking an address apart", NULL, NULL);
    if (curl_url_set(u, CURLUPART_URL, text, 0) != CURLUE_OK || !take_apart(u, out))
        return aws_error_report(
            e, EINVAL, NULL, "%s=%.200s is no address: allowed is http[s]://host[:port][/path]", name, text);
    return 0;
}
