#include "replicator/cluster/start_command.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/files.h"
#include "common/base/listens.h"
#include "common/base/storage_state.h"
#include "common/base/thread.h"
#include "common/log.h"
#include "efs/repo/mount.h"
#include "efs/repo/settings.h"
#include "qdrant/cluster.h"
#include "qdrant/config_files.h"
#include "qdrant/raft_state.h"
#include "replicator/cluster/addresses.h"
#include "replicator/cluster/start_rule.h"
#include "replicator/core/options.h"
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* Milliseconds. OLD: what EFS told then is not known any more. SEEN: how long to wait for a leader after the
 * start. */
enum {
    LOOK_MS = 1000,
    OLD_MS = 15000,
    SAY_AGAIN_MS = 60000,
    SEEN_MS = 600000,
    P2P_PORT = 6335,
    TOKEN_BYTES = 16
};
static const char TOKEN_FILE[] = ".cluster-token";

struct starter {
    struct settings settings;
    struct qdrant_settings qdrant_settings;
    struct key *key;
    const char *list, *given, *word; /* QDRANT_CLUSTER_DNS, QDRANT_URI, QDRANT_CLUSTER_FOUND or "first" */
    struct cluster_port port;
    char storage[PATH_MAX];
    char token[2 * TOKEN_BYTES + 1];
    struct raft_state raft;
    struct start_facts facts;
    struct cluster_addresses addresses;
    char unknown[256];              /* a name of the list that nobody knows */
    struct cluster_meeting meeting; /* with the peer that has a leader */
    char trouble[600];              /* what one said that cannot take us */
    int64_t heard;                  /* when anybody answered last */
    enum start_what said;
    int64_t said_at;
    pthread_mutex_t mutex; /* for all below, which the thread on EFS fills */
    bool wants;            /* the claim */
    struct founding founding;
    int64_t looked; /* when it told that; 0: never */
    char efs_trouble[600];
    char own[300]; /* as addresses.own */
};

/* --- settings */

static int read_word(struct starter *s, struct err *e)
{
    s->word = config_env("QDRANT_CLUSTER_FOUND", "");
    s->facts.word = *s->word != 0;
    if (!*s->word)
        s->word = FOUNDING_FIRST;
    if (config_word("QDRANT_CLUSTER_FOUND", s->word, e) != 0)
        return -1;
    if (strlen(s->word) > 64 || (s->facts.word && strcmp(s->word, FOUNDING_FIRST) == 0))
        return config_wrong(
            e, "QDRANT_CLUSTER_FOUND", s->word,
            "a word of at most 64 letters, digits, '.', '_' and '-', and another one than \"first\"");
    return 0;
}

static int read_settings(struct starter *s, struct err *e)
{
    unsigned given = listens_port(config_env("QDRANT__CLUSTER__P2P__PORT", ""));
    if (config_files_apply(e) != 0 || settings_read(&s->settings, e) != 0 ||
        qdrant_settings_read(&s->qdrant_settings, e) != 0 || options_storage(s->storage, e) != 0 ||
        read_word(s, e) != 0)
        return -1;
    s->list = config_env("QDRANT_CLUSTER_DNS", "");
    s->given = config_env("QDRANT_URI", "");
    if (!*s->list)
        return config_wrong(e, "QDRANT_CLUSTER_DNS", "", "names or addresses of the nodes");
    if (strpbrk(s->given, " \t\r\n") || strlen(s->given) >= sizeof s->own)
        return config_wrong(e, "QDRANT_URI", s->given, "this node's address, such as http://qdrant-0:6335");
    s->port.port = given > 0 ? given : P2P_PORT;
    s->port.tls = listens_true(config_env("QDRANT__CLUSTER__P2P__ENABLE_TLS", "false"));
    return 0;
}

/* --- this disk */

