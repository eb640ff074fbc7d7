/* qdrant-replicator: has Qdrant make snapshots, and puts every finished one on EFS. Reads the settings and
 * the arguments; daemon.c does the rest. */
#include "common/base/confine.h"
#include "common/log.h"
#include "common/base/version.h"
#include "qdrant/config_files.h"
#include "replicator/cluster/start_command.h"
#include "replicator/snapshot/snapshot_command.h"
#include "replicator/daemon.h"
#include "efs/drill/scratch.h"
#include "replicator/core/confinement.h"
#include "replicator/core/disk.h"
#include "replicator/status/ecs_task.h"
#include "replicator/core/snapshot_fingerprints.h"
#include "replicator/core/last_aliases.h"
#include "replicator/status/status_http.h"
#include "replicator/status/state.h"
#include <curl/curl.h>
#include <errno.h>
#include <limits.h>
#include <libxml/parser.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

enum what { RUN, ONCE, SNAPSHOT };
struct arguments {
    enum what what;
    struct snapshot_command by_hand;
};

static int usage(FILE *to)
{
    (void)fprintf(
        to,
        "Usage: qdrant-replicator [--once] [SETTINGS]\n"
        "       qdrant-replicator snapshot [--no-wait | --pin] [--note TEXT] [SETTINGS] [COLLECTION...]\n"
        "       qdrant-replicator qdrant-settings | cluster-start | --help | --version\n"
        "Has Qdrant make snapshots on schedule, and puts every finished one on EFS, checked and compressed.\n"
        "  --once     publish what is there, prune, and exit; 0 only if all of it is safely on EFS, and in\n"
        "             the bucket, if there is one\n"
        "  snapshot   have snapshots made now, of the collections given or of all that COLLECTIONS means, "
        "and\n"
        "             wait until the running replicator has put them on EFS (--no-wait: only until they are "
        "made).\n"
        "             --pin: RETENTION never lets them go. --note: and why, which qdrant-efs ls tells\n"
        "  qdrant-settings   print what Qdrant's configuration files say beyond its variables, but for "
        "keys\n"
        "  cluster-start     wait until this node of a cluster may start, and print how: what the entrypoint "
        "asks\n"
        "             where QDRANT_CLUSTER_DNS is set\n");
    settings_help(to);
    config_help(qdrant_rows, qdrant_row_count, to);
    config_help(option_rows, option_row_count, to);
    (void)fprintf(to, "From the environment alone:\n");
    config_help(alone_rows, alone_row_count, to);
    return fprintf(to, "Exit codes: 0 stopped as asked, or all done; 1 failed; 64 a setting or argument is "
                       "wrong.\n") < 0;
}

/* Before the first thread starts: each inherits the mask, and one without it would die of a SIGTERM that
 * was meant for the main thread. SIGUSR1/2 and HUP belong to Qdrant; the entrypoint does not send them here.
 */
static bool block_signals(sigset_t *stops)
{
    sigset_t all;
    return sigemptyset(stops) == 0 && sigaddset(stops, SIGTERM) == 0 && sigaddset(stops, SIGINT) == 0 &&
           (all = *stops, sigaddset(&all, SIGPIPE)) == 0 && sigprocmask(SIG_BLOCK, &all, NULL) == 0;
}

static int wrong_use(const char *text)
{
    log_line(LOG_ERROR, "wrong_setting", "%s", text);
    log_close();
    return EXIT_SETTING;
}

static int flag(const char *arg, const char *next, bool *took_next)
{
    int rc = settings_flag(arg, next, took_next);
    if (rc == 0)
        rc = config_flag(qdrant_rows, qdrant_row_count, arg, next, took_next);
    return rc != 0 ? rc : config_flag(option_rows, option_row_count, arg, next, took_next);
}

static int unknown(const char *arg, int rc)
{
    char text[256];
    int n = (int)strcspn(arg, "="); /* what follows may be a secret */
    (void)snprintf(text, sizeof text, "%s %.*s; see qdrant-replicator --help",
                   rc < 0 ? "a value is missing after" : "no such argument:", n < 100 ? n : 100, arg);
    /* The settings are not read yet. */
    log_open("qdrant-replicator", LOG_INFO, strcmp(config_env("LOG_FORMAT", ""), "text") == 0);
    return wrong_use(text);
}

