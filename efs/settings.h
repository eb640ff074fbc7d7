/* Settings from the environment, checked as a whole before anything starts. */
#ifndef EFS_SETTINGS_H
#define EFS_SETTINGS_H
#include "common/err.h"
#include "efs/tier.h"
#include <limits.h>
enum { EXIT_SETTING = 64 }; /* EX_USAGE of sysexits.h; the entrypoint does not restart after it */
struct settings {
    char efs_root[PATH_MAX];      /* EFS_ROOT, may be empty */
    char base[PATH_MAX];          /* {EFS_ROOT}/{TIER}-{CPU_ARCH} */
    char snapshots_dir[PATH_MAX]; /* SNAPSHOTS_DIR */
    char node[128];               /* NODE_NAME: a name that outlives the task; may be empty */
    struct retention retention;
    int level, threads;           /* COMPRESSION, COMPRESSION_THREADS */
    unsigned local_keep;          /* LOCAL_KEEP */
    char qdrant_url[512];         /* QDRANT_URL, else http://QDRANT_FQDN:6333 */
    char api_key[1024];
    char written_by[128];
};
/* On a wrong value -1: `e` names the variable, the value (never a secret) and what is allowed. */
int settings_read(struct settings *s, struct err *e);
#endif
