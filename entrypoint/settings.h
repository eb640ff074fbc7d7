/* What the environment and the arguments ask of the entrypoint. Whatever is wrong here is said and replaced
 * by the default: a typing error in a backup setting must not keep Qdrant from starting. */
#ifndef ENTRYPOINT_SETTINGS_H
#define ENTRYPOINT_SETTINGS_H
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

struct settings {
    char **qdrant_argv;        /* what to run in Qdrant's place, as execvp wants it */
    char replicator[PATH_MAX]; /* what to run as the replicator */
    bool backups_wanted;       /* EFS_ROOT is set. Its value is never looked at: that is the replicator's */
    bool restore_wanted;       /* RESTORE_ON_EMPTY */
    bool clustered;            /* by Qdrant's variables, arguments or files */
    bool finds_cluster;  /* QDRANT_CLUSTER_DNS: its place in the cluster is looked for before it starts */
    const char *uri;     /* --uri of Qdrant's arguments; NULL: none */
    const char *storage; /* Qdrant's storage folder */
    bool recovery_allowed;
    const char *init_file; /* Qdrant's mark of a finished start */
    unsigned grace_seconds;
    bool confine;          /* CONFINE=all: EFS is out of Qdrant's reach */
    bool snapshot_on_stop; /* SNAPSHOT_ON_STOP, or on ECS */
};
/* The program to run as the replicator. */
void settings_replicator(char *out, size_t size);
/* A line for each, for --help. */
void settings_help(void);
void settings_read(struct settings *s, int argc, char **argv);
#endif
