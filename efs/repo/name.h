/* Names: what Qdrant calls a snapshot, and how a collection's name becomes one path component on
 * EFS and back. Pure functions. Names of Qdrant's files: as seen on Qdrant 1.18.2. */
#ifndef EFS_REPO_NAME_H
#define EFS_REPO_NAME_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum kind { KIND_COLLECTION, KIND_SHARD, KIND_STORAGE };
/* One snapshot as found under SNAPSHOTS_DIR. */
struct source {
    enum kind kind;
    char collection[256]; /* empty for a full-storage snapshot */
    char shard[16];       /* digits, for KIND_SHARD */
    char stem[256];       /* file name without ".snapshot" */
    char peer[24];        /* peer id from the name, or empty */
    time_t taken;         /* UTC time in the name, 0 when there is none */
};
const char *kind_text(enum kind k);
bool kind_parse(const char *text, enum kind *out);
enum name_class {
    NAME_NOT_SOURCE, /* Qdrant's own tmp/, unknown depth, empty stem, "..", hidden (but for a snapshot of a
                        collection whose name begins with a dot) */
    NAME_SOURCE,
    NAME_UNFIT, /* a snapshot that cannot be stored: no room for ".snapshot.zst.sha256" behind its stem, its
                   collection too long once escaped, or not UTF-8, which no manifest can hold */
};
/* Classify a path relative to SNAPSHOTS_DIR that ends in ".snapshot". `out` is filled for NAME_SOURCE. */
enum name_class name_source(const char *relative, struct source *out);
/* Escape bytes that a path or a sha256sum line cannot carry as %XX: control bytes, '/', '\\', '%',
 * and a leading '.' or '-'. False when the result would not fit `size`, is empty, or is longer than NAME_MAX,
 * which no file's name may be. */
bool name_escape(const char *raw, char *out, size_t size);
/* Undo name_escape. False on text that name_escape does not produce. */
bool name_unescape(const char *escaped, char *out, size_t size);
/* The stem of a snapshot's files on EFS: the snapshot's own, but a leading '.', which would hide them, is
 * "%2E", and a leading "%2" is "%252". `out` of NAME_STORED bytes. */
enum { NAME_STORED = 256 };
void name_stored(const char *stem, char out[NAME_STORED]);
/* Undo name_stored. */
void name_from_stored(const char *stored, char out[NAME_STORED]);
/* Folder of a source below the frequency: "{collection}", "{collection}/%shard-N" or "%storage".
 * No escaped collection can start with "%s", so nothing collides. */
bool name_folder(const struct source *s, char *out, size_t size);
/* Is a folder below a frequency that of full-storage snapshots? Is one below a collection a shard's? */
bool name_is_storage(const char *folder);
bool name_is_shard(const char *folder);
/* One line for `sha256sum -c`, as coreutils writes it: with a name that holds a newline, a carriage return or
 * a backslash, the line begins with a backslash and these are escaped. False when `size` is too small. */
bool name_sum_line(const char *sha256, const char *name, char *out, size_t size);
#endif
