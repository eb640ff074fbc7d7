#include "efs/restore/version.h"
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

enum qdrant_version_order qdrant_version_compare(const char *made_by, const char *here)
{
    unsigned long a[PARTS], b[PARTS];
    if (!parse(made_by, a) || !parse(here, b))
        return QDRANT_VERSION_UNKNOWN;
    if (a[MAJOR] != b[MAJOR] || a[MINOR] != b[MINOR])
        return a[MAJOR] > b[MAJOR] || (a[MAJOR] == b[MAJOR] && a[MINOR] > b[MINOR]) ? QDRANT_VERSION_NEWER
                                                                                    : QDRANT_VERSION_READS;
    return a[PATCH] > b[PATCH] ? QDRANT_VERSION_NEWER_PATCH : QDRANT_VERSION_READS;
}
