#include "common/ca_bundle.h"
#include <curl/curl.h>
#include <stdlib.h>
#include <unistd.h>

static const char *const PLACES[] = {
    "/etc/ssl/certs/ca-certificates.crt",                /* Debian, Ubuntu, Arch, Alpine, Gentoo */
    "/etc/pki/tls/certs/ca-bundle.crt",                  /* Amazon Linux, Fedora, RHEL */
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", /* Fedora 43 and later, which dropped the one above
                                                          */
    "/etc/ssl/ca-bundle.pem",                            /* SUSE */
    "/etc/ssl/cert.pem",                                 /* Alpine without its package of authorities, BSD */
};

const char *ca_bundle_choose(const char *given, const char *built_in, bool (*is_there)(const char *path))
{
    if (given && given[0])
        return given;
    if (built_in && is_there(built_in))
        return NULL;
    for (size_t i = 0; i < sizeof PLACES / sizeof *PLACES; i++)
        if (is_there(PLACES[i]))
            return PLACES[i];
    return NULL;
}

static bool is_there(const char *path) { return access(path, R_OK) == 0; }

const char *ca_bundle(void)
{
    return ca_bundle_choose(getenv("SSL_CERT_FILE"), curl_version_info(CURLVERSION_NOW)->cainfo, is_there);
}
