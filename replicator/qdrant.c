#include "replicator/qdrant.h"
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

static size_t ignore(char *data, size_t size, size_t n, void *arg)
{
    (void)data, (void)arg;
    return size * n;
}

static bool build_url(CURL *c, const struct settings *s, const struct source *src, char *url, size_t size)
{
    char name[300];
    (void)snprintf(name, sizeof name, "%s.snapshot", src->stem);
    char *file = curl_easy_escape(c, name, 0), *col = curl_easy_escape(c, src->collection, 0);
    int n = -1;
    if (file && col) {
        if (src->kind == KIND_STORAGE)
            n = snprintf(url, size, "%s/snapshots/%s", s->qdrant_url, file);
        else if (src->kind == KIND_SHARD)
            n = snprintf(url, size, "%s/collections/%s/shards/%s/snapshots/%s", s->qdrant_url, col, src->shard, file);
        else
            n = snprintf(url, size, "%s/collections/%s/snapshots/%s", s->qdrant_url, col, file);
    }
    curl_free(file);
    curl_free(col);
    return n > 0 && (size_t)n < size;
}

long qdrant_delete_snapshot(const struct settings *s, const struct source *src)
{
    char url[2048], header[1100];
    long status = 0;
    CURL *c = curl_easy_init();
    if (!c)
        return 0;
    struct curl_slist *headers = NULL;
    if (s->api_key[0]) {
        (void)snprintf(header, sizeof header, "api-key: %s", s->api_key);
        headers = curl_slist_append(NULL, header);
    }
    if (build_url(c, s, src, url, sizeof url) && curl_easy_setopt(c, CURLOPT_URL, url) == CURLE_OK &&
        curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, "DELETE") == CURLE_OK &&
        curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers) == CURLE_OK &&
        curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, ignore) == CURLE_OK &&
        curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
        curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, 5L) == CURLE_OK &&
        curl_easy_setopt(c, CURLOPT_TIMEOUT, 30L) == CURLE_OK &&
        curl_easy_setopt(c, CURLOPT_MAXFILESIZE, 1L << 20) == CURLE_OK && curl_easy_perform(c) == CURLE_OK &&
        curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status) != CURLE_OK)
        status = 0;
    curl_slist_free_all(headers);
    curl_easy_cleanup(c);
    return status;
}
