/* The addresses by which the peers of a Qdrant cluster know each other: http://HOST:PORT. C library alone,
 * since PID 1 looks at them too. */
#ifndef COMMON_BASE_PEER_URI_H
#define COMMON_BASE_PEER_URI_H
#include <stdbool.h>
#include <string.h>
#include <strings.h>

/* A word that may be handed on as one: http:// or https://, and no blank in it. */
static inline bool peer_uri_is(const char *text)
{
    return (strncmp(text, "http://", 7) == 0 || strncmp(text, "https://", 8) == 0) &&
           !strpbrk(text, " \t\r\n");
}
/* The same address? Qdrant gives it a slash at its end. */
static inline bool peer_uri_same(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    while (n > 0 && a[n - 1] == '/')
        n--;
    while (m > 0 && b[m - 1] == '/')
        m--;
    return n == m && strncasecmp(a, b, n) == 0;
}
#endif
