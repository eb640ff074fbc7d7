/* The local disk, which is Qdrant's: what those who fill it (the runner) and those who empty it (the pending)
 * tell each other. By the rules of disk_rule.h. Thread-safe; nothing here touches EFS. */
#ifndef REPLICATOR_CORE_DISK_H
#define REPLICATOR_CORE_DISK_H
#include "efs/repo/name.h"
#include "qdrant/client.h"
#include "replicator/core/disk_rule.h"

struct disk;
struct disk_places { /* as Qdrant has them; they must outlive it */
    const char *snapshots, *storage;
    const char
        *temp; /* QDRANT__STORAGE__TEMP_PATH; empty: below `snapshots`, and of the whole below `storage` */
};
/* NULL without memory. */
struct disk *disk_new(const struct disk_places *places, uint64_t min_free, uint64_t wal_mib);
void disk_free(struct disk *d);
struct disk_marks disk_marks_of(const struct disk *d);

/* --- looking; system calls on the local disk */

/* Free bytes for Qdrant's user where its snapshots are. False: there is no such folder (yet). */
bool disk_left(const struct disk *d, uint64_t *out);
/* The least that is free where Qdrant makes a snapshot of a collection, or of the whole storage. */
bool disk_left_for(const struct disk *d, bool whole, uint64_t *out);
/* What a collection (NULL: all of them) takes in Qdrant's storage, in allocated bytes; -1: not known. */
int64_t disk_of_collection(const struct disk *d, const char *collection);

/* --- between runner and pending */

/* An eventfd that is written when the pending should look; -1: none. */
void disk_wakes(struct disk *d, int fd);
/* The runner wants so many bytes beyond the floor for a while; 0: no more. */
void disk_want(struct disk *d, uint64_t bytes, int64_t until_ms);
uint64_t disk_wanted(struct disk *d, int64_t now_ms);
/* The collections that Qdrant has, all of them, at this time of the wall's clock. Takes a copy. */
void disk_present(struct disk *d, const struct qdrant_names *names, time_t when);
/* Grows with each disk_present that told something new. */
unsigned disk_present_number(struct disk *d);
/* Did Qdrant have a collection of that name when a snapshot was taken, and has it none now? In doubt false.
 */
bool disk_is_gone(struct disk *d, const char *collection, time_t taken);
/* What the pending found: begin, then each finished snapshot that is not on EFS, then the end. */
struct disk_found;
struct disk_found *disk_found_begin(void); /* NULL without memory */
void disk_found_one(struct disk_found *f, const struct source *source);
void disk_found_end(struct disk *d, struct disk_found *f, uint64_t releasable);
unsigned disk_unpublished(struct disk *d, const char *collection); /* NULL: of the whole storage */
uint64_t disk_releasable(struct disk *d);
/* How much was free at the last look; whether that is so little that what is not Qdrant's must end. */
void disk_looked(struct disk *d, uint64_t left);
bool disk_near_end(struct disk *d);
#endif
