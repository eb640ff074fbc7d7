/* Recipes and frames as somebody forged them: whatever the text says, no byte outside its file or its base is
 * taken, and reading comes to an end. */
#include "efs/data/layers.h"
#include "efs/data/delta.h"
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int file_of(const void *data, size_t n)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, n) != (ssize_t)n)
        abort();
    return fd;
}

/* A base of three pieces, once. */
static int base_file(struct recipe_place *place)
{
    static struct recipe_place kept;
    static int fd = -1;
    if (fd < 0) {
        static char data[(2 << 20) + 100];
        struct copy_result r;
        struct copy_options o = {.level = 1};
        struct err e = {0};
        for (size_t i = 0; i < sizeof data; i++)
            data[i] = (char)(i * i >> 7);
        fd = file_of("", 0);
        if (delta_store(file_of(data, sizeof data), "in", fd, "base", NULL, UINT64_MAX, &o, &r, &kept, &e) !=
            DELTA_STORED)
            abort();
    }
    *place = kept;
    return dup(fd);
}

static void hash(const uint8_t *data, size_t n, char hex[65])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char raw[SHA256_DIGEST_LENGTH];
    (void)SHA256(data, n, raw);
    for (size_t i = 0; i < sizeof raw; i++) {
        hex[2 * i] = digits[raw[i] >> 4];
        hex[2 * i + 1] = digits[raw[i] & 15];
    }
    hex[64] = 0;
}

/* The input: frames, then the recipe behind its last byte of 0xff. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char out[PIECE_MAX];
    struct recipe_place base, place = {0};
    struct err e = {0};
    struct layers *l = layers_new();
    const uint8_t *mark = size > 0 ? memrchr(data, 0xff, size) : NULL;
    size_t at = mark ? (size_t)(mark - data) + 1 : 0;
    if (!l)
        abort();
    int fd = base_file(&base);
    if (layers_add(l, fd, "base", &base, &e) != 0)
        abort();
    place.at = at;
    place.size = size - at;
    hash(data + at, size - at, place.sha256);
    if (layers_add(l, file_of(data, size), "delta", &place, &e) == 0) {
        uint64_t total = layers_pieces(l)->size, read = 0;
        ssize_t n = 0;
        /* The same bytes may be named again and again: the first 16 MiB will do. */
        while (read < (16 << 20) && (n = layers_read(l, out, sizeof out, &e)) > 0)
            read += (uint64_t)n;
        if (n == 0 && read != total)
            abort();
        if (n < 0 && !e.text[0])
            abort();
    } else if (!e.text[0]) {
        abort();
    }
    layers_free(l);
    return 0;
}
