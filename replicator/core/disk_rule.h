/* "Qdrant first, on the disk too", as pure functions over numbers: how much of the local disk is Qdrant's
 * alone, what a snapshot takes of it, whether one may be made, and which local snapshots go when the disk
 * runs low. No clock, no files. */
#ifndef REPLICATOR_CORE_DISK_RULE_H
#define REPLICATOR_CORE_DISK_RULE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* So many finished snapshots of one collection may wait for EFS; with these no more are made. */
enum { DISK_UNPUBLISHED = 2 };

struct disk_marks {
    uint64_t stops; /* with less Qdrant refuses writes: twice its WAL's capacity (1.18.2) */
    uint64_t last;  /* with less even the newest unpublished snapshots go: half-way from `stops` to ... */
    uint64_t floor; /* ... this, which stays free: MIN_FREE, and at least three times `stops` */
};
/* `wal_mib`: QDRANT__STORAGE__WAL__WAL_CAPACITY_MB. */
struct disk_marks disk_marks(uint64_t min_free, uint64_t wal_mib);

struct disk_known {   /* of a collection, in bytes; -1: not known */
    int64_t on_disk;  /* what its folder in Qdrant's storage takes */
    int64_t last;     /* its last snapshot, as Qdrant tells */
    int64_t last_had; /* what `on_disk` was then */
    int64_t on_efs;   /* its newest backup before compression */
};
/* What its next snapshot will have. By the folder, which is as it is now, with some for what is written
 * meanwhile and for what a snapshot had beyond it the last time; else by the last one; else by the newest
 * backup. Of which nothing is known counts as `floor`: it must not be taken for nothing. */
uint64_t disk_estimate(const struct disk_known *k, uint64_t floor);
/* What Qdrant takes while it makes one of the whole storage: those of all collections are there together with
 * the archive that they are copied into. */
uint64_t disk_whole(uint64_t all);

struct disk_question {
    unsigned unpublished; /* finished ones of this collection that EFS was tried with and has not taken */
    uint64_t free, need;  /* `need`: of this one and of those that are being made */
    uint64_t releasable;  /* what local snapshots take that are safe on EFS, or about to be */
    uint64_t floor;
};
enum disk_answer {
    DISK_MAKE,
    DISK_HELD, /* EFS does not take those that are there */
    DISK_SOON, /* there is room once these are let go */
    DISK_NO_ROOM,
};
enum disk_answer disk_may_make(const struct disk_question *q);

struct disk_file {   /* a finished snapshot on the local disk */
    unsigned folder; /* those of one collection (shard, storage) have one number */
    time_t taken;
    uint64_t size;
    bool safe;  /* on EFS, or nobody wants it there */
    bool stuck; /* not on EFS, which does not take it; Qdrant's own, so that it can be let go */
    bool gone;  /* of a collection that was deleted in Qdrant */
    bool going; /* in: is being deleted. Out: is to be deleted */
};
struct disk_need {
    struct disk_marks marks;
    uint64_t free, wanted; /* `wanted`: beyond the floor, by a snapshot that is to be made */
    unsigned keep;         /* LOCAL_KEEP */
    bool tidy;             /* a moment at which published ones beyond `keep` may go */
};
/* Sets `going` of what is to be deleted. `list` is sorted: by folder, the newest first. When tidying: what is
 * safe beyond the newest `keep` of its folder, and all that is safe of deleted collections. With too little
 * room, oldest first and no more than needed: what is safe, whatever `keep` says; below the floor also what
 * is stuck but for the newest of each folder; near the end, these too. False without memory: only tidied. */
bool disk_choose(struct disk_file *const *list, size_t n, const struct disk_need *need);

/* Milliseconds until the disk should be looked at again: it may be filled by a gigabyte in two seconds. */
int64_t disk_next_look(uint64_t free, uint64_t floor);
#endif
