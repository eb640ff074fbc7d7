/* A list of strings of its own, which grows at its end. */
#ifndef COMMON_BASE_STRING_LIST_H
#define COMMON_BASE_STRING_LIST_H
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Appends a copy of `text`; *v is NULL and *n 0 at first. False without memory. */
static inline bool string_list_add(char ***v, size_t *n, const char *text)
{
    if ((*n & (*n - 1)) == 0) { /* full: room for twice as many */
        char **grown = realloc(*v, (*n ? *n * 2 : 1) * sizeof *grown);
        if (!grown)
            return false;
        *v = grown;
    }
    (*v)[*n] = strdup(text);
    return (*v)[*n] && ++*n;
}
static inline void string_list_free(char **v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(v[i]);
    free(v);
}
#endif
