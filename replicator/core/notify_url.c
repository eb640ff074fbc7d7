#include "replicator/core/notify_url.h"
#include "common/base/cleanup.h"
#include "common/base/files.h"
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

static CURLU *parse(const char *url)
{
    CURLU *u = strlen(url) < NOTIFY_URL_MAX ? curl_url() : NULL;
    char *scheme = NULL;
    bool good = u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
                curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                (strcmp(scheme, "https") == 0 || strcmp(scheme, "http") == 0);
    for (const char *p = url; *p; p++)
        good = good && *p > ' ' && *p < 0x7f;
    curl_free(scheme);
    if (good)
        return u;
    curl_url_cleanup(u);
    return NULL;
}

bool notify_url_fits(const char *url)
{
    CURLU *u = parse(url);
    bool good = u != NULL;
    curl_url_cleanup(u);
    return good;
}

bool notify_url_fail(const char *url, char out[NOTIFY_URL_MAX])
{
    CURLU *u = parse(url);
    char *path = NULL, *whole = NULL, longer[NOTIFY_URL_MAX + 8];
    bool good = u && curl_url_get(u, CURLUPART_PATH, &path, 0) == CURLUE_OK;
    if (good) {
        size_t n = strlen(path);
        (void)snprintf(longer, sizeof longer, "%.*s/fail", (int)(n > 0 && path[n - 1] == '/' ? n - 1 : n),
                       path);
        good = curl_url_set(u, CURLUPART_PATH, longer, 0) == CURLUE_OK &&
               curl_url_get(u, CURLUPART_URL, &whole, 0) == CURLUE_OK &&
               (size_t)snprintf(out, NOTIFY_URL_MAX, "%s", whole) < NOTIFY_URL_MAX;
    }
    curl_free(path);
    curl_free(whole);
    curl_url_cleanup(u);
    return good;
}

void notify_url_host(const char *url, char *out, size_t size)
{
    CURLU *u = parse(url);
    char *host = NULL;
    bool good = u && curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK;
    (void)snprintf(out, size, "%s", good ? host : "its host");
    curl_free(host);
    curl_url_cleanup(u);
}

bool notify_url_read(const char *path, char out[NOTIFY_URL_MAX])
{
    struct err ignored;
    *out = 0;
    cleanup_free char *text = files_get(path, NOTIFY_URL_MAX, &ignored);
    size_t n = text ? strcspn(text, "\r\n") : 0;
    if (text && strspn(text + n, "\r\n") == strlen(text + n)) {
        text[n] = 0;
        if (notify_url_fits(text))
            (void)snprintf(out, NOTIFY_URL_MAX, "%s", text);
    }
    if (text)
        explicit_bzero(text, strlen(text));
    return *out != 0;
}
