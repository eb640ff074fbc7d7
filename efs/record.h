/* Small JSON files that a node leaves on EFS for those who come later, so that they outlive the task and
 * travel to the second Region: {base}/{folder}/{node}/{time}.json, written as a backup is, never changed, and
 * only the newest of each node kept. The folders stand beside those of the tiers, where nobody looks for
 * backups. Every call may hang with EFS. */
#ifndef EFS_RECORD_H
#define EFS_RECORD_H
#include "common/err.h"
#include <limits.h>
#include <stddef.h>
#include <time.h>

struct record_folder {
    const char *name;
    unsigned keep; /* of each node */
};
extern const struct record_folder record_drills, record_heartbeats;
enum { RECORD_AHEAD = 600 }; /* seconds that clocks may be apart; what is further ahead is of a wrong one */
#define RECORD_UNNAMED "%unnamed" /* the folder of a node without a name; no name is escaped to this */

/* `base` as ever, {root}/{TIER}-{CPU_ARCH}; it is made if it is not there. `node` may be empty. Where that
 * second has a record already, this one gets the next one's name. */
int record_keep(const char *base, const struct record_folder *folder, const char *node, time_t when,
                const char *json, struct err *e);
/* When the last one of `node` was kept, of any for NULL; 0: none. */
time_t record_last(const char *base, const struct record_folder *folder, const char *node);

/* For readers. The nodes' folders below {base}/{folder}, sorted: one that is not there has none. */
int record_nodes(const char *base, const struct record_folder *folder, char ***names, size_t *n,
                 struct err *e);
void record_nodes_free(char **names, size_t n);
/* The times of the records in one of these, the newest first; caller frees. -1 when it cannot be listed. */
int record_times(const char *base, const struct record_folder *folder, const char *name, time_t **times,
                 size_t *n, struct err *e);
/* The path of one. */
int record_path(const char *base, const struct record_folder *folder, const char *name, time_t when,
                char out[PATH_MAX], struct err *e);
#endif