/* -1 to go on, else the exit code. */
static int arguments(struct arguments *a, int argc, char **argv)
{
    for (int i = 1; i < argc && argv[i]; i++) {
        bool took_next = false;
        if (strcmp(argv[i], "--help") == 0)
            return usage(stdout);
        if (strcmp(argv[i], "--version") == 0)
            return puts("qdrant-replicator " VERSION) < 0;
        if (i == 1 && strcmp(argv[i], "qdrant-settings") == 0)
            return config_files_print(stdout);
        if (i == 1 && strcmp(argv[i], "cluster-start") == 0)
            return argv[2] ? unknown(argv[2], 0) : start_command_run();
        if (i == 1 && strcmp(argv[i], "snapshot") == 0)
            a->what = SNAPSHOT;
        else if (a->what == SNAPSHOT && strcmp(argv[i], "--no-wait") == 0)
            a->by_hand.no_wait = true;
        else if (a->what == SNAPSHOT && strcmp(argv[i], "--pin") == 0)
            a->by_hand.pin = true;
        else if (a->what == SNAPSHOT && strcmp(argv[i], "--note") == 0 && argv[i + 1]) {
            a->by_hand.note = argv[i + 1];
            took_next = true;
        } else if (a->what == SNAPSHOT && argv[i][0] != '-')
            argv[a->by_hand.n++] = argv[i]; /* to the front, over what was read already */
        else if (a->what == RUN && strcmp(argv[i], "--once") == 0)
            a->what = ONCE;
        else {
            int rc = flag(argv[i], argv[i + 1], &took_next);
            if (rc <= 0)
                return unknown(argv[i], rc);
        }
        i += took_next;
    }
    a->by_hand.collections = argv;
    return -1;
}

static bool set_up(struct context *x)
{
    struct status_options l = {.base = x->settings.base,
                               .node = x->settings.node,
                               .qdrant_url = x->qdrant_settings.url,
                               .rpo_seconds = x->options.rpo,
                               .interval = x->options.interval,
                               .offset = x->options.offset,
                               .retention = &x->settings.retention,
                               .s3 = x->options.s3_bucket[0] != 0,
                               .full = x->options.full && x->options.interval > 0,
                               .full_tier = x->options.full_tier};
    struct disk_places places = {
        .snapshots = x->settings.snapshots_dir, .storage = x->options.storage, .temp = x->options.temp};
    xmlInitParser(); /* before there are threads */
    return curl_global_init(CURL_GLOBAL_DEFAULT) == 0 && (x->status = status_new(&l, time(NULL))) &&
           (x->disk = disk_new(&places, x->options.min_free, x->options.wal_mib)) &&
           (x->key = key_new(&x->qdrant_settings, &x->stop)) &&
           (x->qdrant = qdrant_new(&x->qdrant_settings, x->key, &x->stop)) &&
           (x->ecs_task = ecs_task_new()) && (x->last_aliases = last_aliases_new()) &&
           (!x->options.fingerprint || (x->fingerprints = snapshot_fingerprints_new()));
}

static void clean_up(struct context *x)
{
    snapshot_fingerprints_free(x->fingerprints);
    last_aliases_free(x->last_aliases);
    ecs_task_free(x->ecs_task);
    qdrant_free(x->qdrant);
    key_free(x->key);
    disk_free(x->disk);
    status_free(x->status);
    curl_global_cleanup();
}

/* Files that others write, also while we start: a key that is being rotated, a volume that comes late. They
 * are read again at each request, so whoever runs on waits for them; with exit code 64 there would be no
 * backups ever again. */
static int check_files(const struct context *x, bool runs_on, struct err *e)
{
    struct err key = {0}, ca = {0};
    if (key_file_check(&x->qdrant_settings, &key) == 0 && qdrant_ca_check(&x->qdrant_settings, &ca) == 0)
        return 0;
    *e = key.text[0] ? key : ca;
    if (!runs_on)
        return -1;
    log_line(
        LOG_ERROR, "file_awaited",
        "%s. Until it is there, Qdrant cannot be asked: no snapshots are made on schedule; those that Qdrant "
        "has made are published",
        e->text);
    return 0;
}

