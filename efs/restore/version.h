/* May a Qdrant be given what another one wrote? A pure function over two versions. */
#ifndef EFS_RESTORE_VERSION_H
#define EFS_RESTORE_VERSION_H

/* Qdrant promises that a version reads what the one before it wrote, and nothing in the other direction. What
 * it writes changes with the minor version; within one, a patch may have mended how something is written. */
enum qdrant_version_order {
    QDRANT_VERSION_UNKNOWN,     /* one of them is no version */
    QDRANT_VERSION_READS,       /* `here` is the same or newer */
    QDRANT_VERSION_NEWER_PATCH, /* made by a newer patch of the same minor version */
    QDRANT_VERSION_NEWER,       /* made by a newer minor version: must not be restored here */
};
/* Versions as GET / tells them, such as "1.18.2" or "1.19.0-dev". */
enum qdrant_version_order qdrant_version_compare(const char *made_by, const char *here);
#endif
