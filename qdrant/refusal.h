/* What a Qdrant means that does not take a snapshot. A pure function over its answer (1.18.2, as its
 * lib/storage/src/content_manager/errors.rs and src/actix/helpers.rs make it). */
#ifndef QDRANT_REFUSAL_H
#define QDRANT_REFUSAL_H

enum refusal {
    REFUSAL_CONTENT, /* the snapshot itself: another one may do */
    REFUSAL_PLACE,   /* the key, the disk, the cluster, its settings: it would say the same of another one */
};
/* `status` is no 200; `said` is the body, or as much of it as is known. What is not known for a fault of the
 * place is taken for one of the content if Qdrant looked at the content at all (400, 500). */
enum refusal refusal_of(long status, const char *said);
#endif
