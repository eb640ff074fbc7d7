/* SHA-256 of something in memory, and the two spellings that AWS wants it in. */
#ifndef AWS_DIGEST_H
#define AWS_DIGEST_H
#include <stdbool.h>
#include <stddef.h>

enum { DIGEST_SIZE = 32, DIGEST_HEX = 65, DIGEST_BASE64 = 45 };
bool digest_sha256(const void *data, size_t n, unsigned char out[DIGEST_SIZE]); /* false without memory */
void digest_hex(const unsigned char raw[DIGEST_SIZE], char out[DIGEST_HEX]);
void digest_base64(const unsigned char raw[DIGEST_SIZE], char out[DIGEST_BASE64]);
bool digest_is_hex(const char *text); /* 64 lower case digits? */
#endif
