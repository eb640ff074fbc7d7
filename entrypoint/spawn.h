/* Starts the two children. fork, not vfork or posix_spawn: those hold the caller until the child's exec is
 * through, and a program on a hung mount would hold the supervisor with it. */
#ifndef ENTRYPOINT_SPAWN_H
#define ENTRYPOINT_SPAWN_H
#include <stdbool.h>
#include <sys/types.h>

enum { EXIT_CANNOT_RUN = 126, EXIT_NOT_FOUND = 127 };

/* Become `argv`, with signals at their defaults. Does not return: a program that cannot be run is said and
 * ends the process with 126 or 127. */
_Noreturn void spawn_become(char **argv);
/* Qdrant, with everything as the entrypoint was given it: environment, descriptors, folder, process group (so
 * that it stays in the foreground of a terminal). With `recovery`, in recovery mode. Its pid, or -1. */
pid_t spawn_qdrant(char **argv, bool recovery);
/* The replicator, behind Qdrant in everything and in a process group of its own. Its pid, or -1. */
pid_t spawn_replicator(char *path);
#endif
