/* Text that came from outside: file names and replies may hold any bytes. */
#ifndef COMMON_BASE_TEXT_H
#define COMMON_BASE_TEXT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
/* Length in bytes of the UTF-8 character at `s`, 0 when there is none or it is not well formed. */
size_t text_char(const char *s);
bool text_is_utf8(const char *s);
/* How long it is without that tail; 0 where it does not end so, or is nothing else. */
size_t text_stem(const char *s, const char *tail);
static inline bool text_ends(const char *s, const char *tail) { return text_stem(s, tail) > 0; }
/* Replace in place each byte that is not UTF-8 by '?': JSON may hold nothing else. */
void text_make_utf8(char *s);
/* Copy for a terminal: no control characters, no bytes that are not UTF-8; what turns a text's direction or
 * has no width is shown by its number, as the status page shows it. Cuts at `size`; returns `out`. */
const char *text_printable(const char *s, char *out, size_t size);
/* The same JSON with those characters as \uXXXX, for who reads it with bare eyes. From malloc; NULL without
 * memory. */
char *text_json(const char *json);
/* As one word of a shell's command: in single quotes. Returns `out`; cut where it does not fit, and closed
 * all the same (3 bytes at least). */
const char *text_shell(const char *s, char *out, size_t size);
/* Bytes for people: "14.2 GiB". Returns `out`. */
const char *text_bytes(uint64_t n, char out[16]);
/* Columns that printable text takes on a terminal. */
size_t text_width(const char *s);
#endif
