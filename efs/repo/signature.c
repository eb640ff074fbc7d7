#include "efs/repo/signature.h"
#include "common/base/cleanup.h"
#include "common/base/files.h"
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { KEY_FILE_MAX = 16384, KEYS_MAX = 64 };

struct signing_key {
    EVP_PKEY *key;
};
struct verify_keys {
    EVP_PKEY *v[KEYS_MAX];
    size_t n;
};

static const char PUBLIC_USE[] =
    "use public keys as `openssl pkey -in KEY.pem -pubout` writes them, of Ed25519";

const char *signature_verdict_text(enum signature_verdict v)
{
    static const char *const text[] = {"unchecked", "good", "missing", "bad"};
    return text[v];
}

/* Else OpenSSL would ask for it on the terminal. */
static int no_password(char *out, int size, int writing, void *arg)
{
    (void)out;
    (void)size;
    (void)writing;
    (void)arg;
    return -1;
}

static EVP_PKEY *read_key(const char *path, bool private_key, const char *use, struct err *e)
{
    size_t n = 0;
    char *text = files_get_sized(path, KEY_FILE_MAX, &n, e);
    BIO *bio = text ? BIO_new_mem_buf(text, (int)n) : NULL;
    EVP_PKEY *key = NULL;
    if (bio)
        key = private_key ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL)
                          : PEM_read_bio_PUBKEY(bio, NULL, no_password, NULL);
    (void)BIO_free(bio);
    if (text)
        explicit_bzero(text, n);
    free(text);
    ERR_clear_error();
    if (text && (!key || EVP_PKEY_get_base_id(key) != EVP_PKEY_ED25519)) {
        EVP_PKEY_free(key);
        key = NULL;
        (void)err_set(e, 0, "no usable key in", path, use);
    }
    return key;
}

struct signing_key *signing_key_load(const char *path, struct err *e)
{
    struct signing_key *k = calloc(1, sizeof *k);
    if (!k)
        return (void)err_set(e, ENOMEM, "cannot read", path, NULL), NULL;
    k->key = read_key(path, true,
                      "use a private key as `openssl genpkey -algorithm ed25519` writes it, without a "
                      "password",
                      e);
    if (k->key)
        return k;
    signing_key_free(k);
    return NULL;
}

void signing_key_free(struct signing_key *k)
{
    if (k)
        EVP_PKEY_free(k->key);
    free(k);
}

static int add_file(struct verify_keys *k, const char *path, struct err *e)
{
    if (k->n == KEYS_MAX)
        return err_set(e, E2BIG, "too many keys:", path, "64 are allowed");
    k->v[k->n] = read_key(path, false, PUBLIC_USE, e);
    if (!k->v[k->n])
        return -1;
    k->n++;
    return 0;
}

static int add_folder(struct verify_keys *k, const char *dir, struct err *e)
{
    cleanup_dir DIR *d = opendir(dir);
    if (!d)
        return err_set(e, errno, "cannot list", dir, NULL);
    for (;;) {
        char path[PATH_MAX];
        errno = 0;
        struct dirent *de = readdir(d);
        if (!de)
            return errno ? err_set(e, errno, "cannot list", dir, NULL) : 0;
        size_t n = strlen(de->d_name);
        if (de->d_name[0] == '.' || n < 4 || strcmp(de->d_name + n - 4, ".pem") != 0)
            continue;
        if (files_join(path, sizeof path, dir, de->d_name, e) != 0 || add_file(k, path, e) != 0)
            return -1;
    }
}

static int add_all(struct verify_keys *k, const char *list, struct err *e)
{
    while (*list) {
        char path[PATH_MAX];
        struct stat st;
        size_t n = strcspn(list, ":");
        if (n >= sizeof path)
            return err_set(e, ENAMETOOLONG, "cannot read", list, NULL);
        (void)snprintf(path, sizeof path, "%.*s", (int)n, list);
        list += n + (list[n] != 0);
        if (n == 0)
            continue;
        bool folder = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
        if ((folder ? add_folder : add_file)(k, path, e) != 0)
            return -1;
    }
    return k->n > 0 ? 0
                    : err_set(e, 0, "no key is there, neither a file nor a folder of .pem files", NULL,
                              PUBLIC_USE);
}

struct verify_keys *verify_keys_load(const char *list, struct err *e)
{
    struct verify_keys *k = calloc(1, sizeof *k);
    if (!k)
        return (void)err_set(e, ENOMEM, "cannot read", list, NULL), NULL;
    if (add_all(k, list, e) == 0)
        return k;
    verify_keys_free(k);
    return NULL;
}

void verify_keys_free(struct verify_keys *k)
{
    for (size_t i = 0; k && i < k->n; i++)
        EVP_PKEY_free(k->v[i]);
    free(k);
}

int signature_make(const struct signing_key *k, const void *data, size_t n, unsigned char out[SIGNATURE_SIZE],
                   struct err *e)
{
    size_t size = SIGNATURE_SIZE;
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    bool ok = c && EVP_DigestSignInit(c, NULL, NULL, NULL, k->key) == 1 &&
              EVP_DigestSign(c, out, &size, data, n) == 1 && size == SIGNATURE_SIZE;
    EVP_MD_CTX_free(c);
    ERR_clear_error();
    return ok ? 0 : err_set(e, 0, "cannot sign", NULL, NULL);
}

static bool fits(EVP_PKEY *key, const void *data, size_t n, const void *signature)
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    bool ok = c && EVP_DigestVerifyInit(c, NULL, NULL, NULL, key) == 1 &&
              EVP_DigestVerify(c, signature, SIGNATURE_SIZE, data, n) == 1;
    EVP_MD_CTX_free(c);
    ERR_clear_error();
    return ok;
}

enum signature_verdict signature_check(const struct verify_keys *k, const void *data, size_t n,
                                       const void *signature, size_t size)
{
    if (!k)
        return SIGNATURE_UNCHECKED;
    if (!signature)
        return SIGNATURE_MISSING;
    for (size_t i = 0; size == SIGNATURE_SIZE && i < k->n; i++)
        if (fits(k->v[i], data, n, signature))
            return SIGNATURE_GOOD;
    return SIGNATURE_BAD;
}

bool signature_is_by(const struct signing_key *k, const void *data, size_t n, const void *signature,
                     size_t size)
{
    return size == SIGNATURE_SIZE && fits(k->key, data, n, signature);
}
