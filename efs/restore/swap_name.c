#include "efs/restore/swap_name.h"
#include <stdio.h>
#include <string.h>

enum { TIME = 14 };

/* Bytes of `target` that have room. */
static size_t kept(const char *target)
{
    size_t n = strnlen(target, SWAP_NAME - TIME - 1);
    while (n > 0 && ((unsigned char)target[n] & 0xc0) == 0x80)
        n--; /* not in the middle of a character */
    return n;
}

void swap_name(const char *target, time_t now, char out[256])
{
    struct tm tm;
    char when[TIME + 10] = "";
    if (gmtime_r(&now, &tm))
        (void)strftime(when, sizeof when, "-%Y%m%d%H%M%S", &tm);
    (void)snprintf(out, 256, "%.*s%s", (int)kept(target), target, when);
}

bool swap_name_is(const char *name, const char *target)
{
    size_t n = kept(target);
    return strncmp(name, target, n) == 0 && name[n] == '-' && strlen(name + n + 1) == TIME &&
           strspn(name + n + 1, "0123456789") == TIME;
}
