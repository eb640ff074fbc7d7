/* What Qdrant's configuration files say, without reading them: they are YAML, and PID 1 is libc alone. The
 * replicator's program reads them (`qdrant-replicator qdrant-settings`) and tells, in a moment or not at all;
 * what it tells counts here for those of Qdrant's variables that are not set. The environment stays as the
 * container was given it, since Qdrant's is a copy. */
#ifndef ENTRYPOINT_QDRANT_FILES_H
#define ENTRYPOINT_QDRANT_FILES_H
#include <stdbool.h>

/* The value of one of Qdrant's arguments (NULL at the end), such as "--uri", or NULL. *there: it is among
 * them, with a value or without. */
const char *qdrant_files_argument(char *const *argv, const char *flag, bool *there);
/* That of --config-path. */
const char *qdrant_files_path(char *const *argv);
/* That is the file to read. Without it, it is QDRANT_CONFIG_PATH, unless `is_qdrant`: Qdrant (1.18.2,
 * src/main.rs) knows no such variable, but a program in its place may be one that starts it with the file.
 * False: the variable does not count. */
bool qdrant_files_note(char *const *argv, bool is_qdrant);
/* The same by the arguments of process 1. */
void qdrant_files_note_init(void);
/* Where there are such files, ask `program`, for at most so many milliseconds. -1: it did not tell, and errno
 * says why. */
int qdrant_files_ask(const char *program, int within_ms);
/* A variable's value, for those that are not set by what was told; or NULL. */
const char *qdrant_files_value(const char *name);
/* In the child that becomes the replicator: its QDRANT_CONFIG_PATH is the file to read. */
void qdrant_files_tell(void);
#endif
