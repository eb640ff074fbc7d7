/* The parts of `qdrant-efs heal`: who is lost, the steps one after the other, and what is told of them. */
#ifndef EFS_CLI_CMD_HEAL_H
#define EFS_CLI_CMD_HEAL_H
#include "efs/cli/cli.h"
#include "qdrant/heal_rule.h"
#include "qdrant/key.h"

struct cJSON;
struct healing {
    const struct options *o;
    const atomic_bool *stop;
    struct qdrant_settings settings;
    struct key *key;
    struct qdrant *qdrant; /* at --url */
    struct cluster_map map;
    enum heal_how *how;    /* of each peer of the map */
    bool *deaf;            /* of each peer: its REST API is not where it was looked for */
    bool *left;            /* of each collection of the map */
    bool begun;            /* the peers were judged before */
    unsigned failures;     /* steps that failed */
    struct cJSON *failed;  /* names of collections that are left */
    struct cJSON *unheard; /* ids of peers that are deaf */
    struct cJSON *json;    /* with --json: what comes out */
};

/* The REST API of another node: the peer's host and the port of --url, or a --peer-url, if that peer answers
 * there. To be freed; NULL with `e`. */
struct qdrant *heal_node(const struct healing *h, size_t peer, struct qdrant_settings *settings,
                         struct err *e);
/* Fill h->how. 0, or an exit code after an error that it printed: one that is named is no member, or is not
 * lost as far as anybody can see, or the cluster cannot be changed. */
int heal_judge_peers(struct healing *h);

/* All shards of the collection that are lost, from backups into that step's peer. -1 with `e`, whose code is
 * EHOSTUNREACH when that peer's REST API is not found. `list`: JSON array for the names of these backups, or
 * NULL. */
int heal_from_backups(const struct healing *h, const struct heal_step *step, struct cJSON *list,
                      struct err *e);

/* Tell of the peers, of a step that is done, or would be (--dry-run), or has failed (`why`), and how it is at
 * the end. `backups` may be NULL and is taken. */
void heal_say_peers(const struct healing *h);
void heal_say_step(struct healing *h, const struct heal_step *step, struct cJSON *backups, const char *why);
/* An exit code. */
int heal_say_end(struct healing *h, const struct heal_rest *rest);
#endif
