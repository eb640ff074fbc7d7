#include "common/base/listens.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool listens_true(const char *value)
{
    static const char *const words[] = {"1", "true", "on", "yes"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasecmp(value, words[i]) == 0)
            return true;
    return false;
}

unsigned listens_port(const char *text)
{
    char *end = NULL;
    long n = strtol(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && n >= 1 && n <= 65535 ? (unsigned)n : 0;
}

bool listens_split(const char *text, char *host, size_t size, const char **port)
{
    const char *colon = strrchr(text, ':');
    size_t n = colon ? (size_t)(colon - text) : 0;
    bool brackets = n > 2 && text[0] == '[' && text[n - 1] == ']';
    if (!colon || n >= size)
        return false;
    *port = colon + 1;
    (void)snprintf(host, size, "%.*s", (int)(n - 2 * brackets), text + brackets);
    if (n == 0 || strcasecmp(host, "localhost") == 0)
        (void)snprintf(host, size, "127.0.0.1");
    /* A colon without brackets: nobody can tell an IPv6 address from its port. */
    return brackets == (strchr(host, ':') != NULL);
}

static const char *value(listens_lookup *get, const char *name, const char *standard)
{
    const char *v = get(name);
    return v && *v ? v : standard;
}

void listens_read(struct listens *l, listens_lookup *get)
{
    *l = (struct listens){.host = value(get, "QDRANT__SERVICE__HOST", "0.0.0.0"),
                          .port = value(get, "QDRANT__SERVICE__HTTP_PORT", "6333"),
                          .tls = listens_true(value(get, "QDRANT__SERVICE__ENABLE_TLS", "false"))};
}

bool listens_on_loopback(const char *url)
{
    const char *host = strstr(url, "://") ? strstr(url, "://") + 3 : url;
    size_t n = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/");
    if ((n == 9 && strncasecmp(host, "localhost", n) == 0) || (n == 5 && strncmp(host, "[::1]", n) == 0))
        return true;
    /* 127.0.0.0/8 as numbers: "127.example.org" is a name. */
    return n >= 9 && strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == n;
}
