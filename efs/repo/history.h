/* Small JSON files that a node leaves on EFS for those who come later, so that they outlive the task and
 * travel to the second Region: {base}/{folder}/{node}/{time}.json, written as a backup is, replaced by their
 * writer alone, and only the newest of each node kept. The folders stand beside those of the tiers, where
 * nobody looks for backups. Every call may hang with EFS. */
#ifndef EFS_REPO_HISTORY_H
#define EFS_REPO_HISTORY_H
#include "common/base/err.h"
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

struct history_folder {
    const char *name;
    unsigned keep; /* of each node */
    bool obeyed;   /* a restore goes by them: with a key they are signed (efs/repo/signed.h) */
};
extern const struct history_folder history_drills, history_heartbeats, history_restores, history_stops;
enum { HISTORY_AHEAD = 600 }; /* seconds that clocks may be apart; what is further ahead is of a wrong one */
#define HISTORY_UNNAMED "%unnamed" /* the folder of a node without a name; no name is escaped to this */

/* `base` as ever, {root}/{TIER}-{CPU_ARCH}; it is made if it is not there. `node` may be empty. Where that
 * second has a record already, this one gets the next one's name. */
int history_add(const char *base, const struct history_folder *folder, const char *node, time_t when,
                const char *json, struct err *e);
/* The same; *when becomes the time that it has the name of. */
int history_add_at(const char *base, const struct history_folder *folder, const char *node, time_t *when,
                   const char *json, struct err *e);
/* In place of the one that history_add_at named so: its writer knows more now. */
int history_replace(const char *base, const struct history_folder *folder, const char *node, time_t when,
                    const char *json, struct err *e);
/* When the last one of `node` was kept, of any for NULL; 0: none. */
time_t history_last(const char *base, const struct history_folder *folder, const char *node);

/* The text of that one, to be freed, and its time in `when`. NULL: there is none, or it cannot be read (`e`).
 */
char *history_last_text(const char *base, const struct history_folder *folder, const char *node, time_t *when,
                        struct err *e);

/* For readers. The nodes' folders below {base}/{folder}, sorted: one that is not there has none. */
int history_nodes(const char *base, const struct history_folder *folder, char ***names, size_t *n,
                  struct err *e);
void history_nodes_free(char **names, size_t n);
/* The times of the records in one of these, the newest first; caller frees. -1 when it cannot be listed. */
int history_times(const char *base, const struct history_folder *folder, const char *name, time_t **times,
                  size_t *n, struct err *e);
/* The path of one. */
int history_path(const char *base, const struct history_folder *folder, const char *name, time_t when,
                 char out[PATH_MAX], struct err *e);
#endif
