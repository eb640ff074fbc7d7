#include "replicator/status/host_name.h"
#include <arpa/inet.h>
#include <fnmatch.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { NAME_MAX_BYTES = 253, BRACKETS = 2 }; /* RFC 1035 */

/* Without the port, and without the dot that may end a whole name. */
static bool split(const char *host, char out[NAME_MAX_BYTES + 1])
{
    const char *end = *host == '[' ? strchr(host, ']') : strchr(host, ':');
    if (*host == '[' && !end)
        return false;
    size_t n = !end ? strlen(host) : (size_t)(end - host) + (*host == '[');
    if (n == 0 || n > NAME_MAX_BYTES)
        return false;
    memcpy(out, host, n);
    n -= n > 1 && out[n - 1] == '.';
    out[n] = 0;
    return true;
}

static bool is_address(const char *name)
{
    struct in_addr v4;
    struct in6_addr v6;
    char inside[NAME_MAX_BYTES + 1];
    size_t n = strlen(name);
    if (*name != '[')
        return inet_pton(AF_INET, name, &v4) == 1;
    (void)snprintf(inside, sizeof inside, "%.*s", (int)(n - BRACKETS), name + 1);
    return inet_pton(AF_INET6, inside, &v6) == 1;
}

/* RFC 6761, RFC 6762, and ICANN's reservation of "internal" (2024), which AWS uses for its private names. */
static bool nobody_can_register(const char *name)
{
    static const char *const ends[] = {".internal", ".local", ".localhost"};
    size_t n = strlen(name);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (n > strlen(ends[i]) && strcasecmp(name + n - strlen(ends[i]), ends[i]) == 0)
            return true;
    return !strchr(name, '.') && *name != '[';
}

static bool is_one_of(const char *patterns, const char *name)
{
    char one[NAME_MAX_BYTES + 1];
    for (const char *p = patterns; p && *p; p += *p == ',') {
        p += strspn(p, " ");
        size_t n = strcspn(p, ", ");
        if (n > 0 && n <= NAME_MAX_BYTES) {
            (void)snprintf(one, sizeof one, "%.*s", (int)n, p);
            if (fnmatch(one, name, FNM_CASEFOLD) == 0)
                return true;
        }
        p += strcspn(p, ",");
    }
    return false;
}

bool host_name_is_ours(const struct host_names *names, const char *host)
{
    const char *const always[] = {"localhost", "127.0.0.1", "[::1]", names->bound};
    char name[NAME_MAX_BYTES + 1];
    if (!split(host, name))
        return false;
    for (size_t i = 0; i < sizeof always / sizeof *always; i++)
        if (strcasecmp(always[i], name) == 0)
            return true;
    if (is_one_of(names->more, name))
        return true;
    return !names->loopback && (is_address(name) || nobody_can_register(name) ||
                                (names->node && strcasecmp(names->node, name) == 0));
}
