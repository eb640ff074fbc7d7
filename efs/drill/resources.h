/* How much memory and disk there is to be had here, for those who would rather not start than take it from
 * Qdrant. */
#ifndef EFS_DRILL_RESOURCES_H
#define EFS_DRILL_RESOURCES_H
#include <stdbool.h>
#include <stdint.h>
/* Bytes that can be allocated before somebody is killed for it: the least of what the machine and each cgroup
 * around us (v1 or v2) have left. UINT64_MAX: not known. */
uint64_t resources_memory(void);
/* Bytes that this user can write below `dir`. */
uint64_t resources_disk(const char *dir);
/* What tells one disk from another. Mounts of one disk (a container's own layer, and a volume beside it) have
 * device numbers of their own, and yet the same size. */
struct resources_id {
    uint64_t device, bytes;
};
/* In doubt they are the same. */
bool resources_is_same(const struct resources_id *a, const struct resources_id *b);
/* Do both share a disk? True also when one cannot be looked at. */
bool resources_shared(const char *a, const char *b);
#endif
