#include "replicator/qdrant.h"
#include <cjson/cJSON.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    REPLY_MAX = 16 << 20,
    /* /metrics of many collections */ CONNECT_SECONDS = 2,
    DELETE_SECONDS = 30,
    ASK_SECONDS = 5
};

struct reply {
    char *text; /* NUL-terminated, NULL when empty */
    size_t n;
};

static size_t take(char *data, size_t size, size_t n, void *arg)
{
    struct reply *r = arg;
    size_t more = size * n;
    if (more > REPLY_MAX - r->n)
        return 0; /* curl ends the transfer */
    char *grown = realloc(r->text, r->n + more + 1);
    if (!grown)
        return 0;
    memcpy(grown + r->n, data, more);
    r->text = grown;
    r->n += more;
    grown[r->n] = 0;
    return more;
}

static bool prepare(CURL *c, const struct settings *s, const char *method, const char *path, long seconds,
                    struct curl_slist **headers, struct reply *reply)
{
    char url[4096], header[1100];
    int n = snprintf(url, sizeof url, "%s%s", s->qdrant_url, path);
    if (n < 0 || (size_t)n >= sizeof url)
        return false;
    if (s->api_key[0]) {
        (void)snprintf(header, sizeof header, "api-key: %s", s->api_key);
        *headers = curl_slist_append(NULL, header);
        if (!*headers)
            return false;
    }
    return curl_easy_setopt(c, CURLOPT_URL, url) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_NOPROXY, "*") == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, method) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_HTTPHEADER, *headers) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_WRITEDATA, reply) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_TIMEOUT, seconds) == CURLE_OK;
}

/* The HTTP status, or 0 when there was no whole reply. The caller frees reply->text. */
static long request(const struct settings *s, const char *method, const char *path, long seconds,
                    struct reply *reply)
{
    long status = 0;
    struct curl_slist *headers = NULL;
    CURL *c = curl_easy_init();
    if (!c)
        return 0;
    if (!prepare(c, s, method, path, seconds, &headers, reply) || curl_easy_perform(c) != CURLE_OK ||
        curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status) != CURLE_OK)
        status = 0;
    curl_slist_free_all(headers);
    curl_easy_cleanup(c);
    return status;
}

static bool snapshot_path(const struct source *src, char *out, size_t size)
{
    char name[300];
    (void)snprintf(name, sizeof name, "%s.snapshot", src->stem);
    char *file = curl_easy_escape(NULL, name, 0), *col = curl_easy_escape(NULL, src->collection, 0);
    int n = -1;
    if (file && col) {
        if (src->kind == KIND_STORAGE)
            n = snprintf(out, size, "/snapshots/%s", file);
        else if (src->kind == KIND_SHARD)
            n = snprintf(out, size, "/collections/%s/shards/%s/snapshots/%s", col, src->shard, file);
        else
            n = snprintf(out, size, "/collections/%s/snapshots/%s", col, file);
    }
    curl_free(file);
    curl_free(col);
    return n > 0 && (size_t)n < size;
}

long qdrant_delete_snapshot(const struct settings *s, const struct source *src)
{
    char path[2048];
    struct reply reply = {0};
    /* Names of shard and storage snapshots have no peer id: behind a shared address another node may have one
     * of the same name that is not backed up yet. */
    if (s->qdrant_shared && src->kind != KIND_COLLECTION)
        return 0;
    long status =
        snapshot_path(src, path, sizeof path) ? request(s, "DELETE", path, DELETE_SECONDS, &reply) : 0;
    free(reply.text);
    return status;
}

bool qdrant_snapshot_running(const struct settings *s)
{
    static const char metric[] = "snapshot_creation_running{";
    struct reply reply = {0};
    bool running = false;
    if (request(s, "GET", "/metrics", ASK_SECONDS, &reply) == 200)
        for (char *save = NULL, *line = strtok_r(reply.text, "\n", &save); line && !running;
             line = strtok_r(NULL, "\n", &save)) {
            const char *value = strncmp(line, metric, sizeof metric - 1) == 0 ? strrchr(line, ' ') : NULL;
            running = value && strtod(value, NULL) > 0;
        }
    free(reply.text);
    return running;
}

/* GET `path` as JSON; NULL when there is none. `*reached` is set when anybody answered. */
static cJSON *get_json(const struct settings *s, const char *path, bool *reached)
{
    struct reply reply = {0};
    long status = request(s, "GET", path, ASK_SECONDS, &reply);
    *reached = status != 0;
    cJSON *o = status == 200 && reply.text ? cJSON_Parse(reply.text) : NULL;
    free(reply.text);
    return o;
}

bool qdrant_describe(const struct settings *s, struct manifest *m)
{
    bool reached;
    cJSON *o = get_json(s, "/", &reached);
    const char *version = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "version"));
    if (version)
        (void)snprintf(m->qdrant_version, sizeof m->qdrant_version, "%s", version);
    cJSON_Delete(o);
    if (!reached || m->source.kind == KIND_STORAGE)
        return reached;
    char path[1024], *col = curl_easy_escape(NULL, m->source.collection, 0);
    int n = col ? snprintf(path, sizeof path, "/collections/%s", col) : -1;
    curl_free(col);
    if (n < 0 || (size_t)n >= sizeof path)
        return true;
    o = get_json(s, path, &reached);
    const cJSON *points =
        cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(o, "result"), "points_count");
    if (cJSON_IsNumber(points) && points->valuedouble >= 0 && points->valuedouble < 9007199254740992.0)
        m->points = (int64_t)points->valuedouble;
    cJSON_Delete(o);
    return reached;
}
