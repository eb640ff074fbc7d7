/* SHA-256 of bytes that come in pieces. Large ones are hashed in a thread of its own, so that hashing goes on
 * while the caller reads, unpacks or writes: of a copy it is what takes longest. One caller at a time. */
#ifndef EFS_DATA_HASHER_H
#define EFS_DATA_HASHER_H
#include <stdbool.h>
#include <stddef.h>

struct hasher;
struct hasher *hasher_new(void); /* NULL without memory */
void hasher_free(struct hasher *d);

/* The bytes must stay as they are until the next call of any function here. False: libcrypto refused these,
 * or those before. */
bool hasher_add(struct hasher *d, const void *data, size_t n);
/* From here on those bytes may change. */
bool hasher_wait(struct hasher *d);
/* Once, at the end: the hash as bytes, or as hex digits. */
bool hasher_raw(struct hasher *d, unsigned char out[32]);
bool hasher_hex(struct hasher *d, char hex[65]);
/* Of what is all there already. False without memory. */
bool hasher_of(const void *data, size_t n, char hex[65]);
#endif
