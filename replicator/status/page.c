#include "replicator/status/page.h"
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

/* The assembler takes the file in as it is; the path is from the root of the tree, where the build runs. */
__asm__(".pushsection .rodata\n"
        ".global page_html_begin\n"
        "page_html_begin: .incbin \"replicator/status/page.html\"\n"
        ".byte 0\n"
        ".popsection\n");
extern const char page_html_begin[];

const char *page_html(size_t *size)
{
    *size = strlen(page_html_begin);
    return page_html_begin;
}

/* "sha256-..." of what stands between the two tags. */
static bool hash_of(const char *open, const char *close, char out[64])
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    const char *from = strstr(page_html_begin, open), *to = from ? strstr(from, close) : NULL;
    if (!to)
        return false;
    from += strlen(open);
    if (EVP_Digest(from, (size_t)(to - from), hash, &n, EVP_sha256(), NULL) != 1)
        return false;
    (void)strcpy(out, "sha256-");
    return EVP_EncodeBlock((unsigned char *)out + strlen(out), hash, (int)n) == 44;
}

bool page_policy(char *out, size_t size)
{
    char script[64], style[64];
    if (!hash_of("<script>", "</script>", script) || !hash_of("<style>", "</style>", style))
        return false;
    int n =
        snprintf(out, size,
                 "default-src 'none'; script-src '%s'; style-src '%s'; img-src data:; connect-src 'self'; "
                 "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
                 script, style);
    return n > 0 && (size_t)n < size;
}
