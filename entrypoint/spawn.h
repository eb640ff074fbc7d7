/* Starts the two children. fork, not vfork or posix_spawn: those hold the caller until the child's exec is
 * through, and a program on a hung mount would hold the supervisor with it. */
#ifndef ENTRYPOINT_SPAWN_H
#define ENTRYPOINT_SPAWN_H
#include "entrypoint/place.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { EXIT_CANNOT_RUN = 126, EXIT_NOT_FOUND = 127 };

/* Become `argv`, with signals at their defaults. Does not return: a program that cannot be run is said and
 * ends the process with 126 or 127. */
_Noreturn void spawn_become(char **argv);
/* A close-on-exec pipe tells the parent whether a child's program runs: it ends without a byte once it does,
 * and has one when it cannot be run. Not waited for, since a program on a hung mount never gets there. */
/* `runs` (-1: none) is the pipe's end to write to. Qdrant, with everything as the entrypoint was given it:
 * environment, descriptors, folder, process group (so that it stays in the foreground of a terminal). With
 * `recovery`, in recovery mode; with `confine`, without a way to EFS; with `place` (NULL: none), at
 * that place in a cluster. Its pid, or -1. */
pid_t spawn_qdrant(char **argv, bool recovery, bool confine, const struct place *place, int runs);
/* Whoever finds that place: the replicator's program, which writes it to `out`. Its pid, or -1. */
pid_t spawn_finder(char *path, const char *uri, int out);
/* What the replicator is given to speak to us, and is told in its environment. */
struct spawn_words {
    int gate;        /* to say that Qdrant may start, QDRANT_RESTORE_GATE; -1: Qdrant runs */
    int publishes;   /* to say at a stop that it has snapshots to publish, QDRANT_STOP_WORD; -1: none */
    int64_t hold_ms; /* how much of it Qdrant is held back for snapshots: QDRANT_STOP_HOLD; 0: not at all */
    unsigned grace_seconds; /* the budget of a stop, as it counts here: STOP_GRACE_SECONDS */
};
/* The replicator, behind Qdrant in everything and in a process group of its own. Its pid, or -1. */
pid_t spawn_replicator(char *path, const struct spawn_words *words, int runs);
/* One that was started while Qdrant was held back had nobody to be behind: from now on it has. */
void spawn_step_behind(pid_t group);
#endif
