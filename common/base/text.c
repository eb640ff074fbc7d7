#include "common/base/text.h"
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

const char *text_printable(const char *s, char *out, size_t size)
{
    size_t at = 0;
    while (*s) {
        size_t n = text_char(s);
        wchar_t c = n ? code_of(s, n) : 0;
        bool bad = n == 0 || c < 0x20 || (c >= 0x7f && c < 0xa0);
        if (at + (bad ? 1 : n) >= size)
            break;
        if (bad)
            out[at++] = '?';
        else {
            memcpy(out + at, s, n);
            at += n;
        }
        s += n ? n : 1;
    }
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
