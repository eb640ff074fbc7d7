/* How much memory and disk there is to be had here, for those who would rather not start than take it from
 * Qdrant. */
#ifndef EFS_ROOM_H
#define EFS_ROOM_H
#include <stdint.h>
/* Bytes that can be allocated before somebody is killed for it: the least of what the machine and each cgroup
 * around us (v1 or v2) have left. UINT64_MAX: not known. */
uint64_t room_memory(void);
/* Bytes that this user can write below `dir`. */
uint64_t room_disk(const char *dir);
#endif
