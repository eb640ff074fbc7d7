#include "replicator/cluster/start_command.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/files.h"
#include "common/base/listens.h"
#include "common/base/peer_uri.h"
#include "common/base/storage_state.h"
#include "common/log.h"
#include "efs/repo/mount.h"
#include "qdrant/config_files.h"
#include "replicator/cluster/start_state.h"
#include "replicator/core/options.h"
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* Milliseconds: how long to wait for a leader after the start before that is said. */
enum { SEEN_MS = 600000, P2P_PORT = 6335 };
static const char TOKEN_FILE[] = ".cluster-token";

/* --- settings */

static int read_word(struct starter *s, struct err *e)
{
    s->word = config_env("QDRANT_CLUSTER_FOUND", "");
    s->facts.word = *s->word != 0;
    return *s->word ? config_word("QDRANT_CLUSTER_FOUND", s->word, e) : 0;
}

static int read_settings(struct starter *s, struct err *e)
{
    unsigned given = listens_port(config_env("QDRANT__CLUSTER__P2P__PORT", ""));
    if (config_files_apply(e) != 0 || settings_read(&s->settings, e) != 0 ||
        settings_keys(&s->settings, true, e) != 0 || qdrant_settings_read(&s->qdrant_settings, e) != 0 ||
        options_storage(s->storage, e) != 0 || read_word(s, e) != 0)
        return -1;
    s->list = config_env("QDRANT_CLUSTER_DNS", "");
    s->given = config_env("QDRANT_URI", "");
    if (!*s->list)
        return err_set(e, EINVAL, "QDRANT_CLUSTER_DNS is not set", NULL,
                       "give the names or addresses of the nodes, such as qdrant-0,qdrant-1,qdrant-2");
    if (*s->given && (strlen(s->given) >= sizeof s->own || !cluster_uri_allowed(s->given)))
        return config_wrong(e, "QDRANT_URI", s->given, "this node's address, such as http://qdrant-0:6335");
    s->port.port = given > 0 ? given : P2P_PORT;
    s->port.tls = listens_true(config_env("QDRANT__CLUSTER__P2P__ENABLE_TLS", "false"));
    return 0;
}

/* --- this disk */

/* Of the disk, for as long as it lives. */
static int take_token(struct starter *s, struct err *e)
{
    unsigned char raw[START_TOKEN_BYTES];
    char path[PATH_MAX];
    struct err why = {0};
    if (files_join(path, sizeof path, s->storage, TOKEN_FILE, e) != 0)
        return -1;
    cleanup_free char *text = files_get(path, 2 * START_TOKEN_BYTES, &why);
    if (text && strlen(text) == 2 * START_TOKEN_BYTES) {
        (void)snprintf(s->token, sizeof s->token, "%s", text);
        return 0;
    }
    if (getrandom(raw, sizeof raw, 0) != (ssize_t)sizeof raw)
        return err_set(e, errno, "cannot make a token for", path, NULL);
    for (size_t i = 0; i < sizeof raw; i++)
        (void)snprintf(s->token + 2 * i, 3, "%02x", raw[i]);
    if (mkdir(s->storage, 0755) != 0 && errno != EEXIST)
        return err_set(e, errno, "cannot make Qdrant's folder", s->storage, NULL);
    return files_put(s->storage, TOKEN_FILE, s->token, e);
}

static int look_at_disk(struct starter *s, struct err *e)
{
    if (raft_state_read(s->storage, &s->raft, e) != 0)
        return -1;
    int has = s->raft.member ? 0 : storage_has_collections(s->storage);
    if (has < 0)
        return err_set(e, errno, "cannot look into Qdrant's folder", s->storage, NULL);
    s->facts.disk = s->raft.member ? START_DISK_MEMBER : has ? START_DISK_ALONE : START_DISK_EMPTY;
    return 0;
}

/* A start that came to nothing leaves a state that holds Qdrant to it: as a founder, or as one that joins. On
 * a disk without a collection nothing hangs on it, nor on the log beside it. */
static int clear_disk(const struct starter *s, bool founds, struct err *e)
{
    char path[PATH_MAX], wal[PATH_MAX];
    if (!s->raft.there || s->raft.alone == founds)
        return 0;
    if (files_join(path, sizeof path, s->storage, "raft_state.json", e) != 0 ||
        files_join(wal, sizeof wal, s->storage, "collections_meta_wal", e) != 0)
        return -1;
    if (s->facts.disk != START_DISK_EMPTY)
        return err_set(e, 0, "there are collections, and this state cannot found a cluster:", path,
                       "start Qdrant without QDRANT_CLUSTER_DNS, back them up, and begin with an empty disk");
    if (unlink(path) != 0 && errno != ENOENT)
        return err_set(e, errno, "cannot delete", path, NULL);
    return files_remove_dir(wal, e);
}

/* --- the way */

static int tell(struct starter *s, enum start_what what, struct err *e)
{
    const char *own = s->addresses.own;
    if (what == START_JOIN) {
        if (clear_disk(s, false, e) != 0)
            return -1;
        log_line(LOG_INFO, "cluster_joins", "this node, %s, joins the cluster of %s", own, s->meeting.uri);
        (void)printf("join %s %s\n", own, s->meeting.uri);
    } else if (what == START_FOUND) {
        if (clear_disk(s, true, e) != 0)
            return -1;
        log_line(LOG_WARN, "cluster_founds",
                 "this node, %s, founds a cluster: none of %u addresses answers, and it has the claim", own,
                 s->asked);
        (void)printf("found %s\n", own);
    } else {
        log_line(LOG_INFO, "cluster_starts",
                 "this node starts with the part in a cluster that its disk has%s%s", *own ? ", as " : "",
                 own);
        (void)printf("run%s%s\n", *own ? " " : "", own);
    }
    return fflush(stdout) == 0 ? 0 : err_set(e, errno, "cannot tell the entrypoint", NULL, NULL);
}