/* Of the disk, for as long as it lives. */
static int take_token(struct starter *s, struct err *e)
{
    unsigned char raw[TOKEN_BYTES];
    char path[PATH_MAX];
    struct err why = {0};
    if (files_join(path, sizeof path, s->storage, TOKEN_FILE, e) != 0)
        return -1;
    cleanup_free char *text = files_get(path, 2 * TOKEN_BYTES, &why);
    if (text && strlen(text) == 2 * TOKEN_BYTES) {
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
 * a disk without a collection nothing hangs on it. */
static int clear_disk(const struct starter *s, bool founds, struct err *e)
{
    char path[PATH_MAX];
    if (!s->raft.there || s->raft.alone == founds || s->facts.disk != START_DISK_EMPTY)
        return 0;
    if (files_join(path, sizeof path, s->storage, "raft_state.json", e) != 0)
        return -1;
    return unlink(path) == 0 || errno == ENOENT ? 0 : err_set(e, errno, "cannot delete", path, NULL);
}

/* --- peers */

/* Did somebody answer, though not as hoped for? Of a Qdrant that is not there nobody does. */
static bool is_an_answer(const struct err *e)
{
    return e->code != ECONNREFUSED && e->code != ETIMEDOUT && e->code != ECANCELED;
}

static void meet(struct starter *s, const char *uri)
{
    struct qdrant_settings there = s->qdrant_settings;
    struct cluster_meeting meeting;
    struct err e = {0};
    if (!qdrant_url_at(s->qdrant_settings.url, uri, there.url, sizeof there.url))
        return;
    struct qdrant *q = qdrant_new(&there, s->key, NULL);
    int rc = q ? cluster_meet(q, s->addresses.own, &meeting, &e) : -1;
    qdrant_free(q);
    explicit_bzero(&there, sizeof there);
    if (rc != 0 && !is_an_answer(&e))
        return;
    s->facts.answers = true;
    s->facts.leader = rc == 0 && meeting.leader;
    if (s->facts.leader)
        s->meeting = meeting;
    else if (rc != 0)
        (void)snprintf(s->trouble, sizeof s->trouble, "%.300s: %.290s", uri, e.text);
    else
        (void)snprintf(s->trouble, sizeof s->trouble, "%.300s %s", uri,
                       meeting.enabled ? "has no leader yet" : "is a Qdrant without a cluster");
    s->facts.taken = s->facts.leader && meeting.taken[0] && meeting.shards > 0;
}

static int look_at_peers(struct starter *s, struct err *e)
{
    if (cluster_addresses_find(s->list, s->given, &s->port, &s->addresses, s->unknown, e) != 0)
        return -1;
    s->facts.addressed = s->addresses.own[0] != 0;
    s->facts.leader = s->facts.answers = s->facts.taken = false;
    for (size_t i = 0; i < s->addresses.n && !s->facts.leader; i++)
        if (!s->addresses.v[i].own)
            meet(s, s->addresses.v[i].uri);
    if (s->facts.answers)
        s->heard = clock_ms();
    s->facts.silent_ms = clock_ms() - s->heard;
    return 0;
}

/* --- who may found */

static void ask_efs(struct starter *s)
{
    struct err e = {0};
    char own[300];
    (void)pthread_mutex_lock(&s->mutex);
    bool wants = s->wants;
    memcpy(own, s->own, sizeof own);
    (void)pthread_mutex_unlock(&s->mutex);
    struct founder me = {.root = s->settings.efs_root,
                         .base = s->settings.base,
                         .word = s->word,
                         .token = s->token,
                         .node = s->settings.node,
                         .uri = own};
    struct founding found = {0};
    int rc = mount_efs_is_local(&s->settings) ? err_set(&e, 0, "EFS is not mounted at", s->settings.efs_root,
                                                        "EFS_ALLOW_LOCAL=1 allows a local folder")
                                              : founding_look(&me, &found, &e);
    if (rc == 0 && wants && (found.state == FOUNDING_FREE || found.state == FOUNDING_LEFT)) {
        rc = founding_claim(&me, &found, &e);
        if (rc == 0)
            log_line(LOG_INFO, "cluster_claimed", "this node has the claim to found the cluster (%s, %u)",
                     s->word, found.n + 1);
        if (rc >= 0)
            rc = founding_look(&me, &found, &e);
    }
    (void)pthread_mutex_lock(&s->mutex);
    s->founding = rc == 0 ? found : (struct founding){0};
    s->looked = clock_ms();
    (void)snprintf(s->efs_trouble, sizeof s->efs_trouble, "%.599s", rc == 0 ? "" : e.text);
    (void)pthread_mutex_unlock(&s->mutex);
}

static void *efs_loop(void *arg)
{
    struct starter *s = arg;
    for (;;) {
        ask_efs(s);
        clock_sleep(LOOK_MS);
    }
    return NULL;
}

static void begin_efs(struct starter *s)
{
    pthread_t thread;
    (void)snprintf(s->efs_trouble, sizeof s->efs_trouble, "%s",
                   s->settings.efs_root[0] ? "it has not answered yet" : "EFS_ROOT is not set");
    if (s->settings.efs_root[0] && thread_start(&thread, "efs-claim", efs_loop, s) != 0)
        (void)snprintf(s->efs_trouble, sizeof s->efs_trouble, "there is no thread left for it");
}

/* The thread's news, and what it is to try. What it told a while ago counts no more: a claim grows old. */
static void exchange(struct starter *s, bool wants, struct founding *found, char trouble[600])
{
    (void)pthread_mutex_lock(&s->mutex);
    int64_t age = clock_ms() - s->looked;
    s->wants = wants;
    memcpy(s->own, s->addresses.own, sizeof s->own);
    *found = age < OLD_MS ? s->founding : (struct founding){0};
    (void)snprintf(trouble, 600, "%s", s->efs_trouble);
    if (age >= OLD_MS && s->looked > 0)
        (void)snprintf(trouble, 600, "it has not answered for %lld s", (long long)(age / 1000));
    (void)pthread_mutex_unlock(&s->mutex);
    s->facts.claim = found->state;
}

/* --- telling */

static void say_wait(struct starter *s, enum start_what what, const struct founding *found, const char *efs)
{
    const char *own = s->addresses.own;
    int64_t now = clock_ms();
    if (what == START_WAIT_SETTLE || what == START_CLAIM ||
        (what == s->said && now < s->said_at + SAY_AGAIN_MS))
        return;
    s->said = what;
    s->said_at = now;
    switch (what) {
    case START_WAIT_ADDRESS:
        log_line(LOG_WARN, "cluster_waits",
                 "Qdrant is not started yet: this machine has no address that other nodes could reach; set "
                 "QDRANT_URI "
                 "to this node's, such as http://qdrant-0:6335");
        break;
    case START_WAIT_TAKEN:
        log_line(
            LOG_ERROR, "cluster_waits",
            "Qdrant is not started yet: the cluster's peer %s has this node's address %s and %u shards; it "
            "is a "
            "node that was lost. This node joins when that peer has none: docker/RUNBOOK.md, \"A node of a "
            "cluster is lost\"",
            s->meeting.taken, own, s->meeting.shards);
        break;
    case START_WAIT_ALONE:
        log_line(
            LOG_ERROR, "cluster_waits",
            "Qdrant is not started: its disk has collections of a Qdrant without a cluster, and there is a "
            "cluster at %s already, which would not have them. Back them up, empty %s, and restore them into "
            "the cluster; or take this node out of QDRANT_CLUSTER_DNS",
            s->meeting.uri, s->storage);
        break;
    case START_WAIT_LEADER:
        log_line(LOG_WARN, "cluster_waits", "Qdrant is not started yet: %s", s->trouble);
        break;
    case START_WAIT_EFS:
        log_line(LOG_ERROR, "cluster_waits",
                 "Qdrant is not started yet: no peer answers%s%s, and who may found a cluster is on EFS: %s",
                 s->unknown[0] ? ", nobody knows the name " : "", s->unknown, efs);
        break;
    case START_WAIT_FOUNDER:
        log_line(LOG_INFO, "cluster_waits", "Qdrant is not started yet: %s founds the cluster (%s)",
                 found->node[0] ? found->node : "another node", found->uri);
        break;
    case START_WAIT_PEERS:
        log_line(LOG_WARN, "cluster_waits",
                 "Qdrant is not started yet: no peer answers%s%s, and EFS has the record or the backups of "
                 "an earlier "
                 "cluster or node, beside which no second one is founded. Its nodes may be starting. If all "
                 "of them "
                 "are lost, set QDRANT_CLUSTER_FOUND to a word that was not used before, on all nodes: "
                 "docker/RUNBOOK.md, \"All nodes lost\"",
                 s->unknown[0] ? ", nobody knows the name " : "", s->unknown);
        break;
    default: break;
    }
}

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
                 "this node, %s, founds a cluster: no peer answers, and it has the claim (%s)", own, s->word);
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
        (void)cluster_addresses_find(s->list, "", &s->port, &s->addresses, s->unknown, &ignored);
}

