/* A heartbeat: what a node has on EFS at one moment, as a record there (efs/repo/history.h). EFS replication
 * keeps no order between files, so that nothing else tells the second Region what it lacks. Its age there is
 * the least that replication is behind. Read with mistrust: it may be cut short, or anybody's. */
#ifndef EFS_REPO_HEARTBEAT_H
#define EFS_REPO_HEARTBEAT_H
#include "efs/repo/manifest.h"
#include "efs/repo/history.h"
#include "efs/repo/retention.h"

enum {
    HEARTBEAT_FORMAT = 1,
    HEARTBEAT_MAX =
        4 << 20, /* bytes written: as many as each build reads; 10,000 collections with names of 30 bytes */
    HEARTBEAT_READ_MAX = HEARTBEAT_MAX,
    HEARTBEAT_FOLDERS = 10000, /* as many as a replicator knows */
};
struct heartbeat_backup { /* the newest one of its tier */
    char snapshot[256];   /* without ".snapshot"; empty: there is none */
    time_t slot, taken;
    time_t published; /* at that time or before */
    uint64_t stored_size;
    char stored_sha256[65];
};
enum heartbeat_wanted { HEARTBEAT_UNKNOWN, HEARTBEAT_UNWANTED, HEARTBEAT_WANTED };
struct heartbeat_folder {         /* a collection's, a shard's, or of the whole storage */
    struct source source;         /* kind, collection, shard */
    enum heartbeat_wanted wanted; /* is it held to RPO_SECONDS? */
    struct heartbeat_backup frequency[FREQUENCY_COUNT];
};
struct heartbeat {
    char node[128]; /* NODE_NAME; may be empty */
    char task_arn[256], zone[64], qdrant_version[32], program_version[32], written_by[128];
    time_t written, started; /* started: the replicator that wrote it */
    unsigned rpo_seconds;
    char retention[RETENTION_TEXT]; /* what it keeps; empty: an older program wrote it */
    struct heartbeat_folder *folder;
    size_t folders;
    unsigned left_out; /* folders that had no room, or could not be looked at */
};
void heartbeat_free(struct heartbeat *h);
#define cleanup_heartbeat __attribute__((cleanup(heartbeat_free)))
/* When the newest backup in it was taken; 0: there is none. */
time_t heartbeat_newest_taken(const struct heartbeat_folder *f);
/* JSON text with a final newline, caller frees; NULL without memory. It is no longer than HEARTBEAT_MAX.
 * Where all do not fit, the last folders have their newest backup alone; where that does not fit either, the
 * last ones are left out, and `left_out` says how many. */
char *heartbeat_print(const struct heartbeat *h);
/* -1 with the reason when `text` is no heartbeat of this format, or has names that cannot be. `path` is for
 * the message. */
int heartbeat_parse(const char *text, const char *path, struct heartbeat *out, struct err *e);
/* Bounded, whatever the file is. */
int heartbeat_load(const char *path, struct heartbeat *out, struct err *e);
#endif
