/* The name of the collection that `restore --swap` makes beside another one. Pure. */
#ifndef EFS_RESTORE_SWAP_NAME_H
#define EFS_RESTORE_SWAP_NAME_H
#include <stdbool.h>
#include <time.h>
/* "docs-20261124080000" for "docs": not longer than SWAP_NAME bytes, so that Qdrant can snapshot it. Qdrant
 * puts 61 bytes behind it where it builds a snapshot ("-{peer id}-{time}.snapshot-arc-XXXXXX", 1.18.2), and a
 * file's name has 255. */
enum { SWAP_NAME = 180 };
void swap_name(const char *target, time_t now, char out[256]);
/* Is `name` one that it gave, at any time, for `target`? */
bool swap_name_is(const char *name, const char *target);
#endif
