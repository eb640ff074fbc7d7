/* A pair of AWS keys, with the session token that a role's keys need. In arrays of fixed size, so that a copy
 * can be wiped. */
#ifndef AWS_KEYS_H
#define AWS_KEYS_H
#include <openssl/crypto.h>
#include <time.h>

struct aws_keys {
    char id[132], secret[260];
    char token[8192]; /* empty: none. AWS names no largest size; a role's have about 1,000 bytes */
    time_t expires;   /* 0: never */
};
static inline void keys_wipe(struct aws_keys *k) { OPENSSL_cleanse(k, sizeof *k); }
#define cleanup_keys __attribute__((cleanup(keys_wipe)))
#endif
