/* What is to be said of a restore: what was there, against what came back. One pure function and one table,
 * for restore, for drills, and for whoever restores without a person; nothing here asks anybody. */
#ifndef EFS_RESTORE_VERDICT_H
#define EFS_RESTORE_VERDICT_H
#include "efs/repo/backup.h"

enum verdict {
    VERDICT_UNKNOWN,  /* nobody has looked: no success */
    VERDICT_EQUAL,    /* what came back is what was there: points, contents, configuration */
    VERDICT_UNPROVEN, /* it came back, and nothing that is known of it is wrong; but the manifest does not say
                         exactly what must come back */
    VERDICT_PARTLY,   /* as that, and more of it is elsewhere: shards of other nodes, aliases left alone */
    VERDICT_EMPTY,    /* no point came back, of some */
    VERDICT_POINTS,   /* more points, or fewer */
    VERDICT_CONTENT,  /* as many points, with other payloads or vectors */
    VERDICT_CONFIG,   /* configured otherwise */
    VERDICT_RED,      /* Qdrant calls the collection red */
    VERDICT_ALIASES,  /* the points are there, and Qdrant took no alias */
    VERDICT_DEFECT,   /* the backup is not what its manifest says, or Qdrant refuses what is in it */
    VERDICT_REFUSED,  /* nothing was changed, since points or a configuration would have been lost */
    VERDICT_FAILED,   /* it was not restored for another reason */
};
enum { VERDICTS = VERDICT_FAILED + 1 };
struct verdict_row {
    const char *word;  /* for people */
    const char *token; /* in JSON */
    int exit_code;
    bool healthy; /* may a node serve with it? */
};
const struct verdict_row *verdict_row(enum verdict v);

/* How good the number of points is that a manifest has. */
enum verdict_count {
    COUNT_NONE,     /* it says none */
    COUNT_EXACT,    /* counted one by one right before and after the snapshot, and nothing changed between */
    COUNT_RANGE,    /* counted so, and points were written meanwhile */
    COUNT_ESTIMATE, /* as Qdrant estimates them (points_count), over a whole cluster, when the snapshot was
                       copied */
    COUNT_LATER,    /* so estimated over five minutes after the snapshot: it says little of that */
};
struct verdict_was {
    enum verdict_count count;
    int64_t points;                        /* -1 with COUNT_NONE */
    const struct fingerprint *fingerprint; /* NULL: none */
    bool some_shards;                      /* the snapshot holds only some of the collection's shards */
    bool other_version;                    /* of Qdrant: its configuration may be printed otherwise */
};
struct verdict_is {
    int64_t points;                           /* counted one by one; -1: not known */
    const char *status;                       /* "green", "yellow", "grey", "red"; "" when it was not asked */
    const struct content_digest *fingerprint; /* NULL: not taken */
    const char *config; /* differences from the snapshot's own configuration, "" for none; NULL: not
                           compared */
    bool aliases_left;  /* some of the manifest's belong to others now */
};
enum { VERDICT_TEXT = 700 };
/* What a manifest says of the points. `b` stays. */
struct verdict_was verdict_was(const struct backup *b);
/* Of one that was restored: EQUAL to RED. `why` is empty for EQUAL, else a sentence without its dot. */
enum verdict verdict_of(const struct verdict_was *was, const struct verdict_is *is, char why[VERDICT_TEXT]);
#endif
