#include "efs/data/hasher.h"
#include "common/base/thread.h"
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

enum { LARGE = 256 << 10 }; /* a piece that is worth waking a thread for */

struct hasher {
    EVP_MD_CTX *ctx; /* the thread's while `data` is not NULL */
    pthread_t thread;
    bool threaded, alone;  /* alone: no thread could be had */
    pthread_mutex_t mutex; /* for all below */
    pthread_cond_t changed;
    const void *data; /* NULL: nothing is to be hashed */
    size_t n;
    bool end, good;
};

struct hasher *hasher_new(void)
{
    struct hasher *d = calloc(1, sizeof *d);
    if (!d || !(d->ctx = EVP_MD_CTX_new()) || EVP_DigestInit_ex(d->ctx, EVP_sha256(), NULL) != 1) {
        if (d)
            EVP_MD_CTX_free(d->ctx);
        return free(d), NULL;
    }
    d->good = true;
    d->mutex = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    d->changed = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    return d;
}

static void *run(void *arg)
{
    struct hasher *d = arg;
    (void)pthread_mutex_lock(&d->mutex);
    for (;;) {
        while (!d->data && !d->end)
            (void)pthread_cond_wait(&d->changed, &d->mutex);
        if (!d->data)
            break;
        (void)pthread_mutex_unlock(&d->mutex);
        bool good = EVP_DigestUpdate(d->ctx, d->data, d->n) == 1; /* nobody changes them meanwhile */
        (void)pthread_mutex_lock(&d->mutex);
        d->good = d->good && good;
        d->data = NULL;
        (void)pthread_cond_broadcast(&d->changed);
    }
    (void)pthread_mutex_unlock(&d->mutex);
    return NULL;
}

bool hasher_wait(struct hasher *d)
{
    if (!d->threaded)
        return d->good;
    (void)pthread_mutex_lock(&d->mutex);
    while (d->data)
        (void)pthread_cond_wait(&d->changed, &d->mutex);
    bool good = d->good;
    (void)pthread_mutex_unlock(&d->mutex);
    return good;
}

static void hand_over(struct hasher *d, const void *data, size_t n)
{
    (void)pthread_mutex_lock(&d->mutex);
    d->data = data;
    d->n = n;
    (void)pthread_cond_broadcast(&d->changed);
    (void)pthread_mutex_unlock(&d->mutex);
}

bool hasher_add(struct hasher *d, const void *data, size_t n)
{
    bool good = hasher_wait(d);
    if (n >= LARGE && !d->threaded && !d->alone) {
        d->threaded = thread_start(&d->thread, "hash", run, d) == 0;
        d->alone = !d->threaded;
    }
    if (n >= LARGE && d->threaded)
        hand_over(d, data, n);
    else /* the thread waits */
        d->good = good = good && (n == 0 || EVP_DigestUpdate(d->ctx, data, n) == 1);
    return good;
}

bool hasher_raw(struct hasher *d, unsigned char out[32])
{
    unsigned n = 0;
    return hasher_wait(d) && EVP_DigestFinal_ex(d->ctx, out, &n) == 1 && n == 32;
}

bool hasher_hex(struct hasher *d, char hex[65])
{
    unsigned char raw[32];
    if (!hasher_raw(d, raw))
        return false;
    for (unsigned i = 0; i < sizeof raw; i++)
        (void)snprintf(hex + (size_t)i * 2, 3, "%02x", raw[i]);
    return true;
}

void hasher_free(struct hasher *d)
{
    if (!d)
        return;
    if (d->threaded) {
        (void)pthread_mutex_lock(&d->mutex);
        d->end = true;
        (void)pthread_cond_broadcast(&d->changed);
        (void)pthread_mutex_unlock(&d->mutex);
        (void)pthread_join(d->thread, NULL); /* it ends with the piece that it has */
    }
    (void)pthread_cond_destroy(&d->changed);
    (void)pthread_mutex_destroy(&d->mutex);
    EVP_MD_CTX_free(d->ctx);
    free(d);
}

bool hasher_of(const void *data, size_t n, char hex[65])
{
    struct hasher *h = hasher_new();
    bool hashed = h && hasher_add(h, data, n) && hasher_hex(h, hex);
    hasher_free(h);
    return hashed;
}
