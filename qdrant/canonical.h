/* The digest of JSON values in one form, whatever the order of members and the spelling of numbers; see
 * fingerprint.h. */
#ifndef QDRANT_CANONICAL_H
#define QDRANT_CANONICAL_H
#include <stdbool.h>
#include <stdint.h>
struct cJSON;
struct canonical;
struct canonical *canonical_new(void); /* NULL without memory */
void canonical_free(struct canonical *c);
static inline void canonical_freep(struct canonical **c) { canonical_free(*c); }
#define cleanup_canonical __attribute__((cleanup(canonical_freep)))
/* False without memory. */
bool canonical_add(struct canonical *c, const struct cJSON *value);
/* Bytes that went in. */
uint64_t canonical_size(const struct canonical *c);
/* In hex. Once, at the end. */
bool canonical_end(struct canonical *c, char out[65]);
#endif
