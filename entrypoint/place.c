#include "entrypoint/place.h"
#include "common/base/peer_uri.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A word that is an address. */
static bool take(char **rest, char out[300])
{
    char *word = strsep(rest, " ");
    bool good = word && peer_uri_is(word) && strlen(word) < 300;
    if (good)
        (void)snprintf(out, 300, "%s", word);
    return good;
}

bool place_parse(const char *line, struct place *out)
{
    char text[PLACE_LINE], *rest = text;
    *out = (struct place){0};
    if ((size_t)snprintf(text, sizeof text, "%s", line) >= sizeof text)
        return false;
    const char *verb = strsep(&rest, " ");
    if (strcmp(verb, "run") == 0)
        return !rest || (take(&rest, out->uri) && !rest);
    if (strcmp(verb, "found") == 0)
        return take(&rest, out->uri) && !rest;
    /* Qdrant takes one that joins its own address for the first node of a cluster (resolve_bootstrap_uri). */
    return strcmp(verb, "join") == 0 && take(&rest, out->uri) && take(&rest, out->peer) && !rest &&
           !peer_uri_same(out->uri, out->peer);
}

bool place_tell(const struct place *p)
{
    return setenv("QDRANT__CLUSTER__ENABLED", "true", 1) == 0 &&
           (!p->uri[0] || setenv("QDRANT_URI", p->uri, 1) == 0) &&
           (p->peer[0] ? setenv("QDRANT_BOOTSTRAP", p->peer, 1) : unsetenv("QDRANT_BOOTSTRAP")) == 0;
}
