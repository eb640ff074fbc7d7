/* qdrant-replicator: has Qdrant make snapshots, and puts every finished one on EFS. Reads the settings and
 * the arguments; daemon.c does the rest. */
#include "common/log.h"
#include "common/version.h"
#include "replicator/by_hand.h"
#include "replicator/daemon.h"
#include "replicator/identity.h"
#include "replicator/prints.h"
#include "replicator/status.h"
#include <curl/curl.h>
#include <libxml/parser.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

enum what { RUN, ONCE, SNAPSHOT };
struct arguments {
    enum what what;
    struct by_hand by_hand;
};

static int usage(FILE *to)
{
    (void)fprintf(
        to,
        "Usage: qdrant-replicator [--once] [SETTINGS]\n"
        "       qdrant-replicator snapshot [--no-wait] [SETTINGS] [COLLECTION...]\n"
        "       qdrant-replicator --help | --version\n"
        "Has Qdrant make snapshots on schedule, and puts every finished one on EFS, checked and compressed.\n"
        "  --once     publish what is there, prune, and exit; 0 only if all of it is safely on EFS\n"
        "  snapshot   have snapshots made now, of the collections given or of all that COLLECTIONS means, "
        "and\n"
        "             wait until the running replicator has put them on EFS (--no-wait: only until they are "
        "made)\n");
    settings_help(to);
    config_help(qdrant_rows, qdrant_row_count, to);
    config_help(option_rows, option_row_count, to);
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
    return wrong_use(text);
}

/* -1 to go on, else the exit code. */
static int arguments(struct arguments *a, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        bool took_next = false;
        if (strcmp(argv[i], "--help") == 0)
            return usage(stdout);
        if (strcmp(argv[i], "--version") == 0)
            return puts("qdrant-replicator " VERSION) < 0;
        if (i == 1 && strcmp(argv[i], "snapshot") == 0)
            a->what = SNAPSHOT;
        else if (a->what == SNAPSHOT && strcmp(argv[i], "--no-wait") == 0)
            a->by_hand.no_wait = true;
        else if (a->what == SNAPSHOT && argv[i][0] != '-')
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
    struct ledger_options l = {.base = x->settings.base,
                               .node = x->settings.node,
                               .qdrant_url = x->qdrant_settings.url,
                               .rpo_seconds = x->options.rpo,
                               .interval = x->options.interval,
                               .offset = x->options.offset,
                               .retention = &x->settings.retention,
                               .s3 = x->options.s3_bucket[0] != 0};
    xmlInitParser(); /* before there are threads */
    return curl_global_init(CURL_GLOBAL_DEFAULT) == 0 && (x->ledger = ledger_new(&l, time(NULL))) &&
           (x->key = key_new(&x->qdrant_settings, &x->stop)) &&
           (x->qdrant = qdrant_new(&x->qdrant_settings, x->key, &x->stop)) &&
           (x->identity = identity_new()) && (!x->options.fingerprint || (x->prints = prints_new()));
}

static void clean_up(struct context *x)
{
    prints_free(x->prints);
    identity_free(x->identity);
    qdrant_free(x->qdrant);
    key_free(x->key);
    ledger_free(x->ledger);
    curl_global_cleanup();
}

static int read_settings(struct context *x, struct err *e)
{
    int rc = settings_read(&x->settings, e) || qdrant_settings_read(&x->qdrant_settings, e) ||
                     options_read(&x->options, e)
                 ? -1
                 : 0;
    if (rc == 0 && x->options.status_listen[0])
        rc = status_check(x->options.status_listen, e);
    return rc == 0 ? key_file_check(&x->qdrant_settings, e) : rc;
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
    log_open("qdrant-replicator",
             a.what == SNAPSHOT && x.settings.log_level < LOG_WARN ? LOG_WARN : x.settings.log_level,
             x.settings.log_text);
    if (rc != 0)
        return wrong_use(e.text);
    if (!x.settings.efs_root[0] && !(a.what == SNAPSHOT && a.by_hand.no_wait))
        return wrong_use("EFS_ROOT is not set; use the folder where EFS is mounted");
    if (!set_up(&x)) {
        log_line(LOG_ERROR, "internal", "cannot start: no memory, or libcurl does not");
        log_close();
        return 1;
    }
    rc = a.what == SNAPSHOT ? by_hand_run(&x, &a.by_hand, &stops) : daemon_run(&x, a.what == ONCE, &stops);
    log_close();
    clean_up(&x);
    return rc;
}
