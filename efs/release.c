#include "efs/release.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

enum { MAJOR, MINOR, PATCH, PARTS };

static bool parse(const char *text, unsigned long v[PARTS])
{
    const char *p = text;
    for (size_t i = 0; i < PARTS; i++) {
        char *end = NULL;
        if (*p < '0' || *p > '9')
            return false;
        v[i] = strtoul(p, &end, 10);
        if (i < PATCH && *end != '.')
            return false;
        p = end + (i < PATCH);
    }
    return true;
}

enum release_order release_compare(const char *made_by, const char *here)
{
    unsigned long a[PARTS], b[PARTS];
    if (!parse(made_by, a) || !parse(here, b))
        return RELEASE_UNKNOWN;
    if (a[MAJOR] != b[MAJOR] || a[MINOR] != b[MINOR])
        return a[MAJOR] > b[MAJOR] || (a[MAJOR] == b[MAJOR] && a[MINOR] > b[MINOR]) ? RELEASE_NEWER
                                                                                    : RELEASE_READS;
    return a[PATCH] > b[PATCH] ? RELEASE_NEWER_PATCH : RELEASE_READS;
}
