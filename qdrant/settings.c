#include "qdrant/settings.h"
#include "aws/secret.h"
#include "common/base/listens.h"
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const struct config_row qdrant_rows[] = {
    {"QDRANT_URL", "Qdrant's REST address", "", "http://QDRANT_FQDN:6333, else where Qdrant listens", false},
    {"QDRANT_CONFIG_PATH", "Qdrant's configuration file, when it has --config-path", "", "the entrypoint's",
     false},
    {"QDRANT_FQDN", "Qdrant's host name, when QDRANT_URL is not set", "", NULL, false},
    {"QDRANT_CA_FILE", "PEM file of the authorities to trust for https", "", "the system's", false},
    {"AK_ARN", "API key: ARN of a Secrets Manager secret that holds it", "", NULL, false},
    {"AK_JSON_KEY", "member of a JSON secret that is the key", "", "the whole secret", false},
    {"QDRANT_API_KEY_FILE", "API key: a file that holds it, read again when it changes", "", NULL, false},
    {"QDRANT_API_KEY", "API key itself", "", "QDRANT__SERVICE__API_KEY", true},
};
const size_t qdrant_row_count = sizeof qdrant_rows / sizeof *qdrant_rows;

static const char *variable(const char *name) { return getenv(name); }

/* Whoever asks a server that listens on a wildcard asks its loopback; :: serves IPv4 too. */
static int from_qdrants(char *out, size_t size, struct err *e)
{
    static const char *const wildcard[] = {"0.0.0.0", "::", "[::]"};
    struct listens at;
    listens_read(&at, variable);
    if (!listens_port(at.port))
        return config_wrong(e, "QDRANT__SERVICE__HTTP_PORT", at.port,
                            "a number from 1 to 65535, as Qdrant does, or set QDRANT_URL");
    const char *host = at.host;
    for (size_t i = 0; i < sizeof wildcard / sizeof *wildcard; i++)
        if (strcmp(at.host, wildcard[i]) == 0)
            host = "127.0.0.1";
    if (strlen(host) > 253 || strpbrk(host, " \t\r\n/?#@"))
        return config_wrong(e, "QDRANT__SERVICE__HOST", host, "a host, as Qdrant does, or set QDRANT_URL");
    bool bare6 = strchr(host, ':') && host[0] != '[';
    (void)snprintf(out, size, "%s://%s%.253s%s:%u", at.tls ? "https" : "http", bare6 ? "[" : "", host,
                   bare6 ? "]" : "", listens_port(at.port));
    return 0;
}

bool qdrant_url_allowed(const char *url)
{
    return (strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0) &&
           !strpbrk(url, " \t\r\n?#@");
}

static int address(struct qdrant_settings *s, struct err *e)
{
    char from_fqdn[300], own[300];
    const char *fqdn = config_env("QDRANT_FQDN", "");
    if (strlen(fqdn) > 253)
        return config_wrong(e, "QDRANT_FQDN", fqdn, "a host name");
    (void)snprintf(from_fqdn, sizeof from_fqdn, "http://%.253s:6333", fqdn);
    const char *url = config_env("QDRANT_URL", *fqdn ? from_fqdn : "");
    if (!*url && from_qdrants(own, sizeof own, e) != 0)
        return -1;
    url = *url ? url : own;
    if (!qdrant_url_allowed(url))
        return config_wrong(e, "QDRANT_URL", strchr(url, '@') ? "(not shown)" : url,
                            "an http:// or https:// address without user, query or fragment");
    s->shared = url == from_fqdn;
    if (config_text(s->url, sizeof s->url, "QDRANT_URL", url, e) != 0)
        return -1;
    size_t n = strlen(s->url);
    if (s->url[n - 1] == '/')
        s->url[n - 1] = 0;
    return 0;
}

static int authorities(struct qdrant_settings *s, struct err *e)
{
    return config_path(s->ca_file, sizeof s->ca_file, "QDRANT_CA_FILE", config_env("QDRANT_CA_FILE", ""), e);
}

bool qdrant_url_at(const char *url, const char *uri, char *out, size_t size)
{
    char *host = NULL, *whole = NULL;
    CURLU *ours = curl_url(), *theirs = curl_url();
    bool good = ours && theirs && curl_url_set(ours, CURLUPART_URL, url, 0) == CURLUE_OK &&
                curl_url_set(theirs, CURLUPART_URL, uri, 0) == CURLUE_OK &&
                curl_url_get(theirs, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
                curl_url_set(ours, CURLUPART_HOST, host, 0) == CURLUE_OK &&
                curl_url_get(ours, CURLUPART_URL, &whole, 0) == CURLUE_OK &&
                (size_t)snprintf(out, size, "%s", whole) < size;
    curl_free(host);
    curl_free(whole);
    curl_url_cleanup(ours);
    curl_url_cleanup(theirs);
    for (size_t n = good ? strlen(out) : 0; n > 0 && out[n - 1] == '/'; n--)
        out[n - 1] = 0;
    return good;
}

bool qdrant_key_in_clear(const struct qdrant_settings *s)
{
    return strncmp(s->url, "http://", 7) == 0 && !listens_on_loopback(s->url) &&
           (s->key[0] || s->key_file[0] || s->secret_arn[0]);
}

int qdrant_ca_check(const struct qdrant_settings *s, struct err *e)
{
    struct stat st;
    if (s->ca_file[0] && (access(s->ca_file, R_OK) != 0 || stat(s->ca_file, &st) != 0 || st.st_size == 0))
        return config_wrong(e, "QDRANT_CA_FILE", s->ca_file, "a readable PEM file");
    return 0;
}

static int key_sources(struct qdrant_settings *s, struct err *e)
{
    const char *key = config_env("QDRANT_API_KEY", config_env("QDRANT__SERVICE__API_KEY", ""));
    const char *arn = config_env("AK_ARN", "");
    struct err ignored;
    if (strlen(key) >= sizeof s->key || strpbrk(key, "\r\n")) /* a newline would end the header */
        return config_wrong(e, "QDRANT_API_KEY", "(not shown)", "one line of less than 1 KiB");
    const char *read_only = config_env("QDRANT__SERVICE__READ_ONLY_API_KEY", "");
    if (*key && strcmp(key, read_only) == 0 && strcmp(key, config_env("QDRANT__SERVICE__API_KEY", "")) != 0)
        return config_wrong(e, "QDRANT_API_KEY", "(not shown)",
                            "Qdrant's api_key: this is its read_only_api_key, which makes no snapshots");
    if (*arn && secret_check_arn(arn, &ignored) != 0)
        return config_wrong(e, "AK_ARN", arn,
                            "the ARN of a secret, arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME");
    (void)snprintf(s->key, sizeof s->key, "%s", key);
    return config_text(s->secret_arn, sizeof s->secret_arn, "AK_ARN", arn, e) ||
                   config_text(s->secret_json_key, sizeof s->secret_json_key, "AK_JSON_KEY",
                               config_env("AK_JSON_KEY", ""), e) ||
                   config_text(s->key_file, sizeof s->key_file, "QDRANT_API_KEY_FILE",
                               config_env("QDRANT_API_KEY_FILE", ""), e)
               ? -1
               : 0;
}

int qdrant_settings_read(struct qdrant_settings *s, struct err *e)
{
    memset(s, 0, sizeof *s);
    return address(s, e) || authorities(s, e) || key_sources(s, e) ? -1 : 0;
}
