/* The record of each restore at boot, on EFS ({base}/restores/{node}/{time}.json, efs/repo/history.h), and
 * what a later restore makes of it:
 *
 * - A time in RESTORE_ON_EMPTY is obeyed once per node: with a record of that very setting the newest backup
 *   counts again, though the setting stays in the task definition.
 * - What a restore to a time has thrown away must not come back by being newer than what came back.
 * - After a failover this Region's node goes on from the replica. What the other Region's node writes from
 * then on, should it come back with its old state, is of a past that was left: it must not win by being
 * newer.
 *
 * The rules are pure functions; reading and writing may hang with EFS. */
#ifndef REPLICATOR_RESTORE_RECORD_H
#define REPLICATOR_RESTORE_RECORD_H
#include "efs/repo/history.h"
#include "replicator/restore/marker.h"

struct restore_past { /* one restore */
    time_t when;      /* it was over, and the node was let in */
    time_t at;        /* it was to that time; 0: the latest */
    bool crossed;     /* something came from the other tree */
    bool own;         /* its record lies in EFS_ROOT's tree, else in that of RESTORE_FROM */
    char setting[64]; /* RESTORE_ON_EMPTY */
};
struct restore_history {
    struct restore_past *v; /* the oldest first */
    size_t n;
    unsigned unreadable; /* records that cannot be made out: any of them may be of any setting */
};
void restore_history_free(struct restore_history *h);
/* Was this setting, a time or an age, obeyed by this node already, or may it have been? "latest" never counts
 * as that. */
bool restore_history_obeyed(const struct restore_history *h, const char *setting);
/* May a backup of that time in that tree be chosen? `to_time`: a person asks for a time now, and may well
 * mean one that was thrown away. NULL: yes; else why not. */
const char *restore_history_forbids(const struct restore_history *h, bool own, time_t taken, bool to_time);

/* Append this node's records in the tree `base`. Records that cannot be made out are told, and left out. */
int restore_history_read(struct restore_history *h, const char *base, bool own, const char *node,
                         struct err *e);
/* `own`: EFS_ROOT's tree, where the record goes to. */
int restore_record_add(const char *own, const char *node, const struct marker *m, time_t when, struct err *e);
#endif
