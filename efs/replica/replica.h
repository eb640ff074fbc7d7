/* What of a tree of backups has arrived in the second Region, folder by folder: EFS replication keeps no
 * order between files and ships parts of files, so that each backup is looked at by itself, against what must
 * be there. What that is, the primary's own tree tells, or its heartbeats. Judging is a pure function over
 * rows. */
#ifndef EFS_REPLICA_REPLICA_H
#define EFS_REPLICA_REPLICA_H
#include "efs/repo/heartbeat.h"
#include "efs/repo/backup.h"

/* One backup that must be here. */
struct replica_want {
    char snapshot[256], node[128]; /* node: as replica_node has it */
    enum frequency frequency;
    time_t taken, published; /* published: at that time or before; 0: not known */
    uint64_t stored_size;
    char stored_sha256[65];
};
struct replica_wants {
    struct replica_want *v;
    size_t n;
    bool doubtful; /* there are some that are not whole where they come from */
};
void replica_wants_free(struct replica_wants *w);
#define cleanup_wants __attribute__((cleanup(replica_wants_free)))
/* The name that outlives a task: NODE_NAME, or "" where there is none. All nodes without one count as one. */
const char *replica_node(const struct manifest *m);
/* All good backups of a folder of the primary's tree. */
int replica_wants_of(const char *base, const char *folder, struct replica_wants *out, struct err *e);
/* What a heartbeat names of a folder. 1: nothing of it. */
int replica_wants_told(const struct heartbeat *h, const struct heartbeat_folder *f, struct replica_wants *out,
                       struct err *e);

enum replica_what { /* of one backup; in the order of how bad they are */
                    REPLICA_GOOD,
                    REPLICA_ONLY_HERE, /* its deletion has not arrived */
                    REPLICA_ABSENT,    /* missing: a part that it cannot do without is not there */
                    REPLICA_CUT,       /* a part is shorter than it must be */
                    REPLICA_DIFFERENT, /* complete, and not what the primary has under that name */
                    REPLICA_CORRUPT,
                    REPLICA_UNREADABLE,
                    REPLICA_WHATS
};
const char *replica_what_text(enum replica_what w);
struct replica_problem {
    enum replica_what what;
    enum frequency frequency;
    char snapshot[256];
    char *why;
    bool promised; /* AWS says that it is here */
};

enum replica_state {
    REPLICA_COMPLETE, /* the newest is here, and all else that was named */
    REPLICA_MISSING,  /* the newest is here, and something else is not */
    REPLICA_BEHIND,   /* the newest is not; an older one is, within the objective */
    REPLICA_LATE,     /* what is here is older than the objective allows */
    REPLICA_NONE,     /* nothing complete is here */
    REPLICA_UNKNOWN,  /* nothing tells what should be here */
    REPLICA_LEFT,     /* left over, of what the primary has no more, or of a node that is gone: not judged */
    REPLICA_STATES
};
const char *replica_state_text(enum replica_state s);
/* A collection (or a shard, or the whole storage) of one node. */
struct replica_row {
    char tree[160], node[128];
    struct source source;
    bool told;                    /* what must be here is known */
    bool left;                    /* see REPLICA_LEFT */
    enum heartbeat_wanted wanted; /* is it held to the objective? */
    time_t rpo;                   /* seconds */
    time_t newest;                /* of what must be here: when it was taken, 0: nothing must */
    char newest_snapshot[256];
    char path[PATH_MAX]; /* of the recovery point's data; empty: there is none */
    char snapshot[256];
    enum frequency frequency;
    time_t taken;
    bool verified; /* its bytes were read */
    unsigned expected, here, count[REPLICA_WHATS];
    struct replica_problem *problem;
    size_t problems;
    enum replica_state state;
};
struct replica_rows {
    struct replica_row *v;
    size_t n;
};
void replica_rows_free(struct replica_rows *r);
#define cleanup_rows __attribute__((cleanup(replica_rows_free)))

struct replica_look {
    const char *base, *folder;
    const struct replica_wants *wants;
    bool all;      /* the wants are all that there is: what else is here is only here */
    bool suspect;  /* nothing tells what must be here: all that is not good is worth telling */
    bool verify;   /* read every byte of the recovery point, and of an older one when it is corrupt */
    time_t synced; /* all that was published before that must be here; 0: nobody says so */
    const struct copy_watch *watch; /* may be NULL */
};
/* Adds the rows of one folder: one for each node. What vanishes or grows meanwhile is as it was found. -1
 * when the folder cannot be listed. */
int replica_folder(const struct replica_look *l, struct replica_rows *out, struct err *e);
/* Sets the state of each. True: all are good. */
bool replica_judge(struct replica_rows *rows, time_t now);
/* Is a collection held to the objective? `newest`: when its newest backup was taken, and that of its tree. */
bool replica_held(enum heartbeat_wanted wanted, enum kind kind, time_t newest, time_t of_tree);
/* Seconds, never negative. */
time_t replica_age(time_t since, time_t now);

/* The heartbeats of one tree: of each node the newest that can be read. */
struct replica_beat {
    char name[NAME_MAX + 1], node[128]; /* its folder */
    char path[PATH_MAX];
    bool read;
    struct heartbeat h;
    char **passed; /* what was passed over, newest first: "why PATH" */
    size_t n_passed;
};
struct replica_beats {
    struct replica_beat *v;
    size_t n;
};
void replica_beats_free(struct replica_beats *b);
int replica_beats_read(const char *base, struct replica_beats *out, struct err *e);
const struct replica_beat *replica_beat_of(const struct replica_beats *b, const char *node);
/* How old a recovery point may be: as `asked` (0: nobody did), else as the heartbeat (may be NULL) says, else
 * `standard`. */
time_t replica_objective(time_t asked, const struct replica_beat *beat, time_t standard);
/* Has it been silent for so long, beside another, that it is no more? */
bool replica_beat_gone(const struct replica_beats *b, const struct replica_beat *one);
#endif
