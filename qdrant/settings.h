/* Where Qdrant answers and how to prove who we are, from the environment. */
#ifndef QDRANT_SETTINGS_H
#define QDRANT_SETTINGS_H
#include "common/config.h"
#include <limits.h>
enum { API_KEY_MAX = 1024 };
struct qdrant_settings {
    char url[512]; /* QDRANT_URL, else http://QDRANT_FQDN:6333, else where Qdrant's own variables have it
                      listen on this machine; without a trailing slash */
    bool shared;   /* the address is QDRANT_FQDN's: other nodes may answer there too */
    char ca_file[PATH_MAX];
    char secret_arn[2048], secret_json_key[256]; /* AK_ARN, AK_JSON_KEY */
    char key_file[PATH_MAX];                     /* QDRANT_API_KEY_FILE */
    char key[API_KEY_MAX];                       /* from the environment; the last resort */
};
extern const struct config_row qdrant_rows[];
extern const size_t qdrant_row_count;
/* Is it http:// or https://, without user, query or fragment? */
bool qdrant_url_allowed(const char *url);
/* The address `url`, at the host of the address `uri`: where a node's peer has its REST API. False: one of
 * them is no address, or it does not fit. */
bool qdrant_url_at(const char *url, const char *uri, char *out, size_t size);
int qdrant_settings_read(struct qdrant_settings *s, struct err *e);
/* Does the key go over a network as it is: is the address http://, and not of this machine? */
bool qdrant_key_in_clear(const struct qdrant_settings *s);
/* Is QDRANT_CA_FILE, if it is set, a file with something in it? One that is not would show at the first
 * request only, as one of many errors. It may be there a moment later: whoever runs on can ask again. */
int qdrant_ca_check(const struct qdrant_settings *s, struct err *e);
#endif
