/* What the parts of `cluster-start` share: start_command.c begins, decides and ends; start_peers.c asks the
 * nodes, start_claim.c EFS, on a thread of its own; start_words.c says for what it waits. For these alone. */
#ifndef REPLICATOR_CLUSTER_START_STATE_H
#define REPLICATOR_CLUSTER_START_STATE_H
#include "efs/repo/settings.h"
#include "qdrant/cluster.h"
#include "qdrant/raft_state.h"
#include "replicator/cluster/addresses.h"
#include "replicator/cluster/start_rule.h"
#include <limits.h>
#include <pthread.h>

enum { START_LOOK_MS = 1000, START_SAY_AGAIN_MS = 60000, START_TOKEN_BYTES = 16 };
enum wish { WISH_NOTHING, WISH_CLAIM, WISH_TELL };
struct starter {
    struct settings settings;
    struct qdrant_settings qdrant_settings;
    struct key *key;
    const char *list, *given, *word; /* QDRANT_CLUSTER_DNS, QDRANT_URI, QDRANT_CLUSTER_FOUND */
    struct cluster_port port;
    char storage[PATH_MAX];
    char token[2 * START_TOKEN_BYTES + 1];
    struct raft_state raft;
    struct start_facts facts;
    struct cluster_addresses addresses;
    struct cluster_meeting meeting; /* with the peer that takes members */
    unsigned replicas;              /* of the lost node at our address ... */
    int64_t counted;                /* ... as counted then; 0: never */
    char trouble[600];              /* what one said that cannot take us */
    bool warned;                    /* that the key goes over a network as it is */
    unsigned asked;                 /* addresses in the last look */
    int64_t begun, heard;           /* when this began, and when anybody answered last */
    enum start_what said;
    int64_t said_at;
    pthread_mutex_t mutex; /* for all below, which the thread on EFS fills */
    enum wish wish;        /* what it is to try */
    struct founding founding;
    int64_t looked; /* when it asked for that; 0: never */
    char efs_trouble[600];
    char own[300]; /* as addresses.own */
    char lost[24]; /* the lost peer whose address it waits for; empty: for none */
    bool told;     /* the thread's: EFS says so */
    int64_t told_at;
    time_t waits_since;
};

/* Fill the facts with what the nodes say. -1: the list is wrong. */
int start_look_at_peers(struct starter *s, struct err *e);
/* Who asks EFS, as this node at `own`. */
struct founder start_founder(const struct starter *s, const char *own);
/* Begin to ask EFS. */
void start_begin_efs(struct starter *s);
/* What EFS has told, into the facts as well, and what is to be tried there. What it told a while ago counts
 * no more: a claim grows old. */
void start_exchange(struct starter *s, enum wish wish, struct founding *found, char trouble[600]);
/* Say for what it waits, when that is news, or was said a minute ago. `efs`: why EFS does not tell. */
void start_say_wait(struct starter *s, enum start_what what, const struct founding *found, const char *efs);
#endif
