#include "aws/digest.h"
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

bool digest_sha256(const void *data, size_t n, unsigned char out[DIGEST_SIZE])
{
    unsigned length = 0;
    return EVP_Digest(data, n, out, &length, EVP_sha256(), NULL) == 1 && length == DIGEST_SIZE;
}

void digest_hex(const unsigned char raw[DIGEST_SIZE], char out[DIGEST_HEX])
{
    for (size_t i = 0; i < DIGEST_SIZE; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", raw[i]);
}

void digest_base64(const unsigned char raw[DIGEST_SIZE], char out[DIGEST_BASE64])
{
    (void)EVP_EncodeBlock((unsigned char *)out, raw, DIGEST_SIZE); /* 44 characters and a NUL */
}

bool digest_is_hex(const char *text)
{
    return strlen(text) == DIGEST_HEX - 1 && strspn(text, "0123456789abcdef") == DIGEST_HEX - 1;
}
