/* Why Qdrant answers 401 or 403. A pure function over its answer: 1.18.2 as its src/common/auth and
 * lib/storage/src/rbac word it, and versions before 1.14, whose strict mode answers 403, too. */
#ifndef QDRANT_DENIAL_H
#define QDRANT_DENIAL_H

enum denial {
    DENIAL_NONE,   /* another status */
    DENIAL_KEY,    /* no key, another one, or a token that is over */
    DENIAL_RIGHTS, /* a key that it knows, and that may not do this: a read-only one, or a token's for less */
    DENIAL_STRICT, /* the collection's strict mode */
    DENIAL_LOCKED, /* writing is locked */
};
enum denial denial_of(long status, const char *said);
/* What to do. */
const char *denial_advice(enum denial d);
#endif
