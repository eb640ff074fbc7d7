/* The parts of `qdrant-efs heal`: who is lost, the steps one after the other, and what is told of them. */
#ifndef EFS_CLI_CMD_HEAL_H
#define EFS_CLI_CMD_HEAL_H
#include "efs/cli/cli.h"
#include "efs/repo/cluster_nodes.h"
#include "qdrant/heal_rule.h"
#include "qdrant/key.h"

enum { HEAL_ERROR = 700 };
struct cJSON;
struct healing {
    const struct options *o;
    const atomic_bool *stop;
    struct qdrant_settings settings;
    struct key *key;
    struct qdrant *qdrant; /* at --url */
    struct cluster_map map;
    struct cluster_nodes known; /* what EFS says of nodes; empty where it says nothing */
    char error[HEAL_ERROR];     /* why it cannot go on */
    enum heal_how *how;         /* of each peer of the map */
    bool *deaf;                 /* of each peer: its REST API is not where it was looked for */
    bool *left;                 /* of each collection of the map */
    bool begun;                 /* the peers were judged before */
    unsigned steps;             /* that were taken, or would be */
    unsigned failures;          /* steps that failed */
    struct cJSON *failed;       /* names of collections that are left */
    struct cJSON *unheard;      /* ids of peers that are deaf */
    struct cJSON *json;         /* with --json: what comes out */
};

/* Tell of an error that ends it. EXIT_DEFECT. */
int heal_fail(struct healing *h, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* NODE_NAME of a peer where that is known, with a blank in front; else empty. */
const char *heal_name(const struct healing *h, size_t peer, char out[160]);
/* Is it still lost, as far as anybody can see? Asked before each step that takes something from it. */
bool heal_still_lost(struct healing *h, size_t peer, char why[HEAL_ERROR]);

/* 0, or an exit code: another node heals. */
int heal_claim_begin(struct healing *h);
/* Before each step. False: another one heals from here on, or may, as was told. */
bool heal_claim_holds(void);
void heal_claim_leave(void);

/* The REST API of another node: the peer's host and the port of --url, or a --peer-url, if that peer answers
 * there. To be freed; NULL with `e`. */
struct qdrant *heal_node(const struct healing *h, size_t peer, struct qdrant_settings *settings,
                         struct err *e);
/* Fill h->how. 0, or an exit code after an error that it printed: one that is named is no member, or is not
 * lost as far as anybody can see, or the cluster cannot be changed. */
int heal_judge_peers(struct healing *h);

/* All shards of the collection that are lost, from backups into that step's peer. -1 with `e`, whose code is
 * EHOSTUNREACH when that peer's REST API is not found. `list`: JSON array for these backups: name, node,
 * time, shards. */
int heal_from_backups(const struct healing *h, const struct heal_step *step, struct cJSON *list,
                      struct err *e);

/* Tell of the peers, of a step that is done, or would be (--dry-run), or has failed (`why`), and how it is at
 * the end. `backups` may be NULL and is taken. */
void heal_say_peers(const struct healing *h);
void heal_say_step(struct healing *h, const struct heal_step *step, struct cJSON *backups, const char *why);
/* `rest` NULL: it ended with h->error. An exit code. */
int heal_say_end(struct healing *h, const struct heal_rest *rest);
#endif
