/* What we ask of Qdrant's REST API (1.18.2). Blocking, bounded in time and size; the API key goes to the one
 * address it is for: redirects are not followed, proxies not used. Thread-safe. Errors say what was asked,
 * what the answer was and what to do. */
#ifndef QDRANT_CLIENT_H
#define QDRANT_CLIENT_H
#include "qdrant/key.h"
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

struct qdrant;
struct cJSON;
struct http;
/* `key` may be shared. `stop`: set, gives up with ECANCELED. NULL without memory. */
struct qdrant *qdrant_new(const struct qdrant_settings *s, struct key *key, const atomic_bool *stop);
void qdrant_free(struct qdrant *q);
/* How long each question may take that has no time of its own, in milliseconds; 5 s without. For a Qdrant
 * that we alone ask, and wait for: that the machine is busy is no finding. Before it is shared. */
void qdrant_patience(struct qdrant *q, long ms);

/* Codes of `struct err` that callers may want to tell apart, beside those of common/http.h. */
enum {
    QDRANT_REFUSED = 1000, /* 401, 403: the key */
    QDRANT_MISSING,        /* 404 */
    QDRANT_ANSWERED,       /* any other status than the one hoped for */
    QDRANT_GARBLED,        /* no JSON, or not of the shape it has */
    QDRANT_NO_KEY,         /* the key could not be had */
};

struct qdrant_names {
    char **v; /* sorted, unique */
    size_t n;
    size_t odd; /* entries of a list that were no names */
};
void qdrant_names_free(struct qdrant_names *names);
bool qdrant_names_have(const struct qdrant_names *names, const char *name);
#define cleanup_names __attribute__((cleanup(qdrant_names_free)))

/* Are all shards loaded (/readyz)? Needs no key. */
int qdrant_ready(struct qdrant *q, struct err *e);
/* Version, empty when it does not tell. Needs no key. */
int qdrant_version(struct qdrant *q, char *out, size_t size, struct err *e);
struct qdrant_state { /* of /metrics */
    bool recovery_mode;
    bool recovering;            /* a snapshot is being restored */
    struct qdrant_names making; /* collections of which a snapshot is being made */
};
int qdrant_state(struct qdrant *q, struct qdrant_state *out, struct err *e);
int qdrant_collections(struct qdrant *q, struct qdrant_names *out, struct err *e);
/* Points of a collection, -1 when it does not tell. */
int qdrant_points(struct qdrant *q, const char *collection, int64_t *out, struct err *e);

/* How a collection is: "green", "yellow" (being optimized), "grey" (waits for a write to be optimized),
 * "red". */
int qdrant_status(struct qdrant *q, const char *collection, char *out, size_t size, struct err *e);
/* Its points, counted one by one; where strict mode forbids that, as Qdrant has counted them itself. */
int qdrant_count(struct qdrant *q, const char *collection, int64_t *out, struct err *e);

struct qdrant_snapshot {
    char name[256]; /* with ".snapshot" */
    uint64_t size;
    time_t created;  /* 0: unknown */
    char sha256[65]; /* Qdrant's own; empty: it does not tell */
    bool made;       /* by Qdrant, which knows its checksum; else somebody put it there */
};
struct qdrant_snapshots {
    struct qdrant_snapshot *v;
    size_t n;
};
#define cleanup_snapshots __attribute__((cleanup(qdrant_snapshots_free)))
void qdrant_snapshots_free(struct qdrant_snapshots *list);
/* `collection` NULL: of the whole storage. */
int qdrant_snapshots(struct qdrant *q, const char *collection, struct qdrant_snapshots *out, struct err *e);
/* Have one made, and wait for it for at most `timeout_ms`. `collection` NULL: of the whole storage. */
int qdrant_snapshot_make(struct qdrant *q, const char *collection, long timeout_ms,
                         struct qdrant_snapshot *out, struct err *e);
/* Have Qdrant delete one, so that its own listing stays true. `collection` NULL: of the whole storage;
 * `shard` NULL or empty: of the collection. Returns the HTTP status, 0 when Qdrant cannot be reached. */
long qdrant_snapshot_delete(struct qdrant *q, const char *collection, const char *shard, const char *name);

/* What it said in place of 200. */
struct qdrant_answer {
    long status; /* 0: nothing, it could not be reached or did not answer */
    char said[1000];
};

/* A snapshot that is sent to be restored. */
struct qdrant_upload {
    const char *collection,
        *shard;         /* `shard` NULL: all of the collection, which is made if it is not there */
    const char *name;   /* Qdrant leaves it in its snapshots of the collection under this name */
    const char *sha256; /* that Qdrant compares before it takes it */
    bool placed;        /* it has the shards of this node alone: no replica on another one is touched */
    uint64_t size;
    ssize_t (*read)(void *arg, void *out, size_t n); /* as that of struct http_upload */
    void *arg;
    struct qdrant_answer *answer; /* when it was not restored; may be NULL */
};
/* Comes back when it has been restored, or after `timeout_ms`. */
int qdrant_upload(struct qdrant *q, const struct qdrant_upload *u, long timeout_ms, struct err *e);
/* Have Qdrant fetch a snapshot and restore it. `sha256` may be NULL. */
int qdrant_recover(struct qdrant *q, const char *collection, const char *location, const char *sha256,
                   long timeout_ms, struct err *e);

/* Whatever else. */
struct qdrant_ask {
    const char *method, *collection, *path; /* `path` below that of `collection`, or all of it with NULL */
    const char *json;                       /* the body; may be NULL */
    long total_ms;                          /* 0: 5 s */
    struct http *keep; /* a connection for many questions, one thread at a time; may be NULL */
};
/* The whole reply to be freed, whose "result" is there. NULL with `e`; its code is EFBIG for one of more than
 * 16 MiB. */
struct cJSON *qdrant_ask(struct qdrant *q, const struct qdrant_ask *a, struct err *e);
#endif
