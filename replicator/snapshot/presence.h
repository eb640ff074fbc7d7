/* Which collections were seen in Qdrant, and which of them are gone: deleted by somebody, as far as one can
 * tell from lists of names. Pure: no clock, no Qdrant. A collection is gone when two looks in a row,
 * PRESENCE_SETTLE apart, do not find what an earlier one of the same Qdrant process found. In doubt nothing
 * is: another process may be another node, or one with another disk. Not thread-safe. */
#ifndef REPLICATOR_SNAPSHOT_PRESENCE_H
#define REPLICATOR_SNAPSHOT_PRESENCE_H
#include "qdrant/client.h"

struct presence;
struct presence *presence_new(void); /* NULL without memory */
void presence_free(struct presence *p);

struct presence_look {
    const char *process;              /* which Qdrant has told; empty: that is not known */
    const struct qdrant_names *names; /* all collections that it has */
    int64_t now_ms;                   /* monotonic */
    time_t now;
    int64_t settle_ms;
    bool (*ours)(const char *name, void *arg);                              /* is that one of this node? */
    void (*gone)(const char *name, time_t seen, time_t missing, void *arg); /* `seen` last; then it was not */
    void *arg;
};
/* True: one is there that was not at the look before, or it is the first look at this process. */
bool presence_look(struct presence *p, const struct presence_look *l);
/* A look failed, or could not be believed: those before and after it are not in a row. */
void presence_doubt(struct presence *p);
/* Was it there at the last look? */
bool presence_has(const struct presence *p, const char *name);
#endif
