#include "entrypoint/place.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A word that is an address. */
static bool take(char **rest, char out[300])
{
    char *word = strsep(rest, " ");
    bool good =
        word && (strncmp(word, "http://", 7) == 0 || strncmp(word, "https://", 8) == 0) && strlen(word) < 300;
    if (good)
        (void)snprintf(out, 300, "%s", word);
    return good;
}

static bool is_same(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    while (n > 0 && a[n - 1] == '/')
        n--;
    while (m > 0 && b[m - 1] == '/')
        m--;
    return n == m && strncasecmp(a, b, n) == 0;
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
           !is_same(out->uri, out->peer);
}

bool place_tell(const struct place *p)
{
    return setenv("QDRANT__CLUSTER__ENABLED", "true", 1) == 0 &&
           (!p->uri[0] || setenv("QDRANT_URI", p->uri, 1) == 0) &&
           (p->peer[0] ? setenv("QDRANT_BOOTSTRAP", p->peer, 1) : unsetenv("QDRANT_BOOTSTRAP")) == 0;
}
