/* The API key: of AK_ARN (AWS Secrets Manager), else of a file, else of the environment. A secret is fetched
 * when it is first needed, and again when Qdrant refuses it; a file is read again when it changes: a rotated
 * key works without a restart. Thread-safe. Never logged; wiped when freed. */
#ifndef QDRANT_KEY_H
#define QDRANT_KEY_H
#include "qdrant/settings.h"
#include <stdatomic.h>
struct key;
/* Is QDRANT_API_KEY_FILE, if it is what counts, a file with a key? For a start, where a typing error is best
 * told. */
int key_file_check(const struct qdrant_settings *s, struct err *e);
/* NULL without memory. `stop`: set, gives up a fetch. */
struct key *key_new(const struct qdrant_settings *s, const atomic_bool *stop);
void key_free(struct key *k);
/* The key to send now, empty when none is set up. -1 when it cannot be had: `e` says why. After a failed
 * fetch the same error is given for a while without asking again. */
int key_get(struct key *k, char out[API_KEY_MAX], struct err *e);
/* Qdrant refused `used`. True when there is another one by now, so that asking again makes sense. */
bool key_refused(struct key *k, const char *used);
#endif