static int listen_check(const char *listen, struct err *e)
{
    return status_http_check(listen, e) == 0
               ? 0
               : config_wrong(e, "STATUS_LISTEN", listen,
                              "off, or ADDRESS:PORT, such as 127.0.0.1:6336 or [::1]:6336, with the address "
                              "as numbers");
}

/* Qdrant would put its snapshots there itself, and none would come to SNAPSHOTS_DIR. */
static int check_snapshots_storage(struct err *e)
{
    static const char name[] = "QDRANT__STORAGE__SNAPSHOTS_CONFIG__SNAPSHOTS_STORAGE";
    const char *where = config_env(name, "local");
    return strcmp(where, "local") == 0
               ? 0
               : config_wrong(
                     e, name, where,
                     "local: else Qdrant keeps its snapshots elsewhere itself (snapshots_storage in its "
                     "configuration), and nothing would be backed up");
}

static int read_settings(struct context *x, struct err *e)
{
    int rc = config_files_apply(e) || check_snapshots_storage(e) || settings_read(&x->settings, e) ||
                     qdrant_settings_read(&x->qdrant_settings, e) || options_read(&x->options, e)
                 ? -1
                 : 0;
    if (rc == 0)
        rc = settings_keys(&x->settings, true, e);
    if (rc == 0 && x->options.status_listen[0])
        rc = listen_check(x->options.status_listen, e);
    return rc;
}

/* Before the first thread starts. A kernel that cannot is told of by daemon_run. */
static int confine(const struct context *x, struct err *e)
{
    char scratch[PATH_MAX] = "";
    const char *given = config_env("DRILL_DIR", "");
    if (!x->options.confine_self || confine_version() == 0)
        return 0;
    if (x->options.drills.period > 0 && *given)
        (void)snprintf(scratch, sizeof scratch, "%s", given);
    else if (x->options.drills.period > 0 && !scratch_place(x->settings.snapshots_dir, scratch))
        return err_set(e, ENAMETOOLONG, "cannot allow", x->settings.snapshots_dir, NULL);
    return confinement_enter(x, scratch, e);
}

int main(int argc, char **argv)
{
    static struct context x; /* threads may outlive main */
    struct arguments a = {.what = RUN};
    struct err e = {0};
    sigset_t stops;
#ifndef __SANITIZE_ADDRESS__            /* the leak checker must be able to look */
    if (prctl(PR_SET_DUMPABLE, 0) != 0) /* no API key in a core dump, nor in /proc/PID/environ for others */
        perror("prctl");
#endif
    int rc = arguments(&a, argc, argv);
    if (rc >= 0)
        return rc;
    if (!block_signals(&stops))
        return 1;
    rc = read_settings(&x, &e);
    struct err open_to_all = {0};
    int confined = rc == 0 && x.settings.efs_root[0] && a.what != SNAPSHOT ? confine(&x, &open_to_all) : 0;
    log_open("qdrant-replicator",
             a.what == SNAPSHOT && x.settings.log_level < LOG_WARN ? LOG_WARN : x.settings.log_level,
             x.settings.log_text);
    if (rc != 0 || check_files(&x, a.what == RUN, &e) != 0)
        return wrong_use(e.text);
    if (!x.settings.efs_root[0] && !(a.what == SNAPSHOT && a.by_hand.no_wait))
        return wrong_use("EFS_ROOT is not set; use the folder where EFS is mounted");
    if (confined != 0)
        log_line(LOG_WARN, "not_confined", "the replicator may open what its user may: %s", open_to_all.text);
    if (!set_up(&x)) {
        log_line(LOG_ERROR, "internal", "cannot start: no memory, or libcurl does not");
        log_close();
        return 1;
    }
    rc = a.what == SNAPSHOT ? snapshot_command_run(&x, &a.by_hand, &stops)
                            : daemon_run(&x, a.what == ONCE, &stops);
    log_close();
    clean_up(&x);
    return rc;
}
