/* Ed25519 signatures of manifests: 64 raw bytes beside the manifest, in {stem}.json.sig. The manifest tells
 * size and SHA-256 of the data, so these are covered. A raw signature names no key: one by a key that is not
 * known looks like one of other bytes. */
#ifndef EFS_REPO_SIGNATURE_H
#define EFS_REPO_SIGNATURE_H
#include "common/base/err.h"
#include <stdbool.h>
#include <stddef.h>
#define SIGNATURE_SUFFIX ".sig" /* behind the manifest's name */
/* That of a manifest which is about to take another one's place: both cannot change at once, so that whoever
 * finds the first one wrong looks for this one. */
#define SIGNATURE_NEXT ".sig.next"
enum { SIGNATURE_SIZE = 64 };
enum signature_verdict {
    SIGNATURE_UNCHECKED, /* there are no keys to check it with */
    SIGNATURE_GOOD,
    SIGNATURE_MISSING,
    SIGNATURE_BAD, /* of other bytes, by another key, or no signature at all */
};
const char *signature_verdict_text(enum signature_verdict v); /* "unchecked", "good", "missing", "bad" */
struct signing_key;
struct verify_keys;
/* A PEM file as `openssl genpkey -algorithm ed25519` writes it. NULL with `e`. */
struct signing_key *signing_key_load(const char *path, struct err *e);
void signing_key_free(struct signing_key *k);
/* PEM files of public keys, separated by ':'; a folder is all its files that end in ".pem". NULL with `e`,
 * also when one is no Ed25519 key, or there is none. */
struct verify_keys *verify_keys_load(const char *list, struct err *e);
void verify_keys_free(struct verify_keys *k);
int signature_make(const struct signing_key *k, const void *data, size_t n, unsigned char out[SIGNATURE_SIZE],
                   struct err *e);
/* `signature` NULL: there is none. */
enum signature_verdict signature_check(const struct verify_keys *k, const void *data, size_t n,
                                       const void *signature, size_t size);
/* By the key itself. */
bool signature_is_by(const struct signing_key *k, const void *data, size_t n, const void *signature,
                     size_t size);
#endif