/* Until it is right to start. -1: a setting is wrong. */
static int decide(struct starter *s, enum start_what *what, struct err *e)
{
    struct founding found = {0};
    char efs[600] = "";
    bool wants = false;
    if (s->facts.disk == START_DISK_MEMBER) {
        find_run_address(s);
        *what = START_RUN;
        return 0;
    }
    begin_efs(s);
    for (;; clock_sleep(LOOK_MS)) {
        if (look_at_peers(s, e) != 0)
            return -1;
        exchange(s, wants, &found, efs); /* afterwards: that takes its time */
        *what = start_decide(&s->facts);
        if (*what < START_WAIT_ADDRESS && *what != START_CLAIM)
            return 0;
        wants = *what == START_CLAIM;
        say_wait(s, *what, &found, efs);
    }
}

/* --- afterwards */

/* Whichever way it started: a cluster that has a leader is on record from now on. */
static void leave_record(struct starter *s)
{
    struct qdrant *q = qdrant_new(&s->qdrant_settings, s->key, NULL);
    struct cluster_meeting own = {0};
    struct err e = {0};
    bool seen = false;
    for (int64_t end = clock_ms() + SEEN_MS; q && !seen && clock_ms() < end; clock_sleep(2 * LOOK_MS))
        seen = cluster_meet(q, "", &own, &e) == 0 && own.leader;
    qdrant_free(q);
    if (seen && s->settings.efs_root[0] && !mount_efs_is_local(&s->settings) &&
        founding_seen(s->settings.efs_root, s->settings.base, s->settings.node, own.id, &e) != 0)
        log_line(LOG_ERROR, "cluster_record", "that the cluster is there cannot be left on EFS: %s", e.text);
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
    s.heard = clock_ms();
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