/* With a disk that has its part nothing is waited for: what its peers know of it is asked of nobody, unless
 * it is an address that this machine has no more. */
static void find_run_address(struct starter *s)
{
    struct err ignored;
    if (*s->given)
        (void)snprintf(s->addresses.own, sizeof s->addresses.own, "%s", s->given);
    else if (s->raft.uri[0] && cluster_address_stays(s->raft.uri))
        (void)snprintf(s->addresses.own, sizeof s->addresses.own, "%s", s->raft.uri);
    else
        (void)cluster_addresses_find(s->list, "", &s->port, &s->addresses, &ignored);
    if (s->raft.uri[0] && s->addresses.own[0] && !peer_uri_same(s->raft.uri, s->addresses.own))
        log_line(LOG_WARN, "cluster_address",
                 "this node was at %s and is at %s: Qdrant tells the peers that it knows. Where all nodes "
                 "have new addresses at once, none finds another, and each ends with 101: "
                 "docs/cluster-start.md, \"Addresses\"",
                 s->raft.uri, s->addresses.own);
}

/* Until it is right to start. -1: a setting is wrong. */
static int decide(struct starter *s, enum start_what *what, struct err *e)
{
    struct founding found = {0};
    char efs[600] = "";
    enum wish wish = WISH_NOTHING;
    if (s->facts.disk == START_DISK_MEMBER) {
        find_run_address(s);
        *what = START_RUN;
        return 0;
    }
    start_begin_efs(s);
    for (;; clock_sleep(START_LOOK_MS)) {
        if (start_look_at_peers(s, e) != 0)
            return -1;
        start_exchange(s, wish, &found, efs); /* afterwards: that takes its time */
        *what = start_decide(&s->facts);
        wish = *what == START_CLAIM ? WISH_CLAIM : *what == START_TELL ? WISH_TELL : WISH_NOTHING;
        if (*what < START_WAIT_ADDRESS && wish == WISH_NOTHING)
            break;
        start_say_wait(s, *what, &found, efs);
    }
    start_exchange(s, WISH_NOTHING, &found, efs);
    return 0;
}

/* --- afterwards */

static bool await_leader(struct starter *s, char peer[24])
{
    struct qdrant *q = qdrant_new(&s->qdrant_settings, s->key, NULL);
    struct cluster_meeting own = {0};
    struct err e = {0};
    bool said = false;
    for (int64_t late = clock_ms() + SEEN_MS; q; clock_sleep(2 * START_LOOK_MS)) {
        if (cluster_meet(q, "", "", &own, &e) == 0 && own.joinable)
            break;
        if (!said && clock_ms() >= late)
            log_line(LOG_WARN, "cluster_record",
                     "this node's Qdrant has not told of a leader for %d minutes%s%s; until it does, EFS "
                     "does not have that the cluster is there",
                     SEEN_MS / 60000, e.text[0] ? ": " : "", e.text);
        said = said || clock_ms() >= late;
    }
    (void)snprintf(peer, 24, "%s", own.id);
    bool asked = q != NULL;
    qdrant_free(q);
    return asked;
}

/* Whichever way it started: a cluster that has a leader is on record from now on, and the word is used. */
static void leave_record(struct starter *s)
{
    char peer[24];
    if (!s->settings.efs_root[0] || !await_leader(s, peer))
        return;
    struct founder me = start_founder(s, s->addresses.own);
    for (bool said = false;; said = true, clock_sleep(START_SAY_AGAIN_MS / 2)) {
        struct err e = {0};
        int rc = mount_efs_is_local(&s->settings) ? err_set(&e, 0, "EFS is not mounted at", me.root, NULL)
                                                  : founding_seen(&me, peer, &e);
        if (rc == 0)
            return;
        if (!said)
            log_line(LOG_ERROR, "cluster_record",
                     "that the cluster is there cannot be left on EFS: %s; it is tried again", e.text);
    }
}

int start_command_run(void)
{
    static struct starter s; /* the thread on EFS may outlive main */
    struct err e = {0};
    enum start_what what = START_WHATS;
    int rc = read_settings(&s, &e);
    log_open("qdrant-replicator", s.settings.log_level, s.settings.log_text);
    if (rc != 0) {
        log_line(LOG_ERROR, "wrong_setting", "%s", e.text);
        log_close();
        return EXIT_SETTING;
    }
    s.said = START_WHATS;
    s.begun = s.heard = clock_ms();
    bool good = curl_global_init(CURL_GLOBAL_DEFAULT) == 0 && pthread_mutex_init(&s.mutex, NULL) == 0 &&
                (s.key = key_new(&s.qdrant_settings, NULL));
    if (!good)
        (void)err_set(&e, ENOMEM, "cannot start", NULL, NULL);
    if (good)
        good = look_at_disk(&s, &e) == 0 && (s.raft.member || take_token(&s, &e) == 0);
    if (good && decide(&s, &what, &e) != 0) {
        log_line(LOG_ERROR, "wrong_setting", "%s", e.text);
        log_close();
        _exit(EXIT_SETTING);
    }
    if (!good || tell(&s, what, &e) != 0) {
        log_line(LOG_ERROR, "cluster_start_failed", "%s; it is tried again", e.text);
        log_close();
        _exit(1);
    }
    leave_record(&s);
    log_close();
    _exit(0);
}
