/* Settings: from the environment, or from flags of the same names (EFS_ROOT is --efs-root), checked as a
 * whole before anything starts. */
#ifndef EFS_REPO_SETTINGS_H
#define EFS_REPO_SETTINGS_H
#include "common/config.h"
#include "common/base/err.h"
#include "common/log.h"
#include "efs/repo/retention.h"
#include <limits.h>
#include <stdio.h>
struct settings {
    char efs_root[PATH_MAX];      /* EFS_ROOT without a trailing slash, may be empty */
    bool allow_local;             /* EFS_ALLOW_LOCAL: it may be on a local disk */
    char tier[72], cpu_arch[72];  /* TIER, CPU_ARCH */
    char base[PATH_MAX];          /* {EFS_ROOT}/{TIER}-{CPU_ARCH} */
    char snapshots_dir[PATH_MAX]; /* SNAPSHOTS_DIR without a trailing slash */
    char node[128];               /* NODE_NAME: a name that outlives the task; may be empty */
    struct retention retention;
    int level, threads;  /* COMPRESSION, COMPRESSION_THREADS */
    bool delta;          /* COMPRESSION=delta */
    unsigned local_keep; /* LOCAL_KEEP */
    char written_by[128];
    struct signing_key *sign;        /* SIGNING_KEY_FILE; NULL: manifests are not signed */
    struct verify_keys *verify_keys; /* VERIFY_KEYS; NULL: none */
    bool require_signature;          /* REQUIRE_SIGNATURE */
    enum log_level log_level;
    bool log_text;
};
/* Is `flag` ("--efs-root", "--efs-root=/efs") one of ours? Then puts its value, `next` when there is no '=',
 * into the environment, and *took_next says whether `next` was used. -1: ours, but without a value. 0: not
 * ours. Secrets have no flag, since everyone can read a process's arguments. */
int settings_flag(const char *flag, const char *next, bool *took_next);
/* The table for `--help`. */
void settings_help(FILE *to);
/* On a wrong value -1: `e` names the variable, the value (never a secret) and what is allowed. */
/* Do TIER or CPU_ARCH say which tree is meant? Empty is not set. */
bool settings_name_tree(void);
int settings_read(struct settings *s, struct err *e);
/* Read the keys, which are files, and have backups checked with them: for as long as the process lives.
 * `sign`: the private one, too. */
int settings_keys(struct settings *s, bool sign, struct err *e);
/* Why restores with these VERIFY_KEYS would pass over what a program with this SIGNING_KEY_FILE writes; NULL:
 * they would not. */
const char *settings_unsigned(const struct settings *s);
#endif
