#include "common/base/text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

size_t text_char(const char *s)
{
    const unsigned char *p = (const unsigned char *)s;
    size_t n = *p == 0                   ? 0
               : *p < 0x80               ? 1
               : *p >= 0xc2 && *p < 0xe0 ? 2
               : *p >= 0xe0 && *p < 0xf0 ? 3
               : *p >= 0xf0 && *p < 0xf5 ? 4
                                         : 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    /* Overlong forms, surrogates, beyond U+10FFFF. */
    if ((*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] >= 0xa0) || (*p == 0xf0 && p[1] < 0x90) ||
        (*p == 0xf4 && p[1] >= 0x90))
        return 0;
    return n;
}

size_t text_stem(const char *s, const char *tail)
{
    size_t n = strlen(s), m = strlen(tail);
    return n > m && strcmp(s + n - m, tail) == 0 ? n - m : 0;
}

bool text_is_utf8(const char *s)
{
    size_t n;
    while (*s && (n = text_char(s)) > 0)
        s += n;
    return !*s;
}

void text_make_utf8(char *s)
{
    while (*s) {
        size_t n = text_char(s);
        if (n == 0)
            *s = '?';
        s += n ? n : 1;
    }
}

static wchar_t code_of(const char *s, size_t n)
{
    const unsigned char *p = (const unsigned char *)s;
    unsigned c = n == 1 ? *p : *p & (0xffU >> (n + 1));
    for (size_t i = 1; i < n; i++)
        c = c << 6 | (p[i] & 0x3fU);
    return (wchar_t)c;
}

/* What is seen of a text is not what it says: marks that turn its direction, have no width, or end a line.
 * The status page has the same list. */
static bool misleads(wchar_t c)
{
    return (c >= 0x200b && c <= 0x200f && c != 0x200c && c != 0x200d) || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2060 && c <= 0x2069) || c == 0xfeff;
}

const char *text_printable(const char *s, char *out, size_t size)
{
    size_t at = 0;
    while (*s) {
        char seen[16];
        size_t n = text_char(s), more = n;
        wchar_t c = n ? code_of(s, n) : 0;
        const char *from = s;
        if (n == 0 || c < 0x20 || (c >= 0x7f && c < 0xa0)) {
            from = "?";
            more = 1;
        } else if (misleads(c)) {
            more = (size_t)snprintf(seen, sizeof seen, "\xe2\x80\xb9U+%04X\xe2\x80\xba", (unsigned)c);
            from = seen;
        }
        if (at + more >= size)
            break;
        memcpy(out + at, from, more);
        at += more;
        s += n ? n : 1;
    }
    out[at] = 0;
    return out;
}

char *text_json(const char *json)
{
    size_t at = 0, size = 2 * strlen(json) + 1; /* a character of three bytes becomes six */
    char *out = malloc(size);
    while (out && *json) {
        size_t n = text_char(json);
        wchar_t c = n ? code_of(json, n) : 0;
        if (n && misleads(c)) {
            at += (size_t)snprintf(out + at, size - at, "\\u%04x", (unsigned)c);
        } else {
            memcpy(out + at, json, n ? n : 1);
            at += n ? n : 1;
        }
        json += n ? n : 1;
    }
    if (out)
        out[at] = 0;
    return out;
}

size_t text_width(const char *s)
{
    size_t width = 0;
    while (*s) {
        size_t n = text_char(s);
        int w = n ? wcwidth(code_of(s, n)) : 1; /* -1 without a locale that knows it */
        width += w < 0 ? 1 : (size_t)w;
        s += n ? n : 1;
    }
    return width;
}

const char *text_shell(const char *s, char *out, size_t size)
{
    size_t n = 0;
    out[n++] = '\'';
    for (; *s; s++) {
        bool quote = *s == '\'';
        if (n + (quote ? 4 : 1) + 2 > size)
            break;
        if (quote)
            memcpy(out + n, "'\\''", 4);
        else
            out[n] = *s;
        n += quote ? 4 : 1;
    }
    out[n++] = '\'';
    out[n] = 0;
    return out;
}

const char *text_bytes(uint64_t n, char out[16])
{
    static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double v = (double)n;
    int u = 0;
    while (v >= 1024 && u < 4) {
        v /= 1024;
        u++;
    }
    (void)snprintf(out, 16, u ? "%.1f %s" : "%.0f %s", v, unit[u]);
    return out;
}
